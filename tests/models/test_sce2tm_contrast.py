"""The contrast of the transport term: gathering all vectors in one place gains nothing."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("scvi")

from corpuscle.errors import OptionError  # noqa: E402
from corpuscle.models.sce2tm.module import SCE2TMModule  # noqa: E402
from corpuscle.models.sce2tm.recipe import recipe  # noqa: E402


def transport_term(module: SCE2TMModule, vectors_kd: torch.Tensor, vectors_gd: torch.Tensor) -> float:
    cost_kg = torch.cdist(vectors_kd, vectors_gd) ** 2
    return float(module._transport_term(module.transport, cost_kg))


@pytest.mark.parametrize("marginal", [None, torch.linspace(1, 2, 40)])
def test_drawing_all_vectors_together_pays_only_without_the_contrast(marginal: torch.Tensor | None) -> None:
    torch.manual_seed(0)
    centre = torch.zeros(1, 8)
    vectors_kd, vectors_gd = torch.randn(4, 8), torch.randn(40, 8)
    terms = {}
    for contrast in (False, True):
        module = SCE2TMModule(
            40, recipe("corpuscle", n_topics=4, ecr_contrast=contrast), ecr_weight=1.0, view_width=None,
            gene_mass_g=marginal,
        )  # fmt: skip
        spread = transport_term(module, vectors_kd, vectors_gd)
        gathered = transport_term(module, centre + 0.01 * vectors_kd, centre + 0.01 * vectors_gd)
        terms[contrast] = (spread, gathered)
    assert terms[False][1] < terms[False][0]
    assert terms[True][1] > terms[True][0]
    assert terms[True][1] == pytest.approx(0, abs=1e-2)


def test_a_contrast_of_free_vectors_is_refused_where_it_is_chosen() -> None:
    with pytest.raises(OptionError, match="ecr_contrast"):
        recipe("corpuscle", normalize_embeddings=False)
    assert recipe("corpuscle", normalize_embeddings=False, ecr_contrast=False).ecr_weight == 100


def test_a_choice_of_the_wrong_type_is_one_line() -> None:
    with pytest.raises(OptionError, match="n_topics='50' must be a number"):
        recipe("corpuscle", n_topics="50")
