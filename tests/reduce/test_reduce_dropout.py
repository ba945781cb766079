"""Which zeros are dropouts: the rule, the votes, the blocks, and what is said of them."""

from __future__ import annotations

import os
from pathlib import Path

import anndata
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuscle.datasets import bundled_path
from corpuscle.errors import MethodError, OptionError, SourceError
from corpuscle.reduce import BlockMask, UnbiasedPCA, dropout_mask
from corpuscle.reduce import dropout as rules

DATA = Path(os.environ.get("CORPUSCLE_DATA", Path(__file__).parents[3] / "shared" / "data"))


def groups_of_cells(seed=0, n=120, d=40):
    """Two kinds of cells, each with its own half of the genes; a tenth of its expressed entries are lost."""
    rng = np.random.default_rng(seed)
    kind_n = np.arange(n) % 2
    expressed_nd = (np.arange(d) < d // 2)[None] == (kind_n == 0)[:, None]
    counts_nd = np.where(expressed_nd, rng.poisson(8, (n, d)) + 1, 0)
    lost_nd = expressed_nd & (rng.random((n, d)) < 0.1)
    return np.where(lost_nd, 0, counts_nd), lost_nd, kind_n


def plain_rule(x_nd, labellings, threshold):
    """Observed entries, straight from the rule, entry by entry."""
    votes_nd = np.zeros(x_nd.shape, int)
    for labels_n in labellings:
        for c in np.unique(labels_n):
            share_d = (x_nd[labels_n == c] == 0).mean(axis=0)
            votes_nd[labels_n == c] += share_d >= threshold - 1e-12
    return (x_nd != 0) | (2 * votes_nd >= len(labellings))


# -- the mask as such ------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 12), d=st.integers(1, 9), c=st.integers(1, 4))
def test_missing_entries_are_the_zeros_that_the_table_does_not_call_real(seed, n, d, c):
    rng = np.random.default_rng(seed)
    x_nd = rng.integers(0, 3, (n, d))
    mask = BlockMask(rng.integers(0, c, n), rng.random((c, d)) < 0.5)
    expected_nd = (x_nd == 0) & ~mask.table_cd[mask.labels_n]
    for given_nd in (x_nd, sp.csr_matrix(x_nd), sp.csc_matrix(x_nd.astype(float))):
        assert np.array_equal(mask.to_csr_missing(given_nd).toarray(), expected_nd)
        assert mask.n_missing(given_nd) == expected_nd.sum()
        assert np.array_equal(mask.missing_by_cell(given_nd), expected_nd.sum(axis=1))
        assert np.array_equal(mask.missing_by_gene(given_nd), expected_nd.sum(axis=0))


def test_missing_entries_do_not_depend_on_how_many_cells_are_held_at_a_time(monkeypatch):
    x_nd, _, kind_n = groups_of_cells()
    mask = BlockMask(kind_n, np.zeros((2, 40), bool))
    whole = mask.to_csr_missing(x_nd)
    monkeypatch.setattr("corpuscle.reduce._block_mask.BLOCK_ENTRIES", 7 * 40)
    assert (mask.to_csr_missing(x_nd) != whole).nnz == 0
    assert whole.nnz == (x_nd == 0).sum()


def test_explicit_zeros_are_zeros_and_the_matrix_is_left_alone():
    x_nd = sp.csr_matrix((np.array([0.0, 2.0, 0.0]), np.array([0, 1, 2]), np.array([0, 2, 3])), shape=(2, 3))
    mask = BlockMask(np.array([0, 1]), np.array([[False, False, True], [True, True, False]]))
    assert np.array_equal(mask.to_csr_missing(x_nd).toarray(), [[1, 0, 0], [0, 0, 1]])
    assert mask.n_missing(x_nd) == 2
    assert x_nd.nnz == 3


def test_cells_and_genes_can_be_taken():
    x_nd, _, kind_n = groups_of_cells()
    mask = BlockMask(kind_n, np.random.default_rng(0).random((2, 40)) < 0.5)
    rows, columns = np.array([5, 2, 9]), np.array([30, 1])
    taken = mask.take(rows, columns)
    assert taken.shape == (3, 2)
    expected_nd = mask.to_csr_missing(x_nd).toarray()[np.ix_(rows, columns)]
    assert np.array_equal(taken.to_csr_missing(x_nd[np.ix_(rows, columns)]).toarray(), expected_nd)


@pytest.mark.parametrize(
    ("labels", "table"),
    [
        ([0, 2], np.ones((2, 3), bool)),
        ([0, -1], np.ones((2, 3), bool)),
        ([0.0, 1.0], np.ones((2, 3), bool)),
        ([0, 1], np.ones((2, 3))),
        ([0, 1], np.ones(3, bool)),
    ],
)
def test_labels_and_table_that_do_not_fit_are_refused(labels, table):
    with pytest.raises(OptionError):
        BlockMask(np.array(labels), table)


def test_a_matrix_of_another_shape_is_refused():
    with pytest.raises(OptionError, match="2 x 3"):
        BlockMask(np.array([0, 0]), np.ones((1, 3), bool)).n_missing(np.ones((3, 3)))


# -- the vote --------------------------------------------------------------------------------------------------


def test_lost_entries_of_expressed_genes_are_missing_and_silent_genes_are_not():
    x_nd, lost_nd, _ = groups_of_cells()
    mask = dropout_mask(x_nd, n_clusters=(2, 3), warn=False)
    assert np.array_equal(mask.to_csr_missing(x_nd).toarray() == 1, lost_nd)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.85, 1.0])
def test_votes_are_those_of_the_rule_entry_by_entry(monkeypatch, threshold):
    rng = np.random.default_rng(3)
    x_nd = rng.poisson(rng.gamma(0.5, 1.0, 25), (90, 25))
    labellings = {k: rng.integers(0, k, 90) for k in (2, 3, 5, 4)}
    monkeypatch.setattr(rules, "cluster_labels", lambda _, k, *__: labellings[k])
    mask = dropout_mask(x_nd, n_clusters=(2, 3, 5, 4), threshold=threshold, warn=False)
    observed_nd = mask.to_csr_missing(x_nd).toarray() == 0
    assert np.array_equal(observed_nd, plain_rule(x_nd, list(labellings.values()), threshold))
    assert mask.n_clusterings == 4
    assert mask.n_blocks <= mask.n_signatures == len(set(zip(*labellings.values(), strict=True)))


def test_a_share_of_zeros_equal_to_the_threshold_is_enough():
    x_nd = np.zeros((20, 3), int)
    x_nd[:3] = 1  # 17 of 20 are zero: exactly 0.85
    assert rules.real_zeros(sp.csr_matrix(x_nd), np.zeros(20, int), 0.85).all()
    assert not rules.real_zeros(sp.csr_matrix(x_nd), np.zeros(20, int), 0.851).any()


def test_rare_signatures_take_the_row_of_the_one_that_agrees_most(monkeypatch):
    labels_mn = np.array([[0] * 6 + [1] * 5 + [0], [0] * 6 + [1] * 5 + [0], [0] * 6 + [1] * 5 + [1]])
    signature_n, labels_ms, n_signatures = rules._signatures(labels_mn, 2)
    assert n_signatures == 3
    assert labels_ms.shape == (3, 2)
    assert signature_n[11] == signature_n[0] != signature_n[6]  # (0, 0, 1) agrees with (0, 0, 0) twice


def test_merging_keeps_the_number_of_blocks_below_the_limit():
    x_nd, _, _ = groups_of_cells()
    free = dropout_mask(x_nd, n_clusters=(2, 5, 7), warn=False)
    mask = dropout_mask(x_nd, n_clusters=(2, 5, 7), max_blocks=2, warn=False)
    assert mask.n_blocks <= 2 < free.n_signatures == mask.n_signatures


def test_the_same_seed_gives_the_same_mask_dense_or_sparse():
    x_nd = anndata.read_h5ad(bundled_path("pbmc_1k_v3"))[:300, :400].X
    first = dropout_mask(x_nd, random_state=4, warn=False)
    for again in (
        dropout_mask(x_nd.toarray(), random_state=4, warn=False),
        dropout_mask(x_nd, random_state=4, warn=False),
    ):
        assert np.array_equal(first.labels_n, again.labels_n)
        assert np.array_equal(first.table_cd, again.table_cd)


def test_leiden_finds_the_two_kinds_and_leaves_pythons_generator_alone():
    import random

    x_nd, lost_nd, _ = groups_of_cells()
    random.seed(7)
    before = random.getstate()
    mask = dropout_mask(x_nd, n_clusters=(2,), method="leiden", warn=False)
    assert random.getstate() == before
    assert np.array_equal(mask.to_csr_missing(x_nd).toarray() == 1, lost_nd)


def test_a_layer_is_read_where_one_is_named():
    x_nd, lost_nd, _ = groups_of_cells()
    adata = anndata.AnnData(X=np.full(x_nd.shape, -1.0), layers={"counts": sp.csr_matrix(x_nd)})
    mask = dropout_mask(adata, layer="counts", n_clusters=(2,), warn=False)
    assert mask.n_missing(x_nd) == lost_nd.sum()
    with pytest.raises(SourceError, match="counts"):
        dropout_mask(adata, layer="spliced")
    with pytest.raises(SourceError, match="-1"):
        dropout_mask(adata)


# -- warnings and refusals -------------------------------------------------------------------------------------


def test_value_dependence_is_said_once_and_kept():
    x_nd, _, _ = groups_of_cells()
    with pytest.warns(UserWarning, match="does not depend on its value") as said:
        mask = dropout_mask(x_nd, n_clusters=(2,))
    assert [str(one.message) for one in said] == list(mask.words) == [rules.DEPENDS_ON_VALUE]


def test_a_mask_of_nearly_all_zeros_is_warned_of():
    rng = np.random.default_rng(0)
    x_nd = rng.poisson(0.6, (60, 30))
    with pytest.warns(UserWarning) as said:
        dropout_mask(x_nd, n_clusters=(2,), threshold=1.0)
    assert [str(one.message) for one in said] == [rules.ALL_ZEROS, rules.DEPENDS_ON_VALUE]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"threshold": 0}, OptionError),
        ({"threshold": 1.2}, OptionError),
        ({"n_clusters": ()}, OptionError),
        ({"n_clusters": (0, 4)}, OptionError),
        ({"n_clusters": (4, 500)}, MethodError),
        ({"method": "spectral"}, OptionError),
        ({"max_blocks": 0}, OptionError),
        ({"n_comps": 0}, OptionError),
        ({"layer": "counts"}, OptionError),
    ],
)
def test_parameters_that_make_no_sense_are_refused(options, error):
    with pytest.raises(error):
        dropout_mask(groups_of_cells()[0], warn=False, **options)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_values_that_are_no_counts_are_refused(value):
    x_nd = groups_of_cells()[0].astype(float)
    x_nd[3, 4] = value
    with pytest.raises(SourceError):
        dropout_mask(x_nd)


def test_cells_that_are_all_alike_are_refused():
    with pytest.raises(MethodError, match="alike"):
        dropout_mask(np.ones((20, 5), int), n_clusters=(2,))


# -- real cells ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "found", "wrong"), [("pbmc_4271_hvg", 0.5, 0.25), ("mouse_bladder_2100", 0.7, 0.65)])
def test_mild_dropout_is_partly_found_and_more_often_than_true_zeros_are_taken_for_it(name, found, wrong):
    """One in five to ten non-zeros is lost at random; genes that most cells express lose true zeros to the mask too."""
    path = DATA / "clustering" / f"{name}.h5ad"
    if not path.exists():
        pytest.skip(f"{path.name} is not there; set CORPUSCLE_DATA")
    rng = np.random.default_rng(0)
    adata = anndata.read_h5ad(path)
    counts_nd = adata[rng.choice(adata.n_obs, 600, replace=False)].X.toarray()
    counts_nd = counts_nd[:, np.argsort(-np.log1p(counts_nd).var(axis=0))[:1000]]
    kept_nd = rng.random(counts_nd.shape) < rng.uniform(0.6, 1, (600, 1)) * rng.uniform(0.6, 1, (1, 1000))
    lost_nd = (counts_nd > 0) & ~kept_nd
    seen_nd = np.where(kept_nd, counts_nd, 0)
    missing_nd = dropout_mask(seen_nd, warn=False).to_csr_missing(seen_nd).toarray() == 1
    assert missing_nd[lost_nd].mean() > found
    assert missing_nd[counts_nd == 0].mean() < wrong
    assert missing_nd[lost_nd].mean() > 1.4 * missing_nd[counts_nd == 0].mean()
    careful_nd = dropout_mask(seen_nd, threshold=0.7, warn=False).to_csr_missing(seen_nd).toarray() == 1
    assert careful_nd[lost_nd].mean() > 3 * careful_nd[counts_nd == 0].mean()


def test_leading_components_gain_from_the_mask_under_mild_dropout():
    """The components of the values before the loss come out nearer, by 0.05 in the sine of the angle between spaces."""
    path = DATA / "clustering" / "pbmc_4271_hvg.h5ad"
    if not path.exists():
        pytest.skip(f"{path.name} is not there; set CORPUSCLE_DATA")
    rng = np.random.default_rng(0)
    adata = anndata.read_h5ad(path)
    counts_nd = adata[rng.choice(adata.n_obs, 600, replace=False)].X.toarray()
    true_nd = np.log1p(counts_nd / counts_nd.sum(axis=1, keepdims=True) * 1e4)
    genes = np.argsort(-true_nd.var(axis=0))[:1000]
    true_nd, counts_nd = true_nd[:, genes], counts_nd[:, genes]
    kept_nd = rng.random(true_nd.shape) < rng.uniform(0.6, 1, (600, 1)) * rng.uniform(0.6, 1, (1, 1000))
    seen_nd = np.where(kept_nd, true_nd, 0.0)
    mask = dropout_mask(np.where(kept_nd, counts_nd, 0), warn=False)
    truth_nk, plain_nk = (
        np.linalg.svd(one - one.mean(axis=0), full_matrices=False)[0][:, :10] for one in (true_nd, seen_nd)
    )
    corrected_nk = UnbiasedPCA(10).fit(sp.csr_matrix(seen_nd), mask=mask).eigenvectors_
    assert sine(truth_nk, corrected_nk) < sine(truth_nk, plain_nk) - 0.05


def sine(one_nk, other_nk):
    """Root mean square of the sines of the angles between two spaces with orthonormal bases."""
    cosines = np.linalg.svd(one_nk.T @ other_nk, compute_uv=False)
    return np.sqrt(np.mean(1 - np.clip(cosines, 0, 1) ** 2))
