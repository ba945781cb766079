"""Values with missing entries: every form is the same matrix, whatever it is held as, and bad input is one clear line."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuscle.datasets import bundled_path
from corpuscle.errors import MethodError, OptionError
from corpuscle.reduce import _values_dense, _values_masks, _values_sparse
from corpuscle.reduce._block_mask import BlockMask
from corpuscle.reduce._values import (
    BlockValues,
    DenseValues,
    InputError,
    Missing,
    SparseValues,
    hajek_mean,
    new_values,
    values_of,
)

DATA = Path(os.environ.get("CORPUSCLE_DATA", Path(__file__).parents[2].parent / "shared" / "data"))


class Given:
    """A propensity that is a matrix."""

    def __init__(self, p_nd):
        self.p_nd = p_nd

    def p(self, rows):
        return self.p_nd[rows]


def in_forms(x_nd, seen_nd):
    """The same values and mask in every form that takes them."""
    junk_nd = np.where(seen_nd, x_nd, 7.5)
    nan_nd = np.where(seen_nd, x_nd, np.nan)
    return {
        "dense, NaN": (nan_nd, None),
        "dense, booleans": (junk_nd, seen_nd),
        "dense, integers": (junk_nd, seen_nd.astype(int)),
        "dense, Missing": (nan_nd, Missing(sp.csr_array(~seen_nd))),
        "dense, masked array": (np.ma.MaskedArray(junk_nd, ~seen_nd), None),
        "sparse, booleans": (sp.csr_array(junk_nd), seen_nd),
        "sparse, observed": (sp.csr_matrix(x_nd), sp.csr_matrix(seen_nd.astype(float))),
        "sparse, missing": (sp.csc_array(junk_nd), Missing(sp.coo_array(~seen_nd))),
        "sparse, missing dense": (sp.csr_array(nan_nd), Missing(~seen_nd)),
    }


def reference(x_nd, seen_nd, mean=None):
    """W of the columns observed at all, straight from the formula."""
    kept = seen_nd.any(axis=0)
    x_nd, seen_nd = x_nd[:, kept], seen_nd[:, kept]
    mean_d = (x_nd * seen_nd).sum(axis=0) / seen_nd.sum(axis=0) if mean is None else mean[kept]
    return np.where(seen_nd, x_nd - mean_d, 0), seen_nd, mean_d, np.flatnonzero(kept)


def assert_same(values, x_nd, seen_nd, mean=None, tolerance=1e-12):
    """Every public answer of the values equals the formula on dense arrays."""
    w_nd, m_nd, mean_d, columns_d = reference(x_nd, seen_nd, mean)
    n, d = w_nd.shape
    rng = np.random.default_rng(0)
    v_dk, u_nk, weight_d = rng.normal(size=(d, 3)), rng.normal(size=(n, 3)), rng.random(d)
    scale = max(1, np.abs(x_nd).max()) ** 2 * max(n, d)

    def near(found, wanted):
        assert found.dtype == np.float64
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * scale)

    assert values.shape == (n, d)
    assert values.n_features_in == x_nd.shape[1]
    assert values.complete == m_nd.all()
    np.testing.assert_array_equal(values.columns_d, columns_d)
    np.testing.assert_array_equal(values.row_counts_n, m_nd.sum(axis=1))
    np.testing.assert_array_equal(values.column_counts_d, m_nd.sum(axis=0))
    near(values.mean_d, mean_d)
    near(values.observed_mean(), reference(x_nd, seen_nd)[2])
    near(values.rows(0, n), w_nd)
    near(values.rows(1, n - 1), w_nd[1 : n - 1])
    np.testing.assert_array_equal(values.observed_rows(0, n), m_nd)
    np.testing.assert_array_equal(values.observed_rows(1, 3), m_nd[1:3])
    for v in (v_dk, v_dk[:, 0], np.asfortranarray(v_dk)):
        near(values.dot(v), w_nd @ v)
    for u in (u_nk, u_nk[:, 0], u_nk[::-1]):
        near(values.tdot(u), w_nd.T @ u)
    near(values.row_sums(weight_d, 1), w_nd @ weight_d)
    near(values.row_sums(weight_d, 2), w_nd**2 @ weight_d)
    near(values.row_sums(np.c_[weight_d, 1 - weight_d]), w_nd**2 @ np.c_[weight_d, 1 - weight_d])
    near(values.row_sums(), (w_nd**2).sum(axis=1))


def roads(monkeypatch):
    """Products by dense blocks and by stored entries, with blocks and parts small enough that there are several."""
    monkeypatch.setattr(_values_dense, "BUFFER_ENTRIES", 40)
    monkeypatch.setattr(_values_masks, "BLOCK_ENTRIES", 40)
    monkeypatch.setattr(_values_sparse, "PART_ENTRIES", 16)
    monkeypatch.setattr(_values_sparse, "THREADED_ENTRIES", 20)
    for dense_cost in (0.0, 1e9):
        monkeypatch.setattr(_values_sparse, "DENSE_COST", (dense_cost, 0.0))
        yield


@st.composite
def tables(draw):
    """Values with many zeros and a mask; every row has an observed entry, columns need not."""
    n, d = draw(st.integers(4, 25)), draw(st.integers(1, 20))
    rng = np.random.default_rng(draw(st.integers(0, 100_000)))
    x_nd = rng.normal(2, 3, (n, d)) * (rng.random((n, d)) < draw(st.sampled_from([0.0, 0.1, 0.5, 1.0])))
    seen_nd = rng.random((n, d)) < draw(st.sampled_from([0.05, 0.4, 0.8, 1.0]))
    seen_nd[np.arange(n), rng.integers(d, size=n)] = True
    return x_nd, seen_nd


@settings(max_examples=12, deadline=None)
@given(tables())
def test_every_form_equals_the_dense_formula(table):
    x_nd, seen_nd = table
    with pytest.MonkeyPatch.context() as monkeypatch:
        for _ in roads(monkeypatch):
            for name, (X, mask) in in_forms(x_nd, seen_nd).items():
                values = values_of(X, mask)
                assert isinstance(values, DenseValues if name.startswith("dense") else SparseValues), name
                assert_same(values, x_nd, seen_nd)


@settings(max_examples=25, deadline=None)
@given(tables(), st.integers(1, 4), st.integers(0, 1000))
def test_a_mask_by_clusters_equals_the_dense_formula(table, c, seed):
    x_nd, _ = table
    n, d = x_nd.shape
    rng = np.random.default_rng(seed)
    mask = BlockMask(rng.integers(c, size=n), rng.random((c, d)) < 0.6)
    seen_nd = mask.table_cd[mask.labels_n] | (x_nd != 0)
    stored = sp.csr_array(x_nd)
    stored.data[::3] = 0  # explicit zeros are zeros
    x_nd, seen_nd = stored.toarray(), mask.table_cd[mask.labels_n] | (stored.toarray() != 0)
    if not seen_nd.any(axis=1).all():
        with pytest.raises(InputError, match=r"no observed entry|no entry is observed"):
            values_of(stored, mask)
        return
    with pytest.MonkeyPatch.context() as monkeypatch:
        for _ in roads(monkeypatch):
            values = values_of(stored, mask)
            assert isinstance(values, BlockValues)
            assert_same(values, x_nd, seen_nd)
            assert_same(values_of(x_nd, mask), x_nd, seen_nd)
    # The mask listed entry by entry is the same mask.
    assert_same(values_of(stored, Missing(mask.to_csr_missing(stored))), x_nd, seen_nd)


@settings(max_examples=20, deadline=None)
@given(tables(), st.integers(0, 1000))
def test_rows_taken_keep_columns_and_means(table, seed):
    x_nd, seen_nd = table
    rng = np.random.default_rng(seed)
    some = rng.permutation(len(x_nd))[:3]
    w_nd, m_nd, mean_d, _ = reference(x_nd, seen_nd)
    for X, mask in in_forms(x_nd, seen_nd).values():
        values = values_of(X, mask)
        for rows in (some, slice(1, 4), np.arange(len(x_nd)) % 2 == 0):
            taken = values.take(rows)
            np.testing.assert_allclose(taken.rows(0, taken.shape[0]), w_nd[rows], atol=1e-12)
            np.testing.assert_array_equal(taken.row_counts_n, m_nd[rows].sum(axis=1))
            np.testing.assert_array_equal(taken.column_counts_d, m_nd[rows].sum(axis=0))
            np.testing.assert_allclose(taken.mean_d, mean_d, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(tables())
def test_new_rows_get_the_columns_and_means_of_the_fitted(table):
    x_nd, seen_nd = table
    kept = seen_nd.any(axis=0)
    new_nd, new_seen_nd = x_nd[1:2] + 1, seen_nd[1:2]
    wanted = reference(x_nd, seen_nd)[2]
    for X, mask in in_forms(new_nd, new_seen_nd).values():
        for fitted in (values_of(x_nd, seen_nd), values_of(sp.csr_array(x_nd), seen_nd)):
            values = new_values(X, mask, like=fitted)
            np.testing.assert_allclose(
                values.rows(0, 1), np.where(new_seen_nd[:, kept], new_nd[:, kept] - wanted, 0), atol=1e-12
            )


def test_new_rows_of_other_columns_are_refused():
    fitted = values_of(np.eye(4))
    with pytest.raises(InputError, match="3 features, but 4 were fitted"):
        new_values(np.ones((2, 3)), like=fitted)
    with pytest.raises(InputError, match=r"1 of 2 rows has no observed entry \(row 1\)"):
        new_values(np.array([[1.0, 2, 3, 4], [np.nan] * 4]), like=fitted)


def small(seed=0, n=30, d=12):
    """Counts, a mask with uneven rows and columns, and the probabilities that it was drawn with."""
    rng = np.random.default_rng(seed)
    p_nd = rng.uniform(0.3, 1, (n, 1)) * rng.uniform(0.5, 1, d)
    seen_nd = rng.random((n, d)) < p_nd
    seen_nd[:, 0] |= ~seen_nd.any(axis=1)
    return rng.poisson(0.8, (n, d)).astype(float), seen_nd, p_nd


def test_hajek_means_weigh_by_the_inverse_probability():
    x_nd, seen_nd, p_nd = small()
    weight_nd = seen_nd / p_nd
    wanted = (weight_nd * x_nd).sum(axis=0) / weight_nd.sum(axis=0)
    assert np.abs(wanted - reference(x_nd, seen_nd)[2]).max() > 1e-3
    for X, mask in in_forms(x_nd, seen_nd).values():
        values = values_of(X, mask, center="hajek", propensity=Given(p_nd))
        assert_same(values, x_nd, seen_nd, mean=wanted)
        # A function of the values that are not yet centred does as well, and so does any centring before.
        asked = []
        by_function = values_of(X, mask, center="hajek", propensity=lambda v, seen=asked: seen.append(v) or Given(p_nd))
        np.testing.assert_array_equal(by_function.mean_d, values.mean_d)
        assert len(asked) == 1
        np.testing.assert_allclose(hajek_mean(values_of(X, mask), Given(p_nd)), wanted, atol=1e-12)


def test_hajek_means_of_equal_probabilities_and_of_complete_values_are_the_observed_ones():
    x_nd, seen_nd, _ = small()
    values = values_of(x_nd, seen_nd)
    np.testing.assert_allclose(hajek_mean(values, Given(np.full(x_nd.shape, 0.4))), values.mean_d, atol=1e-12)
    complete = values_of(x_nd)
    # Nothing is asked of the propensity: this one would fail.
    np.testing.assert_array_equal(hajek_mean(complete, Given(None)), complete.observed_mean())


def test_values_may_be_left_uncentred_and_centred_later():
    x_nd, seen_nd, _ = small()
    for X, mask in in_forms(x_nd, seen_nd).values():
        raw = values_of(X, mask, center=None)
        assert_same(raw, x_nd, seen_nd, mean=np.zeros(x_nd.shape[1]))
        assert_same(raw.with_mean(raw.observed_mean()), x_nd, seen_nd)
        assert_same(raw, x_nd, seen_nd, mean=np.zeros(x_nd.shape[1]))  # with_mean made a copy


@pytest.mark.parametrize("center", ["Observed", "mean", 0, False])
def test_another_centring_is_refused(center):
    with pytest.raises(OptionError, match="'observed', 'hajek' or None"):
        values_of(np.eye(4), center=center)


def test_hajek_needs_a_propensity():
    with pytest.raises(OptionError, match="give the propensity"):
        values_of(np.eye(4), center="hajek")


@pytest.mark.parametrize("form", ["dense, NaN", "sparse, missing", "sparse, observed"])
def test_float32_is_held_and_summed_in_float64(form):
    x_nd, seen_nd, _ = small(n=60, d=40)
    x_nd = (x_nd + 0.1).astype(np.float32)
    X, mask = in_forms(x_nd, seen_nd)[form]
    values = values_of(X.astype(np.float32), mask)
    assert values.dtype == np.float32
    assert_same(values, x_nd.astype(float), seen_nd, tolerance=1e-7)
    np.testing.assert_allclose(values.row_sums(), (values.rows(0, 60) ** 2).sum(axis=1), rtol=1e-13)
    assert values_of(X.astype(np.float32), mask, dtype="float64").dtype == np.float64
    # One large and very many small products: in float32 the small ones would be lost.
    tall = np.full((3, 20_001), 2.0**-12, dtype=np.float32)
    tall[:, 0] = 2.0**12
    held = values_of(tall if form.startswith("dense") else sp.csr_array(tall),
                     None if form.startswith("dense") else np.ones(tall.shape), center=None)  # fmt: skip
    np.testing.assert_array_equal(held.dot(np.ones(20_001)), np.full(3, 2.0**12 + 20_000 * 2.0**-12))


def test_a_float32_that_overflows_is_infinite():
    with pytest.raises(InputError, match="infinite value"):
        values_of(np.array([[1e300, 1], [1, 2], [2, 1]]), dtype="float32")
    with pytest.raises(InputError, match="float32 or float64"):
        values_of(np.eye(3), dtype="float16")


@pytest.mark.parametrize("kind", [bool, np.int8, np.uint16, np.int64, np.float16, object])
def test_other_numbers_become_float64(kind):
    values = values_of(np.eye(4).astype(kind), center=None)
    assert values.dtype == np.float64
    np.testing.assert_array_equal(values.rows(0, 4), np.eye(4))
    if kind not in (object, np.float16):
        held = values_of(sp.csr_array(np.eye(4)).astype(kind), np.ones((4, 4)), center=None)
        np.testing.assert_array_equal(held.rows(0, 4), np.eye(4))


def test_nothing_given_is_changed_or_shared():
    x_nd, seen_nd, _ = small()
    stored = sp.csr_array(np.where(seen_nd, x_nd, 9.0))
    shuffled = sp.csr_array(
        (stored.data[::-1].copy(), stored.indices[::-1].copy(), stored.nnz - stored.indptr[::-1]), shape=stored.shape
    )
    for X, mask in [(x_nd.copy(), seen_nd.copy()), (stored, sp.csr_array(seen_nd)), (shuffled, sp.csr_array(~seen_nd)),
                    (stored, BlockMask(np.zeros(30, dtype=int), np.ones((1, 12), dtype=bool)))]:  # fmt: skip
        before = (X.copy(), mask if isinstance(mask, BlockMask) else mask.copy())
        values = values_of(X, Missing(mask) if X is shuffled else mask)
        wanted = values.rows(0, 30), values.observed_rows(0, 30)
        if sp.issparse(X):
            for array in ("data", "indices", "indptr"):
                np.testing.assert_array_equal(getattr(X, array), getattr(before[0], array))
        else:
            np.testing.assert_array_equal(X, before[0])
            X[:], mask[:] = -1, True
        values.rows(0, 30)[:] = 5
        values.observed_rows(0, 30)[:] = False
        np.testing.assert_array_equal(values.rows(0, 30), wanted[0])
        np.testing.assert_array_equal(values.observed_rows(0, 30), wanted[1])


def test_duplicates_in_sparse_input_are_added():
    x = sp.coo_array((np.array([1.0, 2, 3, 4]), ([0, 0, 1, 2], [1, 1, 0, 2])), shape=(3, 3)).tocsr()
    doubled = sp.csr_array((np.array([1.0, 2, 3, 4]), np.array([1, 1, 0, 2]), np.array([0, 2, 3, 4])), shape=(3, 3))
    held = values_of(doubled, np.ones((3, 3)), center=None)
    np.testing.assert_array_equal(held.rows(0, 3), x.toarray())


@pytest.mark.parametrize("few_missing", [True, False])
def test_the_sparser_of_the_two_patterns_is_stored(few_missing):
    rng = np.random.default_rng(0)
    stored = sp.random_array((200, 100), density=0.05, rng=rng, format="csr")
    missing_nd = rng.random((200, 100)) < (0.1 if few_missing else 0.9)
    sizes = [
        values_of(stored, mask)._stored.nnz
        for mask in (~missing_nd, sp.csr_array(~missing_nd), Missing(sp.csr_array(missing_nd)))
    ]
    most = stored.nnz + missing_nd.sum() if few_missing else (~missing_nd).sum()
    assert len(set(sizes)) == 1
    assert sizes[0] <= most


def test_columns_never_observed_are_left_out_and_counted():
    x_nd, seen_nd, _ = small()
    seen_nd[:, [2, 7]] = False
    seen_nd[:, 0] = True
    for X, mask in in_forms(x_nd, seen_nd).values():
        values = values_of(X, mask)
        assert values.shape == (30, 10)
        assert values.n_features_in - len(values.columns_d) == 2
        assert not {2, 7} & set(values.columns_d)
        assert_same(values, x_nd, seen_nd)


def test_complete_values_say_so_and_constant_or_single_columns_are_fine():
    x_nd, seen_nd, _ = small()
    x_nd[:, 3] = 4
    assert values_of(x_nd).complete
    assert values_of(sp.csr_array(x_nd), Missing(sp.csr_array(x_nd.shape))).complete
    assert not values_of(x_nd, seen_nd).complete
    assert_same(values_of(x_nd, seen_nd), x_nd, seen_nd)
    np.testing.assert_array_equal(values_of(x_nd).rows(0, 30)[:, 3], 0)
    assert values_of(x_nd[:, :1]).shape == (30, 1)


def good():
    """Values and a mask that are as they should be."""
    return np.arange(20.0).reshape(5, 4), np.ones((5, 4), dtype=bool)


def set_at(array, row, column, value):
    array = array.astype(float)
    array[row, column] = value
    return array


X0, M0 = good()
NONE_IN_ROWS = np.where(np.isin(np.arange(5), [1, 4])[:, None], np.nan, X0)
BAD = {
    "rows missing": (NONE_IN_ROWS, None, r"2 of 5 rows have no observed entry \(rows 1, 4\); leave them out"),
    "rows missing, sparse": (sp.csr_array(X0), Missing(np.isnan(NONE_IN_ROWS)), r"2 of 5 rows .*\(rows 1, 4\)"),
    "all missing": (X0 * np.nan, None, "no entry is observed in any of the 4 columns"),
    "infinite": (set_at(X0, 2, 3, np.inf), None, "infinite value.*row 2, column 3; mark"),
    "infinite, several": (set_at(set_at(X0, 2, 3, -np.inf), 4, 0, np.inf), None, r"row 2, column 3 \(the first of 2\)"),
    "infinite, sparse": (sp.csr_array(set_at(X0, 2, 3, np.inf)), M0, "infinite value.*row 2, column 3"),
    "infinite, few seen": (sp.csr_array(set_at(X0, 2, 3, np.inf)), sp.csr_array(np.eye(5, 4, 1) + np.eye(5, 4, -4)),
                           "infinite value.*row 2, column 3"),
    "infinite, blocks": (sp.csr_array(set_at(X0, 2, 3, np.inf)),
                         BlockMask(np.zeros(5, dtype=int), np.ones((1, 4), dtype=bool)),
                         "infinite value.*row 2, column 3"),
    "NaN observed": (set_at(X0, 1, 2, np.nan), M0, "NaN that the mask calls observed at row 1, column 2"),
    "NaN observed, sparse": (sp.csr_array(set_at(X0, 1, 2, np.nan)), M0, "NaN .*row 1, column 2; mark it as missing"),
    "NaN stored, blocks": (sp.csr_array(set_at(X0, 1, 2, np.nan)),
                           BlockMask(np.zeros(5, dtype=int), np.ones((1, 4), dtype=bool)), "NaN .*row 1, column 2"),
    "mask shape": (X0, M0[:4], r"mask has shape \(4, 4\) and X has \(5, 4\)"),
    "mask shape, one axis": (X0, np.ones(4), r"mask has shape \(4,\)"),
    "mask shape, sparse": (sp.csr_array(X0), sp.csr_array(M0.T), r"mask has shape \(4, 5\)"),
    "mask shape, Missing": (sp.csr_array(X0), Missing(sp.csr_array(M0.T)), r"mask has shape \(4, 5\)"),
    "mask shape, blocks": (sp.csr_array(X0), BlockMask(np.zeros(4, dtype=int), np.ones((1, 4), dtype=bool)),
                           r"mask has shape \(4, 4\)"),
    "mask value": (X0, set_at(M0, 3, 1, 2), "mask value 2.0 at row 3, column 1; a mask is 1"),
    "mask NaN": (X0, set_at(M0, 3, 1, np.nan), "mask value nan at row 3, column 1"),
    "mask value, sparse": (sp.csr_array(X0), sp.csr_array(set_at(M0, 3, 1, 0.5)), "mask value 0.5 at row 3, column 1"),
    "mask of words": (X0, np.full((5, 4), "yes"), "mask value yes at row 0, column 0"),
    "two rows": (X0[:2], None, r"2 sample\(s\) \(shape=\(2, 4\)\) while a minimum of 3"),
    "one row, sparse": (sp.csr_array(X0[:1]), M0[:1], r"1 sample\(s\)"),
    "no rows": (X0[:0], None, r"0 sample\(s\)"),
    "no columns": (X0[:, :0], None, r"0 feature\(s\) \(shape=\(5, 0\)\) while a minimum of 1 is required"),
    "one axis": (X0[0], None, "1 axes; give samples x features"),
    "three axes": (X0[None], None, "3 axes"),
    "sparse, no mask": (sp.csr_array(X0), None, "sparse X without a mask: nothing would be missing.*dropout_mask"),
    "complex": (X0 + 1j, None, "Complex data not supported"),
    "complex, sparse": (sp.csr_array(X0 + 1j), M0, "Complex data not supported"),
    "words": (np.full((5, 4), "a"), None, "not numbers"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_one_line_that_says_where(what):
    X, mask, says = BAD[what]
    with pytest.raises(InputError, match=says) as refused:
        values_of(X, mask)
    assert "\n" not in str(refused.value)
    assert isinstance(refused.value, ValueError)
    assert isinstance(refused.value, MethodError)


def test_what_is_missing_may_hold_anything():
    x_nd, seen_nd, _ = small()
    wanted = values_of(x_nd, seen_nd)
    rng = np.random.default_rng(1)
    bad_nd = np.where(seen_nd, x_nd, rng.choice([np.nan, np.inf, -np.inf], size=x_nd.shape))
    for X, mask in [(bad_nd, seen_nd), (sp.csr_array(bad_nd), seen_nd), (sp.csr_array(bad_nd), sp.csr_array(seen_nd))]:
        np.testing.assert_array_equal(values_of(X, mask).rows(0, 30), wanted.rows(0, 30))


@pytest.mark.parametrize("road", ["dense blocks", "stored entries"])
@pytest.mark.parametrize("form", ["missing", "observed", "blocks"])
def test_sparse_values_are_never_dense_as_a_whole(form, road, monkeypatch):
    monkeypatch.setattr(_values_dense, "BUFFER_ENTRIES", 300_000)
    monkeypatch.setattr(_values_masks, "BLOCK_ENTRIES", 300_000)
    monkeypatch.setattr(_values_sparse, "DENSE_COST", (0.0 if road == "dense blocks" else 1e9, 0.0))
    n, d = 3_000, 2_000
    rng = np.random.default_rng(0)
    stored = sp.random_array((n, d), density=0.02, rng=rng, format="csr")
    pattern = sp.random_array((n, d), density=0.03, rng=rng, format="csr").astype(bool)
    pattern.data[:] = True
    mask = {
        "missing": Missing(pattern),
        "observed": pattern,
        "blocks": BlockMask(rng.integers(4, size=n), rng.random((4, d)) < 0.9),
    }[form]
    vectors_dk, vectors_nk = rng.normal(size=(d, 4)), rng.normal(size=(n, 4))
    tracemalloc.start()
    try:
        values = values_of(stored, mask, center="hajek", propensity=_Half(d))
        values.tdot(values.dot(vectors_dk))
        values.dot(values.tdot(vectors_nk))
        values.row_sums(), values.take(slice(0, n // 2)), values.rows(0, 10)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # n x d booleans are 6 MB and floats 48 MB: not even many blocks were held at once.
    assert peak < 0.35 * n * d * 8


class _Half:
    """Every probability is a half."""

    def __init__(self, d):
        self.d = d

    def p(self, rows):
        return np.full((rows.stop - rows.start, self.d), 0.5)


def test_products_repeat_exactly_and_do_not_depend_on_threads(monkeypatch):
    rng = np.random.default_rng(0)
    stored = sp.random_array((400, 90), density=0.2, rng=rng, format="csr")
    values = values_of(stored, rng.random((400, 90)) < 0.9)
    u_nk = rng.normal(size=(400, 5))
    monkeypatch.setattr(_values_sparse, "PART_ENTRIES", 300)
    found = []
    for threads in (1, 3, 3):
        monkeypatch.setattr("corpuscle.counts._threads.n_threads", lambda threads=threads: threads)
        monkeypatch.setattr(_values_sparse, "n_threads", lambda threads=threads: threads)
        monkeypatch.setattr(_values_sparse, "DENSE_COST", (1e9, 0.0))
        by_entries = values.tdot(u_nk)
        monkeypatch.setattr(_values_sparse, "DENSE_COST", (0.0, 0.0))
        monkeypatch.setattr(_values_sparse, "THREADED_ENTRIES", 100)
        found.append((by_entries, values.tdot(u_nk)))
    for by_entries, by_blocks in found[1:]:
        np.testing.assert_array_equal(by_entries, found[0][0])
        np.testing.assert_array_equal(by_blocks, found[0][1])


def test_real_counts_with_entries_lost_are_the_same_in_every_form():
    from corpuscle import open_counts

    x_nd = open_counts(bundled_path("pbmc_1k_v3")).to_csr()[:150, :400].astype(float)
    _check_real(x_nd)


def test_shared_counts_with_entries_lost_are_the_same_in_every_form():
    path = DATA / "clustering" / "mouse_bladder_2100.h5ad"
    if not path.exists():
        pytest.skip("needs clustering/mouse_bladder_2100.h5ad of the shared data (CORPUSCLE_DATA)")
    from corpuscle import open_counts

    _check_real(open_counts(path).to_csr()[:200, :500].astype(float))


def _check_real(counts_nd):
    logged = sp.csr_array(counts_nd).copy()
    logged.data = np.log1p(logged.data)
    seen_nd = np.random.default_rng(0).random(logged.shape) < 0.7
    for X, mask in in_forms(logged.toarray(), seen_nd).values():
        assert_same(values_of(X, mask), logged.toarray(), seen_nd)
