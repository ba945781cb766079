"""Scores out of files: the same matrix whatever the format, the order and the orientation; LangCell's formula."""

from __future__ import annotations

import gzip
import io
import os
import struct
import zipfile
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from corpuscle.annotate._door import write_scores
from corpuscle.annotate.ontology import cell_ontology
from corpuscle.annotate.scores import Scores
from corpuscle.annotate.sources.files import read_scores
from corpuscle.annotate.sources.langcell import cell_type_texts, langcell_parts, langcell_scores
from corpuscle.errors import OptionError, SourceError

TYPES = ["B cell", "T cell", "natural killer cell"]
IDS = ("CL:0000236", "CL:0000084", "CL:0000623")
CELLS = [f"AAAC{i}-1" for i in range(7)]
VALUES = np.random.default_rng(0).normal(size=(7, 3))


def frame_of(orientation: str = "cells") -> pd.DataFrame:
    frame = pd.DataFrame(VALUES, index=CELLS, columns=TYPES)
    return frame if orientation == "cells" else frame.T


def written(frame: pd.DataFrame, form: str, folder: Path) -> Path:
    path = folder / f"scores.{form}"
    if form == "npz":
        np.savez(path, values=frame.to_numpy(), **axes_of(frame))
    elif form == "parquet":
        frame.to_parquet(path)
    elif form == "tsv_of_r":
        text = frame.to_csv(sep="\t").split("\t", 1)[1]  # R's write.table has no name for the column of names
        path = folder / "scores.txt"
        path.write_text(text)
    else:
        frame.to_csv(path, sep="," if ".csv" in path.name else "\t")
    return path


def axes_of(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    axes = {"cells": frame.index, "types": frame.columns}
    if set(frame.index) <= set(TYPES):
        axes = {"cells": frame.columns, "types": frame.index}
    return {name: np.array(list(axis), dtype=str) for name, axis in axes.items()}


# -- formats and order -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", ["cells", "texts"])
@pytest.mark.parametrize("form", ["csv", "csv.gz", "tsv", "txt.gz", "tsv_of_r", "parquet", "npz"])
def test_every_format_gives_the_same_scores(form: str, orientation: str, tmp_path: Path) -> None:
    frame = frame_of(orientation)
    shuffled = frame.iloc[::-1] if orientation == "cells" else frame.iloc[:, ::-1]
    path = written(shuffled, form, tmp_path)
    for way in ("auto", orientation):
        found = read_scores(path, cells=CELLS, orientation=way)
        np.testing.assert_allclose(found.values_nk, VALUES, rtol=1e-15)
        assert list(found.types) == TYPES
        assert tuple(found.cl_ids) == IDS
        assert list(found.cells) == CELLS
        assert found.about["orientation"] == orientation
        assert found.about["notes"] == ()


@settings(deadline=None, max_examples=25)
@given(st.permutations(range(7)), st.integers(1, 7), st.booleans())
def test_cells_are_matched_by_name(tmp_path_factory, order, n, transposed) -> None:
    frame = frame_of().iloc[list(order)]
    path = tmp_path_factory.mktemp("files") / "scores.csv"
    (frame.T if transposed else frame).to_csv(path)
    wanted = CELLS[:n]
    found = read_scores(path, cells=wanted)
    np.testing.assert_allclose(found.values_nk, VALUES[:n], rtol=1e-15)
    assert list(found.cells) == wanted
    assert bool(found.about["notes"]) == (n < 7)


def test_without_names_of_cells_wanted_the_file_keeps_its_own(tmp_path: Path) -> None:
    path = written(frame_of("texts"), "csv", tmp_path)
    found = read_scores(path, orientation="texts")
    assert list(found.cells) == CELLS
    np.testing.assert_allclose(found.values_nk, VALUES, rtol=1e-15)


def test_cells_that_the_file_lacks_are_named(tmp_path: Path) -> None:
    path = written(frame_of().iloc[2:], "csv", tmp_path)
    with pytest.raises(SourceError, match=r"no scores for 2 of 7 cells \(AAAC0-1, AAAC1-1\)"):
        read_scores(path, cells=CELLS)
    with pytest.raises(SourceError, match=r"none is named as one of the cells \('AAAC2-1', not 'x'\)"):
        read_scores(path, cells=["x", "y"])


def test_cells_that_repeat_cannot_be_matched_but_may_be_in_order(tmp_path: Path) -> None:
    frame = frame_of()
    frame.index = ["a", *CELLS[1:6], "a"]
    path = written(frame, "csv", tmp_path)
    found = read_scores(path, cells=list(frame.index))
    np.testing.assert_allclose(found.values_nk, VALUES, rtol=1e-15)
    with pytest.raises(SourceError, match=r"'a' is 2 times in scores\.csv"):
        read_scores(path, cells=["a"])
    with pytest.raises(SourceError, match="'AAAC1-1' is 2 times in the source"):
        read_scores(path, cells=["AAAC1-1", "AAAC1-1", "AAAC2-1"])


def test_cells_named_by_numbers(tmp_path: Path) -> None:
    frame = frame_of()
    frame.index = pd.Index([str(i) for i in range(7)], name="barcode")
    path = written(frame.iloc[::-1], "csv", tmp_path)
    np.testing.assert_allclose(read_scores(path, cells=list(frame.index)).values_nk, VALUES, rtol=1e-15)
    frame.index.name = None  # pandas writes no name: the first column is names
    path = written(frame, "csv", tmp_path)
    assert read_scores(path, orientation="cells").n_types == 3


def test_scores_without_names_of_cells_are_taken_in_order_and_say_so(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    frame_of().to_csv(path, index=False)
    found = read_scores(path, cells=CELLS)
    np.testing.assert_allclose(found.values_nk, VALUES, rtol=1e-15)
    assert "order of the source" in found.about["notes"][0]
    with pytest.raises(SourceError, match="7 unnamed cells are there for 6"):
        read_scores(path, cells=CELLS[:6])


# -- orientation -------------------------------------------------------------------------------------------------------


def test_what_cannot_be_told_is_not_guessed(tmp_path: Path) -> None:
    path = written(frame_of(), "csv", tmp_path)
    with pytest.raises(OptionError, match="cells may be its rows or its columns; say which"):
        read_scores(path)
    square = tmp_path / "square.npy"
    np.save(square, np.arange(9.0).reshape(3, 3))
    with pytest.raises(OptionError, match="3 x 3 scores, and cells may be its rows or its columns"):
        read_scores(square, cells=CELLS[:3], types=TYPES)
    np.testing.assert_array_equal(
        read_scores(square, cells=CELLS[:3], types=TYPES, orientation="texts").values_nk, np.arange(9.0).reshape(3, 3).T
    )
    cells_by_cells = tmp_path / "graph.csv"
    pd.DataFrame(np.eye(7), index=CELLS, columns=CELLS).to_csv(cells_by_cells)
    with pytest.raises(OptionError, match="may be its rows or its columns"):
        read_scores(cells_by_cells, cells=CELLS)


@pytest.mark.parametrize("values", [VALUES, VALUES.T])
def test_plain_arrays_take_their_names_from_the_caller(values: np.ndarray, tmp_path: Path) -> None:
    path, names = tmp_path / "scores.npy", tmp_path / "types.txt"
    np.save(path, values.astype(np.float32))
    names.write_text("\ufeff" + "\n".join(TYPES) + "\n\n", encoding="utf-8")
    for given_types in (TYPES, names, str(names)):
        found = read_scores(path, cells=CELLS, types=given_types)
        np.testing.assert_allclose(found.values_nk, VALUES, rtol=1e-6)
        assert found.values_nk.dtype == np.float32
        assert list(found.types) == TYPES
    with pytest.raises(SourceError, match="types have no names"):
        read_scores(path, cells=CELLS)
    with pytest.raises(SourceError, match="2 names of types are given for 3"):
        read_scores(path, cells=CELLS, types=TYPES[:2])


def test_the_wrong_orientation_is_refused_with_its_reason(tmp_path: Path) -> None:
    path = written(frame_of(), "csv", tmp_path)
    with pytest.raises(SourceError, match="with cells in columns, none is named as one of the cells"):
        read_scores(path, cells=CELLS, orientation="texts")


# -- h5ad --------------------------------------------------------------------------------------------------------------


def test_scores_in_obsm_of_a_file(tmp_path: Path) -> None:
    adata = ad.AnnData(sp.csr_matrix((7, 2), dtype=np.float32), obs=pd.DataFrame(index=CELLS))
    adata.obsm["score_ulm"] = frame_of()
    adata.obsm["plain"] = VALUES
    write_scores(adata, Scores(VALUES, TYPES, ("CL:0000001", None, None), "mine"), "ours")
    path = tmp_path / "cells.h5ad"
    adata.write_h5ad(path)
    for key, types in (("score_ulm", None), ("plain", TYPES), ("ours", None)):
        found = read_scores(path, cells=CELLS[::-1], key=key, types=types)
        np.testing.assert_array_equal(found.values_nk, VALUES[::-1])
        assert list(found.types) == TYPES
    assert tuple(found.cl_ids) == ("CL:0000001", *IDS[1:])  # what the file says, and what it leaves open
    with pytest.raises(OptionError, match="need a name"):
        read_scores(path)
    with pytest.raises(OptionError, match=r"no 'other'; it has ours, plain, score_ulm"):
        read_scores(path, key="other")
    with pytest.raises(OptionError, match="no names for its columns"):
        read_scores(path, key="plain")
    with pytest.raises(OptionError, match="has cells in rows"):
        read_scores(path, key="plain", orientation="texts")


# -- files that are wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("", SourceError, "damaged or no table"),
        (",A,B\n", SourceError, "damaged or no table"),
        (",A,B\nc,1,x\nd,1,2\n", SourceError, "column 'B' holds more than numbers"),
        (",A,B\nc,1,\nd,1,2\n", SourceError, "1 of 2 cells have a NaN"),
        (",A,B\nc,1,inf\n", SourceError, "NaN or infinite"),
        (",A,B\nc,1,2,3,4\n", SourceError, "3 names in the first line for 5 columns"),
        (",A,B\nc,1,2\nd,1,2,3\n", SourceError, "damaged or no table"),
        (",A,A\nc,1,2\n", OptionError, "'A' is named twice"),
        (",A,\nc,1,2\n", OptionError, "has no name"),
    ],
)
def test_text_that_is_no_table_of_scores(text: str, error, words: str, tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(text)
    with pytest.raises(error, match=words) as caught:
        read_scores(path, orientation="cells")
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_file_of_that_kind(tmp_path: Path) -> None:
    for name in ("a.csv", "a.csv.gz", "a.parquet", "a.npy", "a.npz", "a.h5ad"):
        (tmp_path / name).write_bytes(b"\x93\xff\x00 nothing of the kind")
        with pytest.raises(SourceError, match=name) as caught:
            read_scores(tmp_path / name, cells=CELLS, key="x" if name.endswith(("npz", "h5ad")) else None)
        assert "\n" not in str(caught.value)
    cut = written(frame_of(), "csv.gz", tmp_path)
    cut.write_bytes(cut.read_bytes()[:-9])
    with pytest.raises(SourceError, match="damaged"):
        read_scores(cut, cells=CELLS)
    with pytest.raises(SourceError, match="no such file"):
        read_scores(tmp_path / "absent.csv")
    (tmp_path / "scores.pkl").write_bytes(b"")
    with pytest.raises(SourceError, match=r"are read from \.csv"):
        read_scores(tmp_path / "scores.pkl")


class Calls:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_numpy_files_with_objects_are_refused_unread(tmp_path: Path) -> None:
    mark = tmp_path / "was_here"
    objects = np.array([[Calls(mark)]], dtype=object)
    np.save(tmp_path / "a.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "a.npz", values=VALUES, types=np.array([Calls(mark)] * 3, dtype=object))
    for name in ("a.npy", "a.npz"):
        with pytest.raises(SourceError, match="damaged or no table"):
            read_scores(tmp_path / name, cells=CELLS, types=TYPES)
    assert not mark.exists()
    for values in (np.array([["1.0", "2.0"]]), np.array([[1j, 2.0]])):
        np.save(tmp_path / "b.npy", values)
        with pytest.raises(SourceError, match="are not numbers"):
            read_scores(tmp_path / "b.npy", types=["A", "B"], orientation="cells")


def test_an_archive_that_announces_more_than_it_has(tmp_path: Path) -> None:
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 3), }"
    data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + b"\0" * 64
    path = tmp_path / "scores.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("values.npy", data)
    with pytest.raises(SourceError, match="'values' is shorter than it says"):
        read_scores(path, cells=CELLS, types=TYPES)
    (tmp_path / "scores.npy").write_bytes(data)
    with pytest.raises(SourceError, match=r"damaged|cannot be read"):
        read_scores(tmp_path / "scores.npy", cells=CELLS, types=TYPES)


def test_which_array_of_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "scores.npz"
    np.savez(path, sim=VALUES, ctm=-VALUES, classes=np.array(TYPES))
    with pytest.raises(OptionError, match=r"2 tables \(sim, ctm\); say which"):
        read_scores(path, cells=CELLS)
    np.testing.assert_array_equal(read_scores(path, cells=CELLS, key="ctm").values_nk, -VALUES)
    with pytest.raises(OptionError, match="no array is named 'x'"):
        read_scores(path, cells=CELLS, key="x")
    with pytest.raises(OptionError, match="names its types itself"):
        read_scores(path, cells=CELLS, key="ctm", types=TYPES[::-1])
    with pytest.raises(OptionError, match="holds one table"):
        read_scores(written(frame_of(), "csv", tmp_path), cells=CELLS, key="ctm")


def test_parquet_with_two_columns_of_names(tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    frame_of().assign(best="T cell").to_parquet(path)
    with pytest.raises(SourceError, match="2 columns hold names"):
        read_scores(path, cells=CELLS)


def test_text_that_was_packed_twice_is_no_table(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv.gz"
    inner = io.BytesIO()
    with gzip.open(inner, "wt") as handle:
        handle.write(frame_of().to_csv())
    path.write_bytes(gzip.compress(inner.getvalue()))
    with pytest.raises(SourceError, match="damaged or no table"):
        read_scores(path, cells=CELLS)


def test_options_of_files(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="'genes' is not one of auto, cells, texts"):
        read_scores(written(frame_of(), "csv", tmp_path), orientation="genes")
    with pytest.raises(SourceError, match="cannot be read"):
        read_scores(written(frame_of(), "csv", tmp_path), types=tmp_path / "absent.txt")


# -- LangCell ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def embedded() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    return rng.normal(size=(20, 16)), rng.normal(size=(3, 16)), rng.uniform(size=(20, 3))


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_the_published_formula(embedded) -> None:
    cell, text, match = embedded
    sim = softmax(unit(cell) @ unit(text).T / 0.05, axis=1)
    expected = 0.3 * sim + 0.7 * softmax(match, axis=1)
    found = langcell_scores(cell, text, match, TYPES, alpha=0.3, published=True)
    np.testing.assert_allclose(found.values_nk, expected, rtol=1e-12)
    assert found.about == {"tau": 0.05, "published": True, "matching": True, "alpha": 0.3}


@pytest.mark.parametrize("n_types", [2, 8, 100])
def test_the_published_matching_is_nearly_flat_and_ours_is_not(n_types: int) -> None:
    match = np.full((4, n_types), 0.01)
    match[:, 0] = [0.6, 0.9, 0.99, 1.0]
    flat = np.zeros_like(match)
    flat[:, 0] = 1.0
    rng = np.random.default_rng(0)
    cell, text, types = rng.normal(size=(4, 8)), rng.normal(size=(n_types, 8)), [f"t{i}" for i in range(n_types)]
    bound = np.e / (np.e + n_types - 1)
    largest = langcell_parts(cell, text, flat, types, published=True).ctm_nk
    np.testing.assert_allclose(largest[:, 0], bound, rtol=1e-12)
    rest = langcell_parts(cell, text, rng.uniform(size=(4, n_types)), types, published=True).ctm_nk
    assert rest.max() <= bound
    ours = langcell_parts(cell, text, match, types).ctm_nk
    odds = match / np.maximum(1 - match, 1e-6)
    np.testing.assert_allclose(ours, odds / odds.sum(axis=1, keepdims=True), rtol=1e-4)
    assert ours[3, 0] > 0.99


def test_the_mixture_can_be_changed_without_scoring_again(embedded) -> None:
    parts = langcell_parts(*embedded, TYPES, cl_ids=IDS)
    np.testing.assert_array_equal(parts.mix(1.0).values_nk, parts.sim_nk)
    np.testing.assert_array_equal(parts.mix(0.0).values_nk, parts.ctm_nk)
    for alpha in (0.0, 0.1, 0.5, 1.0):
        mixed = parts.mix(alpha)
        np.testing.assert_allclose(mixed.values_nk.sum(axis=1), 1, rtol=1e-12)
        np.testing.assert_array_equal(mixed.values_nk, langcell_scores(*embedded, TYPES, alpha=alpha).values_nk)
        assert tuple(mixed.cl_ids) == IDS
    with pytest.raises(OptionError, match="alpha 2"):
        parts.mix(2)


def test_without_matching_the_similarity_counts_alone(embedded) -> None:
    cell, text, _ = embedded
    found = langcell_scores(cell, text, None, TYPES, alpha=0.1)
    np.testing.assert_array_equal(found.values_nk, langcell_parts(cell, text, None, TYPES).sim_nk)
    assert found.about["alpha"] == 1.0
    sharp = langcell_scores(cell, text, None, TYPES, tau=1e-6).values_nk
    np.testing.assert_allclose(sharp.max(axis=1), 1)  # no overflow
    assert np.isfinite(sharp).all()


def test_certain_matches_stay_finite(embedded) -> None:
    cell, text, _ = embedded
    match = np.zeros((20, 3))
    match[:10, 1] = 1
    ctm = langcell_parts(cell, text, match, TYPES).ctm_nk
    np.testing.assert_allclose(ctm[:10, 1], 1, atol=1e-10)
    np.testing.assert_allclose(ctm[10:], 1 / 3)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"text_kd": np.ones((3, 5))}, SourceError, "16 dimensions and text embeddings 5"),
        ({"text_kd": np.ones((2, 16))}, OptionError, "3 types for 2 text embeddings"),
        ({"cell_nd": np.zeros((20, 16))}, SourceError, "row 0 is all zero"),
        ({"match_nk": np.full((20, 3), 1.5)}, SourceError, r"20 cells \(the first: 0\) have values outside 0 to 1"),
        ({"match_nk": np.ones((19, 3))}, SourceError, r"shape \(19, 3\) for 20 cells x 3 types"),
        ({"match_nk": np.full((20, 3), np.nan)}, SourceError, "NaN"),
        ({"tau": 0.0}, OptionError, "tau 0 is not above 0"),
        ({"tau": float("nan")}, OptionError, "tau nan"),
        ({"types": ["A", "A", "B"]}, OptionError, "named twice"),
    ],
)
def test_what_langcell_cannot_be_given(change, error, words: str, embedded) -> None:
    cell, text, match = embedded
    with pytest.raises(error, match=words):
        langcell_scores(**{"cell_nd": cell, "text_kd": text, "match_nk": match, "types": TYPES, **change})


def test_texts_of_types() -> None:
    ontology = cell_ontology()
    b_cell, by_id, unknown, bare = cell_type_texts(["B cell", "CL:0000236", "odd clump 7", "x"], ontology)
    assert b_cell == by_id == f"cell type: B cell. {ontology.definition('CL:0000236')}; "
    assert unknown == "cell type: odd clump 7; "
    assert bare == "cell type: x; "
    assert cell_type_texts(["B cell"]) == [b_cell]

    class Undefined:
        def find(self, text: str) -> str:
            return "CL:1"

        def label(self, cl_id: str) -> str:
            return "bare cell"

        def definition(self, cl_id: str) -> str:
            return ""

    assert cell_type_texts(["anything"], Undefined()) == ["cell type: bare cell; "]
