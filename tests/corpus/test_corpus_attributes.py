"""Columns of obs in a data set: their types over one source and over several, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import datasets
from corpuscle.cli import main
from corpuscle.corpus.attributes import attribute_array, attribute_type, check_attributes, common_type
from corpuscle.corpus.tokenize import tokenize
from corpuscle.counts import open_counts
from corpuscle.errors import OptionError

GOLDEN = Path(__file__).parent / "golden" / "input.h5ad"
N = 4


@pytest.fixture(scope="module")
def cells() -> anndata.AnnData:
    return anndata.read_h5ad(GOLDEN)


def with_column(cells: anndata.AnnData, values: Any, name: str = "a") -> anndata.AnnData:
    some = cells[: len(values)]
    return anndata.AnnData(some.X, obs=pd.DataFrame({name: values}, index=some.obs_names), var=some.var)


KINDS = {
    "text": (["a", "b", "c", "d"], pa.string(), ["a", "b", "c", "d"]),
    "text with a gap": (["a", None, np.nan, "d"], pa.string(), ["a", None, None, "d"]),
    "not ASCII": (["Zürich", "細胞", "🧬", ""], pa.string(), ["Zürich", "細胞", "🧬", ""]),
    "categories": (pd.Categorical(["x", "y", None, "x"]), pa.string(), ["x", "y", None, "x"]),
    "categories of numbers": (pd.Categorical([3, 1, 3, 1]), pa.int64(), [3, 1, 3, 1]),
    "bool": ([True, False, True, False], pa.bool_(), [True, False, True, False]),
    "nullable bool": (pd.array([True, None, False, True], dtype="boolean"), pa.bool_(), [True, None, False, True]),
    "int8": (np.array([1, -2, 3, 4], np.int8), pa.int64(), [1, -2, 3, 4]),
    "uint32": (np.array([1, 2, 3, 2**32 - 1], np.uint32), pa.int64(), [1, 2, 3, 2**32 - 1]),
    "nullable int": (pd.array([1, None, 2**60 + 1, 4], dtype="Int64"), pa.int64(), [1, None, 2**60 + 1, 4]),
    "float32": (np.array([0.5, -1, 2, 3], np.float32), pa.float64(), [0.5, -1.0, 2.0, 3.0]),
    "all missing": ([None] * N, pa.null(), [None] * N),
    "time": (
        pd.to_datetime(["2020-01-01", None, "2021-05-06", "1999-12-31"]),
        pa.timestamp("ns"),
        [pd.Timestamp("2020-01-01"), None, pd.Timestamp("2021-05-06"), pd.Timestamp("1999-12-31")],
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_column_keeps_its_kind(kind: str, cells: anndata.AnnData) -> None:
    values, arrow_type, expected = KINDS[kind]
    with open_counts(with_column(cells, values)) as counts:
        assert attribute_type(counts, "a") == arrow_type
        stored = pa.string() if arrow_type == pa.null() else arrow_type
        assert attribute_array(counts, "a", slice(0, N), stored).to_pylist() == expected
        assert attribute_array(counts, "a", slice(1, 3), stored).to_pylist() == expected[1:3]


def test_a_missing_float_stays_nan(cells: anndata.AnnData) -> None:
    with open_counts(with_column(cells, [1.5, np.nan, 2.0, 3.0])) as counts:
        array = attribute_array(counts, "a", slice(0, N), pa.float64())
    assert array.null_count == 0
    assert np.isnan(array[1].as_py())


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (["a", 1, 2.5, None], "mixes kinds"),
        ([b"a", b"b", b"c", b"d"], "type binary"),
        ([[1], [2], [3], [4]], "type list"),
        ([1, 2, 3, 2**70], "mixes kinds"),
    ],
)
def test_columns_that_cannot_be_stored(values: list[Any], says: str, cells: anndata.AnnData) -> None:
    some = with_column(cells, [0] * N)
    some.obs["a"] = pd.Series(values, index=some.obs_names, dtype=object)
    with open_counts(some) as counts, pytest.raises(OptionError, match=says):
        attribute_type(counts, "a")


def test_a_number_too_large_is_refused_with_its_column(cells: anndata.AnnData) -> None:
    with (
        open_counts(with_column(cells, np.array([1, 2, 3, 2**64 - 1], np.uint64))) as counts,
        pytest.raises(OptionError, match="column 'a' does not fit int64"),
    ):
        attribute_array(counts, "a", slice(0, N), attribute_type(counts, "a"))


def test_the_same_column_in_several_sources() -> None:
    i, f, s, b, none = pa.int64(), pa.float64(), pa.string(), pa.bool_(), pa.null()
    assert common_type("a", {"x": i, "y": f, "z": i}) == f
    assert common_type("a", {"x": none, "y": b}) == b
    assert common_type("a", {"x": none}) == s
    assert common_type("a", {"x": pa.timestamp("s"), "y": pa.timestamp("us")}) == pa.timestamp("us")
    for other in (i, b, pa.timestamp("s")):
        with pytest.raises(OptionError, match=r"string in x but .* in y"):
            common_type("a", {"x": s, "y": other})
    with pytest.raises(OptionError, match="bool in x but int64 in y"):
        common_type("a", {"x": b, "y": i})


def test_sources_of_different_kinds_give_one_column(tmp_path: Path, cells: anndata.AnnData) -> None:
    paths = [tmp_path / name for name in ("a.h5ad", "b.h5ad")]
    columns = [
        {"grade": pd.array([1, None, 3], dtype="Int64"), "type": pd.Categorical(["T", "B", "T"])},
        {"grade": [0.5, 1.5, 2.5], "type": ["NK", "NK", "T"]},
    ]
    for path, column in zip(paths, columns, strict=True):
        some = cells[:3]
        obs = pd.DataFrame(column, index=some.obs_names)
        anndata.AnnData(some.X, obs=obs, var=some.var).write_h5ad(path)
    made = tokenize(paths, tmp_path / "o.dataset", attrs={"type": "cell type ✓", "grade": "grade"}, shard_cells=4)
    data = datasets.load_from_disk(str(made.folder))
    assert data.column_names == ["input_ids", "cell type ✓", "grade", "length"]
    assert data["cell type ✓"][:] == ["T", "B", "T", "NK", "NK", "T"]
    assert data["grade"][:] == [1.0, None, 3.0, 0.5, 1.5, 2.5]
    assert made.manifest["columns"]["grade"] == "float64"
    columns[1]["grade"] = ["low", "low", "high"]
    some = cells[:3]
    anndata.AnnData(some.X, obs=pd.DataFrame(columns[1], index=some.obs_names), var=some.var).write_h5ad(paths[1])
    with pytest.raises(OptionError, match=r"'grade' is int64 in .*a\.h5ad but string in .*b\.h5ad"):
        tokenize(paths, tmp_path / "p.dataset", attrs=["grade"])


def test_a_missing_column_names_the_source_and_what_it_has(tmp_path: Path, cells: anndata.AnnData) -> None:
    with pytest.raises(
        OptionError, match=r"input\.h5ad: there is no obs column 'cell_type'; it has: cell_id, n_counts"
    ):
        tokenize(GOLDEN, tmp_path / "o.dataset", attrs=["cell_type"])


def test_cell_names_can_be_had(tmp_path: Path, cells: anndata.AnnData) -> None:
    made = tokenize(cells[:5], tmp_path / "o.dataset", attrs={"obs_names": "barcode"})
    assert datasets.load_from_disk(str(made.folder))["barcode"][:] == cells.obs_names[:5].tolist()


@pytest.mark.parametrize("name", ["input_ids", "length", "counts"])
def test_reserved_names_are_refused_and_renaming_helps(name: str) -> None:
    with pytest.raises(OptionError, match=f"{name}:NAME"):
        check_attributes([name])
    with pytest.raises(OptionError):
        check_attributes({"cell_id": name})
    assert check_attributes({name: "other"}) == {name: "other"}


def test_names_given_twice_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="'x'"):
        check_attributes({"a": "x", "b": "x"})
    with pytest.raises(OptionError, match="twice"):
        check_attributes(["a", "a"])
    for text in ("a,a", "a:", "a,,b", ":b"):
        assert main(["corpus", "tokenize", str(GOLDEN), "--attrs", text, "-o", str(tmp_path / "o.dataset")]) == 2
        assert "--attrs" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
