from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")

from sentence_transformers import SentenceTransformer  # noqa: E402
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss  # noqa: E402

from corpuscle.errors import MethodError, OptionError  # noqa: E402
from corpuscle.models.celltext._loss import MaskedRankingLoss, ranking_loss  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


class Given(torch.nn.Module):
    """Embeds a batch as what it already is."""

    def forward(self, features):
        return {"sentence_embedding": features["x"]}


def columns(n_rows=8, n_docs=2, width=5):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(n_rows, width, generator=generator) for _ in range(1 + n_docs)]


@pytest.mark.parametrize("symmetric", [False, True])
def test_equals_the_plain_loss_where_captions_differ(symmetric):
    embedded = columns()
    directions = ("query_to_doc", "doc_to_query") if symmetric else ("query_to_doc",)
    plain = MultipleNegativesRankingLoss(
        SentenceTransformer(modules=[torch.nn.Identity()]), directions=directions, partition_mode="per_direction"
    )
    loss = MaskedRankingLoss(Given(), symmetric=symmetric)
    codes = torch.arange(16).reshape(2, 8).T
    found = loss([{"x": x} for x in embedded], codes)
    torch.testing.assert_close(found, plain.compute_loss_from_embeddings(embedded, torch.empty(0)))


def test_by_hand_where_captions_repeat():
    anchor = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    positive = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    # Rows 0 and 1 have one caption; each is left with its own and that of row 2.
    found = ranking_loss(anchor, [positive], torch.tensor([7, 7, 3]), scale=1.0)
    rows = [
        math.log(math.exp(1) + math.exp(0)) - 1,  # 1, (0 masked), 0
        math.log(math.exp(1) + math.exp(1)) - 1,  # (0 masked), 1, 1
        math.log(math.exp(1) + math.exp(0) + math.exp(0)) - 0,  # 1, 0, 0
    ]
    assert found.item() == pytest.approx(sum(rows) / 3)
    unmasked = ranking_loss(anchor, [positive], scale=1.0)
    assert unmasked.item() > found.item()


def test_negatives_with_the_caption_of_a_row_are_masked_and_unknown_ones_are_not():
    anchor, positive, negative = columns(n_rows=2)
    codes = torch.tensor([[0, 1], [1, -1]])
    found = ranking_loss(anchor, [positive, negative], codes, scale=2.0)
    a, d = (torch.nn.functional.normalize(x, dim=1) for x in (anchor, torch.cat([positive, negative])))
    score = (2 * a @ d.T).exp()
    # The negative of row 0 has the caption of row 1.
    rows = [score[0, 0] / score[0].sum(), score[1, 1] / (score[1, 0] + score[1, 1] + score[1, 3])]
    torch.testing.assert_close(found, -torch.stack(rows).log().mean())


def test_mask_off_and_codes_of_positives_only():
    embedded = columns()
    features = [{"x": x} for x in embedded]
    same = torch.zeros(8, dtype=torch.long)
    off = MaskedRankingLoss(Given(), mask_same_caption=False)(features, same)
    torch.testing.assert_close(off, ranking_loss(embedded[0], embedded[1:]))
    on = MaskedRankingLoss(Given())(features, same)
    wide = torch.cat([same[:, None], torch.full((8, 1), -1)], dim=1)
    torch.testing.assert_close(on, ranking_loss(embedded[0], embedded[1:], wide))
    assert on < off


def test_all_masked_is_zero_with_finite_gradients():
    anchor = columns(n_docs=1)[0].requires_grad_()
    loss = ranking_loss(anchor, [columns(n_docs=1)[1]], torch.zeros(8), symmetric=True)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert torch.isfinite(anchor.grad).all()


def test_what_makes_no_sense_is_refused():
    anchor, positive, negative = columns()
    with pytest.raises(OptionError, match="scale"):
        MaskedRankingLoss(Given(), scale=0)
    with pytest.raises(MethodError, match="3, 1"):
        ranking_loss(anchor, [positive, negative], torch.zeros(3, 1))
    with pytest.raises(MethodError, match="positives"):
        ranking_loss(anchor, [])
