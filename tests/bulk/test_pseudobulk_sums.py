"""Cells summed by donor and type."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

from corpuscle import open_counts
from corpuscle.bulk import pseudobulk
from corpuscle.errors import OptionError

DATA = Path(os.environ.get("CORPUSCLE_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))


def cells(n: int = 700) -> AnnData:
    random = np.random.default_rng(0)
    obs = pd.DataFrame(
        {"batch": random.choice(["a", "b", "c"], n), "cell_type": random.choice(["T", "B"], n, p=[0.9, 0.1])},
        index=[f"c{i}" for i in range(n)],
    )
    obs["sex"] = obs["batch"].map({"a": "f", "b": "m", "c": "f"})
    obs["cell"] = obs.index
    return AnnData(sp.csr_matrix(random.poisson(0.7, (n, 30))), obs=obs)


def test_sums_are_those_of_pandas() -> None:
    made = cells()
    summed = pseudobulk(open_counts(made), min_cells=1)
    wanted = (
        pd.DataFrame(made.X.toarray()).groupby([made.obs["batch"].to_numpy(), made.obs["cell_type"].to_numpy()]).sum()
    )
    assert list(summed.obs_names) == [f"{batch}:{kind}" for batch, kind in wanted.index]
    assert np.array_equal(summed.X.toarray(), wanted.to_numpy())
    assert summed.X.dtype == np.int32 and summed.obs["n_cells"].sum() == 700


def test_what_is_constant_in_each_group_is_kept() -> None:
    summed = pseudobulk(open_counts(cells()))
    assert list(summed.obs) == ["batch", "cell_type", "sex", "n_cells"]
    assert summed.obs.loc["b:T", "sex"] == "m"


def test_small_groups_and_cells_without_a_group_are_left_out_and_counted() -> None:
    made = cells()
    made.obs["cell_type"] = made.obs["cell_type"].astype(object)
    made.obs.iloc[:5, 1] = None
    summed = pseudobulk(open_counts(made), min_cells=100)
    assert list(summed.obs_names) == ["a:T", "b:T", "c:T"]
    assert summed.uns["pseudobulk"]["n_cells_left_out"] == 700 - summed.obs["n_cells"].sum()
    of_a = (made.obs["batch"] == "a") & (made.obs["cell_type"] == "T")
    assert np.array_equal(summed["a:T"].X.toarray()[0], made[of_a.to_numpy()].X.toarray().sum(axis=0))


def test_one_column_is_enough() -> None:
    assert list(pseudobulk(open_counts(cells()), "batch").obs_names) == ["a", "b", "c"]


def test_groups_whose_names_read_the_same_stay_apart() -> None:
    made = cells(40)
    made.obs["batch"] = ["x:y", "x"] * 20
    made.obs["cell_type"] = ["z", "y:z"] * 20
    assert sorted(pseudobulk(open_counts(made)).obs_names) == ["x:y:z", "x:y:z-1"]


def test_no_group_and_no_column_are_refused() -> None:
    with pytest.raises(
        OptionError, match=r"none of the 6 groups by batch, cell_type has 1,000 cells .*lower min_cells"
    ):
        pseudobulk(open_counts(cells()), min_cells=1000)
    with pytest.raises(OptionError, match=r"no column donor to group cells by; choose from: batch"):
        pseudobulk(open_counts(cells()), by=("donor",))


def test_real_donors_keep_every_count() -> None:
    path = DATA / "batch" / "onek1k_1000g.h5ad"
    if not path.exists():
        pytest.skip("onek1k_1000g.h5ad is not there")
    counts = open_counts(path)
    summed = pseudobulk(counts, min_cells=1)
    assert int(summed.X.sum()) == int(counts.profile().depth_n.sum())
    assert np.array_equal(np.asarray(summed.X.sum(axis=0)).ravel(), counts.profile().total_g)
    assert summed.obs["batch"].nunique() == 40 and "sex" in summed.obs
