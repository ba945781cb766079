"""Multiple negatives ranking with equal captions taken out of the denominator."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from sentence_transformers.sentence_transformer.losses.multiple_negatives_ranking import embed_columns
from torch import Tensor, nn

from corpuscle.errors import MethodError, OptionError
from corpuscle.models.celltext._batches import PLACE

__all__ = ["MaskedRankingLoss", "ranking_loss"]


class MaskedRankingLoss(nn.Module):
    """InfoNCE between anchors and captions in which a caption is no negative of itself.

    Where few captions describe many cells, most of a batch's "negatives" of a cell are its own caption.
    The labels of a batch tell: integers, shape (B,) or (B, 1 + K), the caption of each positive and of each of the
    K negatives of a row. Equal codes mean equal captions; a negative code stands for a text equal to no other.

    Parameters
    ----------
    model
        The SentenceTransformer whose embeddings are compared; they are normalised here.
    scale
        Inverse temperature.
    mask_same_caption
        False for the plain loss, whatever the labels say.
    symmetric
        Average with the same loss over columns: a positive against all anchors.

    Raises
    ------
    OptionError
        The scale is not above 0.

    References
    ----------
    van den Oord, Li and Vinyals, Representation learning with contrastive predictive coding (2018).
    """

    def __init__(
        self, model: nn.Module, *, scale: float = 20.0, mask_same_caption: bool = True, symmetric: bool = False
    ) -> None:
        super().__init__()
        if not scale > 0:
            raise OptionError(f"scale={scale}: the loss needs a scale above 0; 20 is usual")
        self.model = model
        self.scale = float(scale)
        self.mask_same_caption = mask_same_caption
        self.symmetric = symmetric

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor | None = None) -> Tensor:
        """The loss of one batch: embed every column, then :func:`ranking_loss`.

        Parameters
        ----------
        sentence_features
            Features of the anchor, the positive and the K negatives, B rows each; or of the anchor and of the texts
            of the batch, each once, with the feature ``place`` of shape (B, 1 + K).
        labels
            Captions as codes, shape (B,) or (B, 1 + K); None for the plain loss.
        """
        columns = list(sentence_features)
        if PLACE in columns[-1]:
            anchor_bd, *docs = _embed_once(self.model, columns)
        else:
            anchor_bd, *docs = embed_columns(self.model, columns)
        codes = labels if self.mask_same_caption else None
        return ranking_loss(anchor_bd, docs, codes, scale=self.scale, symmetric=self.symmetric)

    def get_config_dict(self) -> dict[str, Any]:
        """The options, for the model card."""
        return {"scale": self.scale, "mask_same_caption": self.mask_same_caption, "symmetric": self.symmetric}


def _embed_once(model: nn.Module, columns: list[dict[str, Any]]) -> list[Tensor]:
    """Embeddings of the anchors and of each column of texts, of which every text was encoded once."""
    anchor, texts = columns
    place_bk = texts.pop(PLACE)
    anchor_bd = model(anchor)["sentence_embedding"]
    text_ud = model(texts)["sentence_embedding"]
    # Looked up as an embedding, since its gradient sums in one order on every device.
    return [anchor_bd, *(nn.functional.embedding(place_b, text_ud) for place_b in place_bk.unbind(1))]


def ranking_loss(
    anchor_bd: Tensor,
    docs: list[Tensor],
    codes: Tensor | None = None,
    *,
    scale: float = 20.0,
    symmetric: bool = False,
) -> Tensor:
    """InfoNCE of embeddings, a scalar.

    Parameters
    ----------
    anchor_bd
        Anchors, shape (B, d).
    docs
        Positives, then negatives, each of shape (B, d).
    codes
        Captions, shape (B,) where only the positives have one, or (B, len(docs)); None masks nothing.
    scale
        Inverse temperature.
    symmetric
        Average with the loss over columns.

    Raises
    ------
    MethodError
        There are no positives, or the codes do not fit the columns.
    """
    if not docs:
        raise MethodError("the batch has anchors alone; give a column of captions as positives")
    score_bj = nn.functional.normalize(anchor_bd, dim=1) @ nn.functional.normalize(torch.cat(docs), dim=1).T * scale
    own_b = torch.arange(len(anchor_bd), device=score_bj.device)
    if codes is not None:
        score_bj = score_bj.masked_fill(_repeated(codes, len(anchor_bd), len(docs)).to(score_bj.device), -torch.inf)
    loss = nn.functional.cross_entropy(score_bj, own_b)
    if symmetric:
        loss = (loss + nn.functional.cross_entropy(score_bj[:, : len(anchor_bd)].T, own_b)) / 2
    return loss


def _repeated(codes: Tensor, n_rows: int, n_docs: int) -> Tensor:
    """Which documents are the caption of a row without being its positive, shape (B, B * n_docs)."""
    columns = codes[:, None] if codes.ndim == 1 else codes
    if columns.shape[0] != n_rows or columns.shape[1] not in (1, n_docs):
        raise MethodError(
            f"captions of shape {tuple(codes.shape)} for {n_rows} rows of {n_docs} texts; give a code a row, or a text"
        )
    if columns.shape[1] < n_docs:
        unknown = columns.new_full((n_rows, n_docs - 1), -1)
        columns = torch.cat([columns, unknown], dim=1)
    own_b = columns[:, 0]
    same_bj = (own_b[:, None] == columns.T.reshape(1, -1)) & (own_b[:, None] >= 0)
    same_bj[:, :n_rows].fill_diagonal_(False)
    return same_bj
