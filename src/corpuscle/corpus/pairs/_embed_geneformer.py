"""Embedding of cells by a BERT model of rank-value tokens, such as Geneformer. No weights come with Corpuscle."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from corpuscle.corpus.encode import Encoded, RankEncoder
from corpuscle.corpus.gene_plan import GeneOptions, plan_genes
from corpuscle.corpus.pairs._bert_folder import BertFolder, checked_settings, find_stored, read_bert_folder
from corpuscle.corpus.pairs._block import CellBlock
from corpuscle.corpus.pairs._embed_checks import check_name, whole_number
from corpuscle.corpus.pairs._embed_genes import Blocks
from corpuscle.corpus.pairs._geneformer_vocabulary import chosen_vocabulary, stored_vocabulary, vocabulary_parts
from corpuscle.corpus.vocabulary import RankVocabulary
from corpuscle.errors import GeneError, MethodError, OptionError, SourceError

__all__ = ["Geneformer"]

Array = np.ndarray[Any, Any]

POOLS = ("mean", "cls")
DEVICE = re.compile(r"(cpu|(cuda|mps)(:\d{1,2})?)?")
#: Least share of the counts of a source that must lie in genes of the vocabulary.
LEAST_SHARE = 0.5
NAMED = 3


class Geneformer:
    """Hidden state that a BERT model of rank-value tokens gives a cell.

    Parameters
    ----------
    model
        Folder with ``config.json`` and the weights as safetensors.
    preset
        ``"geneformer-v1"``, which is also meant if neither this nor ``tokens`` is given, or ``"geneformer-v2"``, which
        needs ``medians``.
    tokens, medians
        Files of a vocabulary of one's own, and of its non-zero medians.
    layer
        Hidden state to take, counted as in a list: -1 is the last, -2 the one before it (which Geneformer's own extractor
        takes unless told otherwise, and calls -1), 0 the embedding of the tokens.
    pool
        ``"mean"`` of the gene tokens, or ``"cls"``: the first token, of a vocabulary that has it.
    max_len
        Tokens a cell may have, special ones included; 0 for those of the vocabulary (2,048 or 4,096), as far as the model
        has positions.
    batch
        Cells at a time. Values differ by rounding at most.
    device
        Such as ``"cpu"`` or ``"cuda"``; a GPU where there is one if empty. It is not stored.
    name
        What the vectors are called: ``X_<name>``.

    Raises
    ------
    OptionError
        No folder is given, or an option makes no sense.
    SourceError
        The folder holds no safetensors, or another kind of model.

    Notes
    -----
    Nothing is fitted. Human genes by Ensembl id or symbol. Source: Theodoris et al. 2023, Nature 618:616.
    """

    kind = "geneformer"
    _folder: BertFolder | None

    def __init__(
        self,
        model: str | Path = "",
        preset: str = "",
        tokens: str | Path = "",
        medians: str | Path = "",
        layer: int = -1,
        pool: str = "mean",
        max_len: int = 0,
        batch: int = 16,
        device: str = "",
        name: str = "geneformer",
    ) -> None:
        if not str(model):
            raise OptionError(
                "embedding geneformer needs weights, and none come with Corpuscle; write geneformer:model=FOLDER"
            )
        folder = read_bert_folder(Path(str(model)).expanduser())
        vocabulary = chosen_vocabulary(
            preset, tokens, medians, whole_number("geneformer", "max_len", max_len, least=0), folder.settings
        )
        self._set(folder.settings, vocabulary, layer, pool, batch, device, name)
        self.model, self._folder = folder.folder.resolve().name, folder
        self._sha256 = ""

    def _set(
        self,
        settings: dict[str, Any],
        vocabulary: RankVocabulary,
        layer: Any,
        pool: Any,
        batch: Any,
        device: Any,
        name: Any,
    ) -> None:
        layers = settings["num_hidden_layers"]
        if isinstance(layer, bool) or not isinstance(layer, int) or not -layers - 1 <= layer <= layers:
            raise OptionError(f"geneformer: layer={layer!r} must be a whole number from {-layers - 1} to {layers}")
        if pool not in POOLS:
            raise OptionError(f"geneformer: pool={pool!r} is none of {', '.join(POOLS)}")
        if pool == "cls" and not vocabulary.special_token:
            raise OptionError(
                f"geneformer: vocabulary {vocabulary.name} frames no cell with <cls>; take pool=mean, or a vocabulary that does"
            )
        self.settings, self.vocabulary = settings, vocabulary
        self.layer, self.pool = layer, pool
        if not DEVICE.fullmatch(str(device)):
            raise OptionError(f"geneformer: device={str(device)[:40]!r} is none; write cpu, cuda, cuda:1 or mps")
        self.batch, self.device = whole_number("geneformer", "batch", batch), str(device)
        self.name = check_name(name)
        self.missing: dict[str, int] = {}
        self._columns: tuple[str, ...] | None = None
        self._encoder: RankEncoder | None = None
        self._bert: Any = None

    @property
    def width(self) -> int:
        """Numbers a cell."""
        return int(self.settings["hidden_size"])

    @property
    def sha256(self) -> str:
        """SHA-256 of the weights."""
        if not self._sha256:
            self._sha256 = self._weights().sha256
        return self._sha256

    def fit(self, blocks: Blocks) -> Self:
        """Nothing is learnt; genes under other identifiers are refused before more work is done.

        Raises
        ------
        GeneError
            The first source has none, or few, of the vocabulary's genes.
        """
        first = next(iter(blocks()), None)
        if first is not None:
            self._encode(first)
        return self

    def transform(self, block: CellBlock) -> Array:
        """Pooled hidden states of the cells, (n, width) float32, in the order of the block.

        Raises
        ------
        GeneError
            The source has none, or few, of the vocabulary's genes.
        MethodError
            A cell expresses none of them, or the extras are not installed.
        SourceError
            The weights are not there, or are not those that the embedding was made with.
        """
        encoded = self._encode(block)
        empty = np.flatnonzero(~encoded.kept_n)
        if empty.size:
            named = ", ".join(str(block.obs.index[n]) for n in empty[:NAMED]) + (", ..." if empty.size > NAMED else "")
            raise MethodError(
                f"{block.source}: {empty.size:,} of {block.n_obs:,} cells express no gene of vocabulary {self.vocabulary.name}, so "
                f"they have no {self.name} vector ({named}); drop them, or leave quality control on"
            )
        return self._hidden(encoded)

    def _encode(self, block: CellBlock) -> Encoded:
        """Tokens of the cells; the genes of a source are looked up once."""
        known = self._encoder if block.genes is self._columns and block.source in self.missing else None
        encoder = known or self._planned(block)
        encoded = encoder.encode(block.counts_ng)
        if known is None and encoded.counts_matched < LEAST_SHARE * encoded.counts_total:
            share = encoded.counts_matched / encoded.counts_total
            raise GeneError(
                f"{block.source}: only {share:.0%} of its counts lie in the {len(self.vocabulary.gene_ids):,} genes of vocabulary "
                f"{self.vocabulary.name}; give counts of whole human transcriptomes, with Ensembl ids or symbols"
            )
        self._columns, self._encoder = block.genes, encoder
        return encoded

    def _planned(self, block: CellBlock) -> RankEncoder:
        table = pd.DataFrame(index=pd.Index(block.genes, dtype=object))
        try:
            plan = plan_genes(table, self.vocabulary.gene_ids, GeneOptions(), source=block.source)
        except GeneError:
            raise GeneError(
                f"{block.source}: its genes (such as {block.genes[0]}) are not those of vocabulary {self.vocabulary.name} "
                f"(such as {self.vocabulary.gene_ids[0]}); name them by human Ensembl ids or symbols"
            ) from None
        self.missing[block.source] = len(self.vocabulary.gene_ids) - plan.match.targets
        return RankEncoder(self.vocabulary, plan.slot_f, plan.collapses)

    def _hidden(self, encoded: Encoded) -> Array:
        """(n, width) float32: cells of like length go through the model together, so that little is padding."""
        if self._bert is None:
            self._bert = self._weights().load(self.device)
            self._place = self._bert.device
        length_n = np.diff(encoded.offsets)
        order = np.argsort(length_n, kind="stable")
        x_nd = np.empty((order.size, self.width), np.float32)
        for start in range(0, order.size, self.batch):
            cells = order[start : start + self.batch]
            ids_bl = np.full((cells.size, int(length_n[cells].max())), self.vocabulary.specials["<pad>"], np.int64)
            for row_l, cell in zip(ids_bl, cells, strict=True):
                row_l[: length_n[cell]] = encoded.input_ids[encoded.offsets[cell] : encoded.offsets[cell + 1]]
            x_nd[cells] = self._forward(ids_bl, length_n[cells])
        return x_nd

    def _forward(self, ids_bl: Array, length_b: Array) -> Array:
        import torch

        place_l = np.arange(ids_bl.shape[1])
        mask_bl = torch.from_numpy((place_l < length_b[:, None]).astype(np.int64)).to(self._place)
        last = self.layer in (-1, self.settings["num_hidden_layers"])
        with torch.inference_mode():
            found = self._bert(
                input_ids=torch.from_numpy(ids_bl).to(self._place),
                attention_mask=mask_bl,
                output_hidden_states=not last,
            )
            state_bld = found.last_hidden_state if last else found.hidden_states[self.layer]
            if self.pool == "cls":
                pooled_bd = state_bld[:, 0]
            else:
                frame = int(self.vocabulary.special_token)  # genes only, without <cls> and <eos>
                gene_bl = (place_l >= frame) & (place_l < length_b[:, None] - frame)
                weight_bl = torch.from_numpy(gene_bl.astype(np.float32)).to(self._place)
                pooled_bd = torch.einsum("bld,bl->bd", state_bld, weight_bl) / weight_bl.sum(1, keepdim=True)
        return np.asarray(pooled_bd.cpu().numpy(), np.float32)

    def _weights(self) -> BertFolder:
        """The folder of the weights; that of a stored embedding is looked for, and must hold the very same."""
        if self._folder is None:
            self._folder = find_stored(self.model, self._sha256, self.settings, self.name)
        return self._folder

    def to_arrays(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Tokens and medians of the genes; and the options, the settings and the SHA-256 of the weights."""
        options = {key: getattr(self, key) for key in ("name", "model", "layer", "pool", "batch", "sha256")}
        arrays, about = vocabulary_parts(self.vocabulary)
        return arrays, options | about | {"settings": self.settings}

    @classmethod
    def from_arrays(cls, arrays: dict[str, Array], meta: dict[str, Any]) -> Self:
        """Make it again from what :meth:`to_arrays` gave; nothing in it is trusted, and no path is in it."""
        made = cls.__new__(cls)
        settings = checked_settings(meta.get("settings"), "stored embedding")
        vocabulary = stored_vocabulary(arrays, meta, settings)
        layer, pool, batch = (meta.get(key) for key in ("layer", "pool", "batch"))
        made._set(settings, vocabulary, layer, pool, batch, "", meta.get("name"))
        folder, digest = meta.get("model"), meta.get("sha256")
        if not isinstance(folder, str) or Path(folder).name != folder or folder in ("", ".."):
            raise SourceError("stored embedding: model is no name of a folder; make it anew")
        if not isinstance(digest, str) or len(digest) != 64:
            raise SourceError("stored embedding: sha256 is none; make it anew")
        made.model, made._sha256, made._folder = folder, digest, None
        return made
