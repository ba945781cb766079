"""Cell rules never look at the pair, and say what they did."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from corpuscle.benchmarks.coregulation.cells import choose_cells, quadrants
from corpuscle.counts import Counts, MemorySource
from corpuscle.datasets import Pair
from corpuscle.errors import MethodError, OptionError

LIGHT = Pair("IGKC_vs_IGLC2", "exclusion", "IGKC", "IGLC2")
GENES = ["IGKC", "IGLC2", "CD79A", "MS4A1", "CD79B", "MZB1", "DERL3", "ACTB"]


def made(rows, genes=GENES, obs=None):
    cells = pd.DataFrame(obs or {}, index=[f"cell{i}" for i in range(len(rows))])
    return Counts([MemorySource(sp.csr_matrix(np.array(rows, np.int32)), cells, pd.DataFrame(index=genes), name="toy")])


ROWS = [
    [9, 0, 1, 1, 0, 0, 0, 5],  # B: two markers
    [0, 9, 0, 2, 1, 0, 0, 5],  # B: two markers
    [9, 0, 1, 0, 0, 0, 0, 5],  # ambient kappa, one marker
    [0, 0, 0, 0, 0, 0, 0, 5],  # not B
    [9, 0, 0, 0, 0, 2, 1, 5],  # plasma
    [0, 0, 0, 0, 0, 0, 1, 5],
]


def test_b_cells_need_two_markers_whatever_the_pair_says():
    chosen = choose_cells(made(ROWS), LIGHT)
    assert chosen.mask_n.tolist() == [True, True, False, False, False, False]
    flipped = np.array(ROWS)
    flipped[:, :2] = flipped[::-1, :2]
    assert (choose_cells(made(flipped), LIGHT).mask_n == chosen.mask_n).all()


def test_plasma_cells_are_taken_on_request():
    assert choose_cells(made(ROWS), LIGHT, include_plasma=True).mask_n.tolist() == [
        True,
        True,
        False,
        False,
        True,
        False,
    ]


def test_a_sorted_sample_keeps_all_its_cells():
    chosen = choose_cells(made([ROWS[0]] * 9 + [ROWS[3]]), LIGHT)
    assert chosen.n_cells == 10
    assert chosen.rule.startswith("all cells")


@pytest.mark.parametrize(("rows", "words"), [(ROWS[2:4], "no B cell"), ([ROWS[0], *ROWS[2:]], "one B cell")])
def test_too_few_b_cells_are_refused_in_words(rows, words):
    with pytest.raises(MethodError, match=words):
        choose_cells(made(rows), LIGHT)


def test_too_few_markers_are_refused():
    with pytest.raises(MethodError, match="only 2 of the B-cell markers"):
        choose_cells(made([row[:4] for row in ROWS], GENES[:4]), LIGHT)


def test_mouse_markers_are_found_in_title_case():
    mouse = made(ROWS, [gene.title() for gene in GENES])
    assert choose_cells(mouse, Pair("k", "exclusion", "Igkc", "Iglc2")).n_cells == 2


def test_a_reporter_is_judged_in_all_cells():
    assert choose_cells(made(ROWS), Pair("eGFP", "reporter", "IGKC", "ACTB")).mask_n.all()


def test_obs_column_rule():
    counts = made(ROWS, obs={"type": list("BBTTPP")})
    assert choose_cells(counts, LIGHT, "type=T").mask_n.tolist() == [False, False, True, True, False, False]
    with pytest.raises(OptionError, match="no obs column 'kind'"):
        choose_cells(counts, LIGHT, "kind=T")
    with pytest.raises(OptionError, match="no cell has type=X"):
        choose_cells(counts, LIGHT, "type=X")
    with pytest.raises(OptionError, match="unknown"):
        choose_cells(counts, LIGHT, "b-cells")


def test_quadrants():
    table = quadrants(np.array([1, 0, 2, 0]), np.array([0, 3, 1, 0]))
    assert (table.a_only, table.b_only, table.both, table.neither) == (1, 1, 1, 1)
