"""The captions that a model knows: counted once a cell, cut back to labels, and read from files of anyone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpuscle.errors import OptionError, SourceError
from corpuscle.models.celltext.known import Known
from datasets import Dataset, DatasetDict


def test_captions_are_counted_once_a_cell_in_either_form():
    multiplets = Dataset.from_dict({"sample_idx": ["a", "b", "c"], "positive": ["B.", "T.", "B."]})
    pairs = Dataset.from_dict({
        "sample_idx": ["a", "a", "b", "b", "c", "c"],
        "caption": ["B.", "T.", "T.", "B.", "B.", "T."],
        "label": [1.0, 0.0] * 3,
    })  # fmt: skip
    for rows in (multiplets, pairs, DatasetDict(train=pairs, test=multiplets.select([1]))):
        assert dict(Known.of_rows(rows).counts) == {"B.": 2, "T.": 1}


def test_rows_without_captions_are_refused():
    with pytest.raises(OptionError, match="no captions"):
        Known.of_rows(Dataset.from_dict({"sample_idx": ["a"]}))
    with pytest.raises(OptionError, match="train"):
        Known.of_rows(DatasetDict(test=Dataset.from_dict({"sample_idx": ["a"], "positive": ["B"]})))


@pytest.mark.parametrize(
    ("source", "caption", "label"),
    [
        ("template This is a {cell_type} cell.", "This is a B (memory) cell.", "B (memory)"),
        ("{type}", "B", "B"),
        ("template {{x}} {type} and {type}", "{x} B and B", "B"),
        ("template {type} of {tissue}", "B of blood", "B of blood"),
        ("column {odd}", "B", "B"),
        ("column type + template in {tissue}", "B. in blood", "B. in blood"),
        (None, "B", "B"),
        ("template This is a {cell_type} cell.", "something else", "something else"),
    ],
)
def test_a_label_is_what_stood_in_the_only_field(source, caption, label):
    rows = Dataset.from_dict({"sample_idx": ["a"], "positive": [caption]})
    assert Known.of_rows(rows, source).labels() == {caption: label}


@given(st.text(min_size=1), st.text(), st.text())
def test_any_label_comes_back_from_its_sentence(label, before, after):
    template = f"{before}|{after}".replace("{", "{{").replace("}", "}}").replace("|", "{x}", 1)
    if template.count("{x}") != 1:
        return
    caption = template.replace("{x}", "\0").replace("{{", "{").replace("}}", "}").replace("\0", label)
    if "\0" not in before + after + label:
        assert Known(template, {caption: 1}).labels() == {caption: label}


def test_what_is_stored_comes_back():
    known = Known("A {x}.", {"A b.": 3, "A c.": 1})
    assert Known.from_dict(known.to_dict()) == known


@pytest.mark.parametrize(
    "value",
    [
        [], {"template": None}, {"template": 3, "captions": []}, {"template": None, "captions": {"a": 1}},
        {"template": None, "captions": [["a"]]}, {"template": None, "captions": [["a", True]]},
        {"template": None, "captions": [["a", -1]]}, {"template": None, "captions": [["a", 1], ["a", 2]]},
        {"template": None, "captions": [[1, 1]]},
    ],
)  # fmt: skip
def test_anything_else_is_refused(value):
    with pytest.raises(SourceError, match="save the model again"):
        Known.from_dict(value)
