"""Scores of genes, percentiles and windows on arrays, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from corpuscle.bulk.genes import GeneHistogram, gini, order_interval, signal_ratio, tau, window_at
from corpuscle.bulk.genes.percentiles import sorted_quantiles
from corpuscle.bulk.genes.windows import random_windows, series_windows
from corpuscle.counts import Block
from corpuscle.errors import OptionError

VALUES = arrays(np.float32, st.tuples(st.integers(2, 40), st.integers(1, 5)), elements=st.floats(0, 20, width=32))


@given(VALUES)
@settings(max_examples=60, deadline=None)
def test_signal_ratio_is_the_percentile_of_scaled_values(value_ng):
    scaled_ng = (1 + value_ng.astype(float)) / (1 + value_ng.astype(float)).mean(axis=0)
    found = signal_ratio(np.percentile(value_ng.astype(float), 95, axis=0), value_ng.mean(axis=0, dtype=float))
    assert np.allclose(found, np.percentile(scaled_ng, 95, axis=0), rtol=1e-9)


def test_dividing_by_a_gene_length_hides_the_signal():
    value_ng = np.random.default_rng(0).gamma(0.5, 4.0, (200, 30))
    high_g, mean_g = np.percentile(value_ng, 95, axis=0), value_ng.mean(axis=0)
    spread = [np.ptp(signal_ratio(high_g / length, mean_g / length)) for length in (1, 100, 30_000)]
    assert spread[0] > 0.5
    assert spread[1] < 0.1 * spread[0]
    assert spread[2] < 1e-3 * spread[0]
    assert np.isnan(signal_ratio(np.array([1.0]), np.array([-1.0]))).all()


@given(VALUES, st.floats(0.01, 0.99))
@settings(max_examples=60, deadline=None)
def test_sorted_quantiles_are_those_of_numpy(value_ng, q):
    middle_g, high_g, _, _ = sorted_quantiles(np.sort(value_ng, axis=0), q)
    assert np.allclose(middle_g, np.percentile(value_ng.astype(float), 50, axis=0))
    assert np.allclose(high_g, np.percentile(value_ng.astype(float), 100 * q, axis=0))


def test_gini_is_half_the_relative_mean_difference():
    value_ng = np.random.default_rng(1).gamma(1.0, 2.0, (50, 4))
    value_ng[:, 1], value_ng[:, 2] = 3.0, 0.0
    found = gini(np.sort(value_ng, axis=0))
    apart_g = np.abs(value_ng[:, None] - value_ng[None]).mean(axis=(0, 1))
    assert np.allclose(found[[0, 3]], (apart_g / (2 * value_ng.mean(axis=0).clip(1e-9)))[[0, 3]])
    assert found[1] == pytest.approx(0)
    assert np.isnan(found[2])
    assert np.isnan(gini(np.array([[-1.0], [2.0]]))).all()


def test_tau_of_a_gene_of_one_label_and_of_all_alike():
    mean_lg = np.array([[4.0, 2.0, 0.0, 1.0], [0.0, 2.0, 0.0, -1.0], [2.0, 2.0, 0.0, 1.0]])
    assert tau(mean_lg)[:2] == pytest.approx([0.75, 0.0])
    assert np.isnan(tau(mean_lg)[2:]).all()
    assert np.isnan(tau(mean_lg[:1])).all()


def test_interval_of_a_percentile_by_ranks():
    assert order_interval(121_983, 0.95) == (115_734, 116_034)  # 115,883.85 -+ 149.2
    assert order_interval(72, 0.95)[1] is None
    assert order_interval(73, 0.95)[1] == 73
    rng = np.random.default_rng(2)
    low, high = order_interval(200, 0.95)
    drawn = np.sort(rng.random((4000, 200)), axis=1)
    inside = ((drawn[:, low - 1] <= 0.95) & (drawn[:, high - 1] >= 0.95)).mean()
    assert 0.94 < inside < 0.985


@given(VALUES, st.integers(2, 64), st.integers(1, 39))
@settings(max_examples=60, deadline=None)
def test_histogram_is_within_its_error_and_merges_exactly(value_ng, bins, cut):
    def filled(*parts):
        sketch = GeneHistogram(value_ng.min(axis=0), value_ng.max(axis=0), bins)
        for part in parts:
            sketch.update(Block(part, slice(0, len(part)), "x"))
        return sketch

    whole, first, second = filled(value_ng), filled(value_ng[:cut]), filled(value_ng[cut:])
    second.merge(first)
    assert (second.count_gb == whole.count_gb).all()
    assert (whole.count_gb.sum(axis=1) == len(value_ng)).all()
    for q in (0.3, 0.95):
        found = whole.quantiles(q)
        exact_g = np.percentile(value_ng.astype(float), 100 * q, axis=0)
        assert (np.abs(found.high_g - exact_g) <= whole.error_g + 1e-5).all()


def test_histogram_knows_zeros_exactly_and_gini_nearly():
    value_ng = np.random.default_rng(3).gamma(1.0, 2.0, (5000, 2)).astype(np.float32)
    value_ng[:4800, 1] = 0
    sketch = GeneHistogram(value_ng.min(axis=0), value_ng.max(axis=0))
    sketch.update(Block(value_ng, slice(0, 5000), "x"))
    found = sketch.quantiles(0.95)
    assert found.high_g[1] == 0
    assert np.allclose(found.gini_g, gini(np.sort(value_ng, axis=0)), atol=2e-3)


def test_window_of_the_reference_and_ours():
    assert (window_at(121_983, 0.95, 100, repo_formula=True).start) == 115_834
    ours = window_at(10_001, 0.95, 101)
    assert (ours.start + ours.stop - 1) / 2 == 9500
    assert window_at(60, 0.95, 20).stop == 60
    cut = window_at(60, 0.95, 20, repo_formula=True)
    assert (cut.start, cut.stop) == (47, 60)
    for k in (1, 61):
        with pytest.raises(OptionError, match=f"k = {k} samples cannot be cut from 60"):
            window_at(60, 0.95, k)


@given(arrays(np.float32, st.integers(6, 40), elements=st.integers(0, 4).map(float)), st.integers(2, 6), st.data())
@settings(max_examples=80, deadline=None)
def test_members_have_the_values_of_the_window(value_n, k, data):
    window = window_at(len(value_n), data.draw(st.sampled_from([0.1, 0.5, 0.95])), k)
    sorted_n = np.sort(value_n)
    members = window.members(value_n, sorted_n, np.random.default_rng(0))
    assert len(set(members.tolist())) == k
    assert (np.sort(value_n[members]) == sorted_n[window.start : window.stop]).all()
    if not window.has_choice(sorted_n):
        assert (members == window.members(value_n, sorted_n)).all()


def test_ties_are_drawn_uniformly():
    value_n = np.array([0.0] * 4 + [1.0] * 6 + [2.0] * 2, np.float32)
    window = window_at(12, 0.75, 4)  # places 7 to 10: three of the six ones, one of the two twos
    assert window.has_choice(np.sort(value_n))
    rng = np.random.default_rng(4)
    drawn = np.concatenate([window.members(value_n, np.sort(value_n), rng) for _ in range(3000)])
    share_n = np.bincount(drawn, minlength=12) / 3000
    assert np.allclose(share_n, [0] * 4 + [0.5] * 6 + [0.5] * 2, atol=0.04)


def test_windows_of_whole_series_are_from_few():
    code_n = np.repeat(np.arange(20), 10)
    drawn = series_windows(code_n, 25, 50, 0)
    assert {len(set(code_n[window])) for window in drawn} == {3}
    assert all(len(set(window.tolist())) == 25 for window in drawn)
    spread = random_windows(200, 25, 50, 0)
    assert min(len(set(code_n[window])) for window in spread) > 8
    assert (series_windows(code_n, 25, 50, 0) == drawn).all()
