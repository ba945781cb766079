"""Words for types: captions, wordings, and what the Cell Ontology has to say."""

from __future__ import annotations

from corpuscle.benchmarks.text._draw_join import common_names, kin
from corpuscle.benchmarks.text._wordings import caption_texts, wording_texts
from corpuscle.benchmarks.text.options import WORDINGS

IDS = {"NK": "CL:0000623", "B": "CL:0000236", "odd": None, "wrong": "CL:9999999"}


class Study:
    def __init__(self, **ids):
        self.types, self.cl_ids = tuple(ids), tuple(ids.values())


def test_a_caption_is_the_very_text_of_training():
    assert caption_texts("A {label} cell, {{so}}.", ["CD8+  {T}", "B"]) == ("A CD8+ {T} cell, {so}.", "A B cell, {so}.")


def test_words_of_the_ontology_are_there_for_types_that_it_knows():
    types = list(IDS)
    texts, notes = wording_texts("{ontology_name}", types, IDS)
    assert texts == ("natural killer cell", "B cell", None, None)
    assert len(notes) == 1 and "odd, wrong" in notes[0]
    texts, _ = wording_texts("{definition}", types, IDS)
    assert texts[0] and "lymphocyte" in texts[0] and texts[2:] == (None, None)
    assert wording_texts("Sample of a {label}", types, IDS) == (tuple(f"Sample of a {name}" for name in types), ())


def test_two_types_of_the_same_words_are_not_asked_for():
    ids = {"B": "CL:0000236", "B Activated": "CL:0000236", "NK": "CL:0000623"}
    texts, notes = wording_texts("{ontology_name}", list(ids), ids)
    assert texts == (None, None, "natural killer cell")
    assert "B, B Activated have the same words" in notes[0]
    texts, notes = wording_texts("{label}: {ontology_name}", list(ids), ids)
    assert texts[0] == "B: B cell" and not notes


def test_all_wordings_of_one_type_differ():
    said = [wording_texts(words, ["NK"], IDS)[0][0] for words in WORDINGS]
    assert None not in said and len(set(said)) == len(WORDINGS)


def test_types_of_two_studies_are_joined_by_name_and_by_id_where_that_decides():
    own = Study(NK="CL:0000623", B="CL:0000236", B2="CL:0000236", T=None)
    other = Study(**{"NK cells": "CL:0000623", "B cells": "CL:0000236", "T": "CL:0000084", "new": None, "B": None})
    assert common_names(own, other) == {"NK cells": "NK", "B cells": "B cells", "T": "T", "new": "new", "B": "B"}


def test_kin_are_the_same_a_kind_or_its_kinds():
    ids = {
        "T": "CL:0000084", "CD4 T": "CL:0000624", "B": "CL:0000236", "B cells": "CL:0000236", "lymphocyte": "CL:0000542",
        "x": None, "own": "X:1", "own too": "X:1",
    }  # fmt: skip
    assert kin(["CD4 T", "B", "x", "own"], ["T", "B cells", "own too"], ids) == {
        "CD4 T": "T", "B": "B cells", "own": "own too",
    }  # fmt: skip
    assert kin(["lymphocyte"], ["CD4 T"], ids) == {"lymphocyte": "CD4 T"}
    assert kin(["B"], ["T", "lymphocyte", "B cells"], ids) == {"B": "B cells"} and kin(["B"], ["T"], ids) == {}
