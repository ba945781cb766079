from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pair_cells import pbmc68k

from corpuscle.corpus.pairs.negatives import NegativePolicy, draw_negatives
from corpuscle.errors import MethodError, OptionError


def admissible(caption: list[Any], batch: list[Any] | None, row: int) -> tuple[set[int], bool]:
    """All cells that may be a negative of ``row``, by looking at each, and whether they are of its batch."""
    others = {at for at, said in enumerate(caption) if said is not None and said != caption[row]}
    if batch is not None and batch[row] is not None:
        near = {at for at in others if batch[at] == batch[row]}
        if near:
            return near, True
    return others, False


def check_by_brute_force(caption: list[Any], batch: list[Any] | None, policy: NegativePolicy) -> None:
    drawn = draw_negatives(caption, batch, policy)
    preferred = batch if policy.prefer_same_batch else None
    expected = [at for at in range(len(caption)) if caption[at] is not None and admissible(caption, preferred, at)[0]]
    assert drawn.row_n.tolist() == expected
    assert drawn.index_nk.shape == (len(expected), policy.n)
    same = repeated = 0
    for row, picked in zip(drawn.row_n.tolist(), drawn.index_nk.tolist(), strict=True):
        allowed, near = admissible(caption, preferred, row)
        assert set(picked) <= allowed
        same += near
        repeated += len(set(picked)) < len(picked)
        assert len(set(picked)) == policy.n or len(allowed) < policy.n
    report = drawn.report
    assert (report.rows, report.drawn, report.same_batch) == (len(caption), len(expected), same)
    assert report.repeated == repeated
    assert report.no_caption == sum(said is None for said in caption)
    assert report.drawn + report.no_caption + report.no_other_caption == report.rows
    if preferred is not None:
        assert report.same_batch + report.other_batch + report.no_batch == report.drawn


cells = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c", None]), st.sampled_from(["x", "y", "z", None])), min_size=0, max_size=25
)


@settings(deadline=None)
@given(cells, st.integers(1, 5), st.booleans(), st.booleans(), st.integers(0, 3))
def test_every_draw_is_admissible(
    values: list[tuple[str | None, str | None]], n: int, batches: bool, prefer: bool, seed: int
) -> None:
    caption, batch = [said for said, _ in values], [where for _, where in values] if batches else None
    check_by_brute_force(caption, batch, NegativePolicy(n=n, prefer_same_batch=prefer, seed=seed))


def test_real_cells_by_brute_force_and_as_many_distinct_as_a_random_draw() -> None:
    obs = pbmc68k().obs
    caption, batch = obs["cell_type"].tolist(), obs["louvain"].tolist()
    check_by_brute_force(caption, batch, NegativePolicy(n=4))
    drawn = draw_negatives(caption, batch)
    rng = np.random.default_rng(1)
    naive = [rng.choice(sorted(admissible(caption, batch, row)[0])) for row in range(len(caption))]
    assert drawn.kinds == ("caption", "sentence")
    for distinct, index_n in zip(drawn.report.distinct, drawn.index_nk.T, strict=True):
        assert distinct == len(set(index_n.tolist())) >= 0.8 * len(set(naive))


def test_draws_are_uniform_within_the_batch() -> None:
    # One anchor type against six cells of its batch, two of a far batch: each of the six a sixth of the time.
    caption = ["anchor"] * 12_000 + list("bbbcde") + ["f", "f"]
    batch = [0] * 12_006 + [1, 1]
    drawn = draw_negatives(caption, batch, NegativePolicy(n=3))
    for index_n in drawn.index_nk[:12_000].T:
        times = np.bincount(index_n - 12_000, minlength=8)
        assert times[6:].sum() == 0
        assert np.abs(times[:6] - 2_000).max() < 250  # six standard deviations
    pair = drawn.index_nk[:12_000, 0] * 10 + drawn.index_nk[:12_000, 1] - 12_000 * 11
    assert np.unique(pair).size == 30 and np.abs(np.bincount(pair)[np.unique(pair)] - 400).max() < 120


def test_one_seed_repeats_and_another_differs_and_more_draws_keep_the_first() -> None:
    obs = pbmc68k().obs
    caption, batch = obs["cell_type"].to_numpy(), obs["batch"].to_numpy()
    first, again = draw_negatives(caption, batch), draw_negatives(caption, batch)
    assert (first.index_nk == again.index_nk).all()
    other = draw_negatives(caption, batch, NegativePolicy(seed=1))
    assert (first.index_nk != other.index_nk).mean() > 0.9
    more = draw_negatives(caption, batch, NegativePolicy(n=4))
    assert (more.index_nk[:, :2] == first.index_nk).all()
    assert (first.index_nk[:, 0] != first.index_nk[:, 1]).all()


def test_a_batch_of_one_caption_draws_elsewhere_and_says_so() -> None:
    drawn = draw_negatives(["a", "a", "b", "c"], ["x", "x", "y", "y"])
    assert set(drawn.index_nk[:2].ravel()) <= {2, 3}
    assert (drawn.report.other_batch, drawn.report.same_batch) == (2, 2)
    assert drawn.index_nk[2:].tolist() == [[3, 3], [2, 2]] and drawn.report.repeated == 2


def test_one_caption_or_none_is_reported_and_refused_on_request() -> None:
    one = draw_negatives(["a", "a", "a"], ["x", "y", "y"])
    assert one.index_nk.shape == (0, 2) and one.report.no_other_caption == 3
    with pytest.raises(MethodError, match="train has no negatives: all its captions are the same"):
        one.require("train")
    none = draw_negatives([None, float("nan"), " "])
    assert none.report.no_caption == 3 and none.report.captions == 0
    with pytest.raises(MethodError, match="none of its cells has a caption"):
        none.require()
    empty = draw_negatives([])
    assert empty.require() is empty and empty.index_nk.shape == (0, 2)


def test_missing_batches_draw_from_all_cells() -> None:
    drawn = draw_negatives(["a", "b", "a", "b"], [None, float("nan"), "x", "x"])
    assert (drawn.report.no_batch, drawn.report.same_batch) == (2, 2)


def test_what_makes_no_policy_is_refused() -> None:
    for wrong in (
        {"n": 0},
        {"n": True},
        {"n": 65},
        {"kinds": ()},
        {"kinds": ("omics",)},
        {"kinds": "caption"},
        {"seed": -1},
    ):
        with pytest.raises(OptionError):
            NegativePolicy(**wrong)
    with pytest.raises(OptionError, match="2 batches for 3 captions"):
        draw_negatives(["a", "b", "c"], ["x", "y"])
    assert NegativePolicy(n=5).columns == ("caption", "sentence", "caption", "sentence", "caption")


def calls(n: int, n_captions: int, n_batches: int) -> int:
    """Function calls, of Python and of C, that a draw for ``n`` cells makes."""
    rng = np.random.default_rng(0)
    caption = np.array([f"c{k}" for k in range(n_captions)], dtype=object)[np.arange(n) % n_captions]
    batch = np.array([f"b{k}" for k in range(n_batches)], dtype=object)[rng.permutation(np.arange(n) % n_batches)]
    count = 0

    def on(_frame: Any, event: str, _what: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(on)
    try:
        draw_negatives(caption, batch)
    finally:
        sys.setprofile(before)
    return count


def test_a_hundred_thousand_cells_take_no_more_calls_than_a_thousand() -> None:
    calls(100, 10, 5)  # imports
    assert calls(100_000, 10, 5) <= calls(1_000, 10, 5) + 20
