"""From labels to types: what the map says, what the ontology knows, and what is left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from corpuscle.benchmarks._truth import read_type_map, truth_of
from corpuscle.errors import OptionError, SourceError

HEAD = "dataset\tlabel\ttype\tcl_id\n"


def written(folder: Path, rows: str, head: str = HEAD) -> Path:
    path = folder / "map.tsv"
    path.write_text(head + rows)
    return path


def test_labels_of_a_map_become_types_and_the_others_are_left_out(tmp_path):
    types = read_type_map(
        written(tmp_path, "\tCD4 naive\tT\tCL:0000084\n\tCD8\tT\tCL:0000084\n\tB\tB\tCL:0000236\n\tdoublet\t\t\n")
    )
    truth = truth_of(["CD4 naive", "B", "CD8", "doublet", "odd", None, np.nan, "unknown"], "set", types)
    assert truth.types == ("B", "T") and truth.cl_ids == ("CL:0000236", "CL:0000084")
    assert truth.code_n.tolist() == [1, 0, 1, -1, -1, -1, -1, -1]
    assert "5 of 8 cells have no type (doublet, odd, unknown)" in truth.notes[0]


def test_what_is_said_for_one_data_set_goes_before_what_is_said_for_all(tmp_path):
    types = read_type_map(
        written(tmp_path, "\tMono\tmonocyte\tCL:0000576\none\tMono\tmacrophage\tCL:0000235\n\tB\tB\t\n")
    )
    assert truth_of(["Mono", "B"], "one", types).types == ("B", "macrophage")
    assert truth_of(["Mono", "B"], "two", types).types == ("B", "monocyte")


def test_an_empty_type_leaves_a_label_out_of_one_data_set_only(tmp_path):
    types = read_type_map(written(tmp_path, "\tMono\tM\t\none\tMono\t\t\n\tB\tB\t\n\tT\tT\t\n"))
    assert truth_of(["Mono", "B", "T"], "one", types).code_n.tolist() == [-1, 0, 1]
    assert truth_of(["Mono", "B", "T"], "two", types).types == ("B", "M", "T")


def test_without_a_map_labels_are_types_and_the_ontology_is_asked():
    truth = truth_of(["B cells", "monocyte", "blorp"], "set", None)
    assert truth.types == ("B cells", "blorp", "monocyte")
    assert truth.cl_ids == ("CL:0000236", None, "CL:0000576")
    assert "blorp" in truth.notes[0] and "--label-map" in truth.notes[0]


@pytest.mark.parametrize(
    ("rows", "head", "words"),
    [
        ("B\tB\n", "label\ttype\n", "no column 'cl_id'"),
        ("\t\tB\tCL:1\n", HEAD, "line 2: has no label"),
        ("\tB\tB\tCL:1\n\tB\tC\tCL:1\n", HEAD, "line 3: label 'B'"),
    ],
)
def test_a_map_that_makes_no_sense_names_the_line(tmp_path, rows, head, words):
    with pytest.raises(SourceError) as caught:
        read_type_map(written(tmp_path, rows, head))
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_map_that_cannot_be_read_is_one_line(tmp_path):
    with pytest.raises(SourceError, match=r"none\.tsv"):
        read_type_map(tmp_path / "none.tsv")
    (tmp_path / "map.tsv").write_bytes(b"label\ttype\tcl_id\n\xff\xfe\n")
    with pytest.raises(SourceError, match="UTF-8"):
        read_type_map(tmp_path / "map.tsv")


def test_one_type_with_two_ids_or_too_few_types_is_refused(tmp_path):
    types = read_type_map(written(tmp_path, "\ta\tT\tCL:1\n\tb\tT\tCL:2\n\tc\tU\t\n"))
    with pytest.raises(OptionError, match="two ids"):
        truth_of(["a", "b", "c"], "set", types)
    with pytest.raises(OptionError, match="1 types are left"):
        truth_of(["a", "a", "x"], "set", types)


def test_the_map_of_the_real_sets_is_whole():
    types = read_type_map(Path(__file__).parent / "label_map.tsv")
    assert {cl_id for _, cl_id in types.entries.values() if cl_id} > {"CL:0000236", "CL:0000576"}
