"""Is it counts? Real data always are; what was made from them by normalising never is."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuscle.counts import Block
from corpuscle.counts.verdict import CountsVerdict, VerdictSummary
from corpuscle.datasets.bundled import bundled_path

REAL = [
    "annotation/human_lymph_330", "archs4/gtex_50samples_muscle", "archs4/gtex_60samples_heart_muscle_brain",
    "batch/baron_human_2donors", "batch/cellline3_two_platforms", "batch/onek1k_1000g", "batch/zilionis_mouse_lung",
    "clustering/cellline3_10x_894g", "clustering/deng_mouse_embryo", "clustering/goolam_mouse_embryo",
    "clustering/mouse_bladder_2100", "clustering/mouse_bladder_2746_hvg", "clustering/mouse_endocrinogenesis_hvg",
    "clustering/paul15_mouse_myeloid", "clustering/pbmc_4271_hvg", "clustering/pollen_human_cells",
    "clustering/worm_neuron", "clustering/zheng_facs_3774", "coregulation/pbmc_1k_v2", "coregulation/pbmc_1k_v3",
    "coregulation/pbmc_8k_5p_1kcells", "geneformer/golden/golden_input", "pbmc/pbmc3k", "pbmc/pbmc68k_reduced",
    "pbmc/pbmc_hashing_8donors", "perturbation/glioblastoma_panobinostat", "perturbation/kang_ifnb_2800",
]  # fmt: skip
READ_COUNTS = {"deng", "goolam", "pollen", "gtex"}


def summary_of(x, starts=(0,), order=None) -> VerdictSummary:
    x_ng = sp.csr_matrix(x)
    cells = [f"c{i}" for i in range(x_ng.shape[0])]
    genes = [f"g{i}" for i in range(x_ng.shape[1])]
    bounds = [*starts, x_ng.shape[0]]
    parts = [slice(a, b) for a, b in pairwise(bounds)]
    total = VerdictSummary(cells, genes)
    for i in order or range(len(parts)):
        part = VerdictSummary(cells, genes)
        part.update(Block(x_ng[parts[i]], parts[i], "x"))
        total.merge(part)
    return total


def verdict_of(x) -> CountsVerdict:
    return summary_of(x).finish()


@pytest.fixture(scope="module")
def x_ng() -> sp.csr_matrix:
    """300 real cells of blood, all genes."""
    return sp.csr_matrix(ad.read_h5ad(bundled_path("pbmc_1k_v3")).X[:300]).astype(np.float64)


def scaled_to(x_ng: sp.csr_matrix, target: float | None) -> sp.csr_matrix:
    totals = np.asarray(x_ng.sum(axis=1)).ravel()
    return sp.diags((np.median(totals) if target is None else target) / totals).tocsr() @ x_ng


@pytest.mark.parametrize("name", REAL)
def test_real_data_are_counts(name: str, real_data: Path) -> None:
    verdict = verdict_of(ad.read_h5ad(real_data / f"{name}.h5ad").X)
    assert verdict.verdict == "counts", verdict.reason
    assert verdict.is_counts
    assert verdict.first_offender is None
    assert verdict.share_smallest_is_one == 1
    assert verdict.share_steps < 0.002
    reads = any(part in name for part in READ_COUNTS)
    assert any("read counts" in note for note in verdict.notes) == reads


@pytest.mark.parametrize("n_genes", [60, 100, 300])
@pytest.mark.parametrize("name", ["clustering/zheng_facs_3774", "batch/cellline3_two_platforms", "pbmc/pbmc3k"])
def test_cut_to_the_strongest_genes_real_data_stay_counts(name: str, n_genes: int, real_data: Path) -> None:
    x_ng = sp.csr_matrix(ad.read_h5ad(real_data / f"{name}.h5ad").X)
    strongest = np.argsort(-np.asarray(x_ng.sum(axis=0)).ravel())[:n_genes]
    assert verdict_of(x_ng[:, strongest]).verdict == "counts"


@pytest.mark.parametrize("rounded", [np.ceil, np.round, np.floor])
@pytest.mark.parametrize("target", [1e4, 1e6])
def test_normalised_and_rounded_is_an_imitation(x_ng: sp.csr_matrix, target: float, rounded) -> None:
    fake = scaled_to(x_ng, target)
    fake.data = rounded(np.expm1(np.log1p(fake.data)))
    verdict = verdict_of(fake.astype(np.int32))
    assert verdict.verdict == "imitated counts"
    assert not verdict.is_counts
    assert verdict.way_out


@pytest.mark.parametrize("rounded", [np.ceil, np.round])
def test_scaled_to_the_median_depth_and_rounded_is_an_imitation(x_ng: sp.csr_matrix, rounded) -> None:
    fake = scaled_to(x_ng, None)
    fake.data = rounded(fake.data)
    assert verdict_of(fake).verdict == "imitated counts"


def test_an_imitation_of_few_genes_is_found_too(real_data: Path) -> None:
    x_ng = sp.csr_matrix(ad.read_h5ad(real_data / "pbmc" / "pbmc68k_reduced.h5ad").X).astype(float)
    assert verdict_of(x_ng).verdict == "counts"
    fake = scaled_to(x_ng, 1e4)
    fake.data = np.ceil(fake.data)
    verdict = verdict_of(fake)
    assert verdict.verdict == "imitated counts"
    assert verdict.share_smallest_is_one == 0


def test_counts_thinned_to_one_depth_are_counts_with_a_note(x_ng: sp.csr_matrix) -> None:
    rng = np.random.default_rng(0)
    deep = x_ng[np.asarray(x_ng.sum(axis=1)).ravel() > 3000][:100].astype(int).toarray()
    thinned = np.array([rng.multivariate_hypergeometric(row, 2000) for row in deep])
    verdict = verdict_of(thinned)
    assert verdict.verdict == "counts"
    assert verdict.total_cv == 0
    assert any("same total" in note for note in verdict.notes)


@pytest.mark.parametrize(("base", "divide"), [("e", 1.0), ("2", np.log(2)), ("10", np.log(10))])
@pytest.mark.parametrize("n_genes", [None, 500])
def test_logarithms_are_told_with_their_base(
    x_ng: sp.csr_matrix, base: str, divide: float, n_genes: int | None
) -> None:
    logged = scaled_to(x_ng, 1e4)
    logged.data = (np.log1p(logged.data) / divide).astype(np.float32)
    kept = np.argsort(-np.asarray(x_ng.sum(axis=0)).ravel())[50 : 50 + n_genes] if n_genes else slice(None)
    verdict = verdict_of(logged[:, kept])
    assert verdict.verdict == "log-normalised"
    assert f"base {base}," in verdict.reason


def test_per_10k_without_logarithm_is_normalised(x_ng: sp.csr_matrix) -> None:
    verdict = verdict_of(scaled_to(x_ng, 1e4))
    assert verdict.verdict == "normalised"
    assert "10000" in verdict.reason


def test_division_by_size_factors_is_normalised(x_ng: sp.csr_matrix) -> None:
    factors = np.random.default_rng(0).uniform(0.5, 2, x_ng.shape[0])
    assert verdict_of(sp.diags(1 / factors).tocsr() @ x_ng).verdict == "normalised"


def test_few_fractions_are_estimated_counts_and_the_first_is_named(x_ng: sp.csr_matrix) -> None:
    estimated = x_ng.copy()
    place = int(estimated.indptr[7])
    estimated.data[place] += 0.25
    verdict = verdict_of(estimated)
    assert verdict.verdict == "estimated counts"
    assert verdict.n_fractional == 1
    assert (verdict.first_offender.cell, verdict.first_offender.kind) == ("c7", "fractional")
    assert verdict.first_offender.gene == f"g{estimated.indices[place]}"


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ([[0, 0], [0, 0]], "empty"),
        (np.zeros((0, 3)), "empty"),
        ([[1, np.nan], [0, 2]], "not finite"),
        ([[1, np.inf], [0, 2]], "not finite"),
        ([[1, -1.5], [0, 2]], "scaled"),
        ([[-1, 2], [3, 0]], "scaled"),
        ([[1, 2], [3, 0]], "counts"),
        ([[2, 4], [6, 0]], "counts"),  # too few values to tell
    ],
)
def test_small_matrices(matrix, expected: str) -> None:
    verdict = verdict_of(np.asarray(matrix, float))
    assert verdict.verdict == expected
    assert bool(verdict.way_out) == (expected != "counts")


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint32, np.int64, np.float32])
def test_every_numeric_dtype_is_read(dtype) -> None:
    verdict = verdict_of(np.array([[1, 0], [1, 1]], dtype))
    assert verdict.verdict == "counts"
    assert any("binarised" in note for note in verdict.notes)


def test_extremes_include_implicit_zeros_and_stored_zeros_do_not_count() -> None:
    x_ng = sp.csr_matrix((np.array([3.0, 0.0, 5.0]), np.array([0, 1, 1]), np.array([0, 2, 3])), shape=(2, 2))
    verdict = verdict_of(x_ng)
    assert (verdict.minimum, verdict.maximum, verdict.n_values) == (0, 5, 2)
    dense = verdict_of(np.array([[3.0, 4.0]]))
    assert (dense.minimum, dense.maximum) == (3, 4)


def test_what_cannot_be_told_is_nan_not_zero() -> None:
    verdict = verdict_of(np.array([[1, 2, 3]]))
    assert verdict.n_informative == 0
    assert np.isnan(verdict.share_smallest_is_one)
    assert np.isnan(verdict.share_steps)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_split_and_order_of_blocks_gives_the_same_verdict(data) -> None:
    n = 24
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    x_ng = rng.poisson(1.5, (n, 40)) * rng.choice([1.0, 1.5, -1.0], (n, 1), p=[0.8, 0.1, 0.1])
    starts = [0, *sorted(data.draw(st.sets(st.integers(1, n - 1), max_size=5)))]
    order = data.draw(st.permutations(range(len(starts))))
    split, whole = summary_of(x_ng, starts, order).finish(), verdict_of(x_ng)
    assert str(split) == str(whole)


def test_finishing_does_not_end_a_summary() -> None:
    summary = VerdictSummary(["a", "b"], ["g", "h"])
    summary.update(Block(sp.csr_matrix([[5.0, 6.0]]), slice(0, 1), "x"))
    first = summary.finish()
    summary.update(Block(sp.csr_matrix([[7.0, 8.0]]), slice(1, 2), "x"))
    assert first.minimum == 0  # the second cell was not seen yet
    assert summary.finish().minimum == 5
