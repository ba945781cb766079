"""The Cell Ontology: what is bundled, how labels find their term, levels, distances, and files that are not one."""

from __future__ import annotations

import gzip
import json
import lzma
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuscle.annotate._tables import asctb_table
from corpuscle.annotate.ontology import (
    LEVELS,
    CellOntology,
    Term,
    cell_ontology,
    level,
    load_cell_ontology,
    normal_id,
    roll_up_scores,
)
from corpuscle.annotate.ontology._bundle import bundle
from corpuscle.annotate.ontology._terms import from_table, to_table
from corpuscle.annotate.ontology.aliases import ALIASES, AMBIGUOUS
from corpuscle.annotate.scores import Scores
from corpuscle.errors import OptionError, SourceError

SHARED = Path(os.environ.get("CORPUSCLE_DATA", Path(__file__).parents[3] / "shared" / "data"))
KNOWLEDGE = SHARED / "knowledge"
JSON = KNOWLEDGE / "cl_2026-03-26.json.gz"
OBO = KNOWLEDGE / "cl-basic_2022-11-25.obo.gz"
needs_knowledge = pytest.mark.skipif(not JSON.exists(), reason="needs knowledge/ of the shared data (CORPUSCLE_DATA)")

B, T, CD4, CD8, NK = "CL:0000236", "CL:0000084", "CL:0000624", "CL:0000625", "CL:0000623"
MEMORY_B, NAIVE_B, MONO, TREG = "CL:0000787", "CL:0000788", "CL:0000576", "CL:0000792"


@pytest.fixture(scope="module")
def cl() -> CellOntology:
    return cell_ontology()


@pytest.fixture(scope="module")
def live(cl: CellOntology) -> list[Term]:
    return [term for term in cl.terms.values() if not term.deprecated]


# -- what is bundled


def test_the_bundled_release_is_whole(cl: CellOntology, live: list[Term]) -> None:
    assert len(cl) == 3596
    assert len(live) == 3324
    assert sum(not term.definition for term in live) == 103
    assert cl.label(B) == "B cell"
    assert cl.definition(B).startswith("A lymphocyte of B lineage")
    assert "B lymphocyte" in cl.synonyms(B)
    assert cl.parents(B) == ("CL:0000945",)


@needs_knowledge
def test_every_term_and_every_distance_is_that_of_the_origin(cl: CellOntology) -> None:
    origin = json.loads(gzip.decompress(JSON.read_bytes()))
    assert cl.terms.keys() == origin.keys()
    for cl_id, entry in origin.items():
        term = cl.term(cl_id)
        assert {one: n for one, n in cl._up[cl_id].items() if n} == entry["ancestors"], cl_id
        assert term.label == entry["label"]
        assert term.definition == " ".join(entry.get("description", "").split())
        assert list(term.synonyms) == entry.get("synonyms", [])
        assert term.deprecated == entry["deprecated"]
        assert term.replaced_by == entry.get("replaced_by")


@needs_knowledge
def test_the_bundled_tables_can_be_made_again(tmp_path: Path) -> None:
    bundle(JSON, KNOWLEDGE / "asctb_gene_markers.tsv.gz", tmp_path)
    folder = Path(__file__).parents[2] / "src" / "corpuscle" / "annotate" / "data"
    for name in ("cell_ontology.tsv.xz", "asctb_markers.tsv.xz"):
        assert lzma.decompress((tmp_path / name).read_bytes()) == lzma.decompress((folder / name).read_bytes())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["asctb_markers.tsv.xz", "cell_ontology.tsv.xz"]


def test_marker_table(cl: CellOntology) -> None:
    table = asctb_table()
    assert table.shape == (7525, 9)
    assert table["organ"].nunique() == 27
    ids = table["cl_id"]
    assert (ids == "").sum() == 1670
    assert all(one in cl for one in ids[ids.str.startswith("CL:")].unique())
    assert {"CD19", "MS4A1"} <= set(table.loc[ids == B, "gene"]) | set(table.loc[ids == "CL:0000816", "gene"])
    table.loc[:, "gene"] = "gone"
    assert (asctb_table()["gene"] != "gone").all()


def test_aliases_and_levels_name_live_terms(cl: CellOntology) -> None:
    for spelling, cl_id in ALIASES.items():
        assert cl.current(cl_id) == cl_id, spelling
        assert cl.find(spelling) == cl_id, spelling
    for spelling, ids in AMBIGUOUS.items():
        assert cl.find(spelling) is None
        assert set(cl.candidates(spelling)) == set(ids), spelling
    for members in LEVELS.values():
        assert {cl_id: cl.label(cl_id) for cl_id in members} == members


# -- names


def test_every_label_finds_its_own_term(cl: CellOntology, live: list[Term]) -> None:
    assert [term.label for term in live if cl.find(term.label) != term.cl_id] == []
    assert [term.label for term in live if cl.find(term.label.upper().replace(" ", "  ")) != term.cl_id] == []


def test_synonyms_find_their_term_but_for_a_few_that_we_know(cl: CellOntology, live: list[Term]) -> None:
    wrong = {
        synonym: cl.find(synonym)
        for term in live
        for synonym in term.synonyms
        if cl.find(synonym) != term.cl_id and "Bm2" not in synonym
    }
    assert wrong == {
        # two terms of the ontology claim the text, or nearly
        "insulin-secreting cell": "CL:0000168",
        "substantia nigra dopaminergic neuron": "CL:4042025",
        "OB Dopa-GABA": "CL:0020006",
        "Mo.6C+II-": None,
        "Mo.6c+II": None,
        # data sets mean something else
        "DC1": None,
        "DC2": None,
        "IPC": None,
        "CD16+ monocyte": "CL:0002396",
        "alpha cell": "CL:0000171",
    }


@pytest.mark.parametrize(
    ("text", "cl_id"),
    [
        ("CL:0000236", B),
        ("cl_0000236", B),
        (" http://purl.obolibrary.org/obo/CL_0000236 ", B),
        ("b CELL", B),
        ("B cells", B),
        ("B-cells", B),
        ("B_cell", B),
        ("T cell(s)", T),
        ("Monocytes", MONO),
        ("Macrophages", "CL:0000235"),
        ("Dendritic", "CL:0000451"),
        ("Endothelial cells", "CL:0000115"),
        ("CD14+ monocyte", "CL:0001054"),
        ("CD14+ Monocytes", "CL:0001054"),
        ("FCGR3A+ Monocytes", "CL:0002396"),
        ("CD8+ T cells", CD8),
        ("T_CD8", CD8),
        ("Naive CD4 T", "CL:0000895"),
        ("CD4+/CD45RA+/CD25- Naive T", "CL:0000895"),
        ("γδ T cells", "CL:0000798"),
        ("monocyte, classical", "CL:0000860"),
        ("Proliferating NK cells", NK),
        ("B Activated", B),
        ("14Mo", MONO),
        ("Tregs", "CL:0000815"),
        ("Bm2' B cell", "CL:0000964"),
    ],
)
def test_spellings(cl: CellOntology, text: str, cl_id: str) -> None:
    assert cl.find(text) == cl_id


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "???",
        "H1975",
        "8cell",
        "16cell",
        "cluster_1",
        "CL:9999999",
        "CL:0000236 CL:0000084",
        "CL:0009103 l",
        "CD14-",
        "s",
    ],
)
def test_what_is_no_type_finds_nothing(cl: CellOntology, text: str) -> None:
    assert cl.find(text) is None


def test_the_absence_of_a_marker_is_not_its_presence(cl: CellOntology) -> None:
    assert cl.find("CD14+CD16- monocyte") != cl.find("CD14-CD16+ monocyte")
    assert cl.find("CD4- T cell") is None
    assert cl.find("CD16- monocyte") == "CL:0002057"


def test_candidates(cl: CellOntology) -> None:
    assert cl.candidates("CL:0009103 l") == ["CL:0009103"]
    assert cl.candidates("CL:0000013") == ["CL:0000140"]  # withdrawn; the ontology says what to consider
    assert "CL:0000904" in cl.candidates("CD4 naive/central memory T")
    assert len(cl.candidates("activated memory T cell of somewhere", 2)) <= 2
    assert cl.candidates("H1975") == []


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=30))
def test_no_text_breaks_the_look_up(text: str) -> None:
    onto = cell_ontology()
    found = onto.find(text)
    assert found is None or onto.current(found) == found
    assert all(onto.current(one) == one for one in onto.candidates(text))


def test_map_labels(cl: CellOntology) -> None:
    labels = pd.Categorical(["B", "NK", "B", None, "unassigned", "Mystery", "mine", "odd"])
    found = cl.map_labels(labels, extra={"mine": "pDC", "odd": None, "not in the data": B})
    assert dict(found) == {
        "B": B,
        "NK": NK,
        "unassigned": None,
        "Mystery": None,
        "mine": "CL:0000784",
        "odd": None,
    }
    assert found.unmatched == ["Mystery"]
    assert found.share == pytest.approx(3 / 4)
    assert len(found.words()) == 1
    assert "'Mystery'" in found.words()[0]
    assert "CL:0000775 'neutrophil'" in cl.map_labels(["Neu"]).words()[0]
    assert dict(cl.map_labels(pd.array(["B", pd.NA], dtype="string"))) == {"B": B}
    assert np.isnan(cl.map_labels([]).share)
    with pytest.raises(OptionError, match="CL:9999999"):
        cl.map_labels(["x"], extra={"x": "CL:9999999"})


#: What the labelled sets call their cells, and what is no type of cell (lines, stages, joint labels) or stays undecided.
LEFT = {
    "annotation/human_lymph_330.h5ad": set(),
    "batch/baron_human_2donors.h5ad": set(),
    "batch/zilionis_mouse_lung.h5ad": set(),
    "batch/onek1k_1000g.h5ad": {"CD4 naive/central memory T"},
    "clustering/zheng_facs_3774.h5ad": set(),
    "clustering/mouse_endocrinogenesis_hvg.h5ad": {"Pre-endocrine", "Ngn3 high EP", "Ngn3 low EP"},
    "clustering/paul15_mouse_myeloid.h5ad": {"16Neu", "17Neu", "19Lymph"},
    "pbmc/pbmc3k.h5ad": set(),
    "pbmc/pbmc68k_reduced.h5ad": set(),
    "perturbation/kang_ifnb_2800.h5ad": set(),
}


@pytest.mark.parametrize("name", LEFT)
def test_labels_of_real_sets(cl: CellOntology, name: str) -> None:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"needs {name} of the shared data (CORPUSCLE_DATA)")
    import h5py
    from anndata.io import read_elem

    with h5py.File(path) as file:
        labels = read_elem(file["obs/cell_type"])
    found = cl.map_labels(labels)
    assert set(found.unmatched) == LEFT[name]
    reached = cl.roll_up([one for one in found.values() if one], "broad")
    assert None not in reached


# -- levels


def test_roll_up_takes_the_most_specific_member(cl: CellOntology) -> None:
    ids = [B, MEMORY_B, T, CD4, TREG, "CL:0000798", NK, None, "CL:0000000"]
    assert cl.roll_up(ids, [T, CD4, B]) == [B, B, T, CD4, CD4, T, None, None, None]
    assert cl.roll_up(ids[:2], ["B cells"]) == [B, B]
    # a kind of both: the first of the level decides between equals
    assert cl.roll_up([TREG], [CD4, "CL:0000815"]) == [CD4]
    assert cl.roll_up([TREG], ["CL:0000815", CD4]) == ["CL:0000815"]
    # the plasmablast is a B cell too, but an antibody secreting cell first
    assert cl.roll_up(["CL:0000980"], "broad") == ["CL:0000946"]
    assert cl.roll_up(["CL:0002394", "CL:0002399", "CL:0000784"], "immune") == [
        "CL:0002394",
        "CL:0000990",
        "CL:0000784",
    ]


def test_members_of_a_level_roll_up_to_themselves(cl: CellOntology) -> None:
    for name in LEVELS:
        assert cl.roll_up(level(name), name) == list(level(name))


def test_levels_that_are_not_there(cl: CellOntology) -> None:
    with pytest.raises(OptionError, match="broad, immune"):
        cl.roll_up([B], "fine")
    with pytest.raises(OptionError, match="empty"):
        cl.roll_up([B], [])
    with pytest.raises(OptionError, match="'Neu' is no one cell type; do you mean CL:0000775 'neutrophil'"):
        cl.roll_up([B], ["Neu"])
    with pytest.raises(OptionError, match="CL:9999999"):
        cl.roll_up(["CL:9999999"], [B])


def test_probabilities_are_summed_and_nothing_is_lost() -> None:
    values = np.random.default_rng(0).dirichlet(np.ones(6), size=20)
    cells = np.array([f"cell{i}" for i in range(20)])
    names = ["memory B", "naive B", "Naive CD4 T", "Treg", "NK", "H1975"]
    rolled = roll_up_scores(Scores(values, names, cells=cells, about={"model": "m"}), [NK, T, B])
    assert rolled.types == ("natural killer cell", "T cell", "B cell", "H1975")
    assert rolled.cl_ids == (NK, T, B, None)
    np.testing.assert_allclose(rolled.values_nk[:, 2], values[:, 0] + values[:, 1])
    np.testing.assert_allclose(rolled.values_nk.sum(axis=1), 1)
    assert rolled.cells is cells
    assert rolled.about["model"] == "m"
    assert rolled.about["rolled_up"]["members"]["B cell"] == ["memory B", "naive B"]
    assert rolled.about["rolled_up"]["others"] == ["H1975"]


def test_logits_take_the_highest_and_are_not_summed() -> None:
    scores = Scores(np.array([[-1.0, -3.0, -2.0]], dtype=np.float32), ["x", "y", "z"], [MEMORY_B, NAIVE_B, CD4])
    with pytest.raises(OptionError, match="use 'max'"):
        roll_up_scores(scores, [B, T])
    rolled = roll_up_scores(scores, [B, T], how="max")
    assert rolled.values_nk.tolist() == [[-1.0, -2.0]]
    assert rolled.values_nk.dtype == np.float32
    assert scores.values_nk.tolist() == [[-1.0, -3.0, -2.0]]


def test_types_wider_than_the_level_are_kept_or_dropped() -> None:
    scores = Scores(np.array([[0.5, 0.2, 0.3]]), ["T", "CD4 T", "CD8 T"])
    assert roll_up_scores(scores, [CD4, CD8]).types[-1] == "T"
    dropped = roll_up_scores(scores, [CD4, CD8], rest="drop")
    assert dropped.types == ("CD4-positive, alpha-beta T cell", "CD8-positive, alpha-beta T cell")
    assert dropped.about["rolled_up"]["others"] == ["T"]
    with pytest.raises(OptionError, match="no type is of this level"):
        roll_up_scores(scores, [B], rest="drop")
    with pytest.raises(OptionError, match="how='mean'"):
        roll_up_scores(scores, [B], how="mean")


# -- ancestors and distances


def test_descendants_are_the_inverse_of_ancestors(cl: CellOntology, live: list[Term]) -> None:
    for term in live[::29]:
        up = cl.ancestors(term.cl_id)
        assert term.cl_id not in up
        assert all(term.cl_id in cl.descendants(other) for other in up)
        down = cl.descendants(term.cl_id)
        assert term.cl_id in down
        assert all(term.cl_id in cl.ancestors(other) for other in down - {term.cl_id})


LIVE_IDS = sorted(term.cl_id for term in cell_ontology().terms.values() if not term.deprecated)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(LIVE_IDS), st.sampled_from(LIVE_IDS))
def test_distance_is_symmetric_and_zero_for_the_same_only(a: str, b: str) -> None:
    onto = cell_ontology()
    distance = onto.distance(a, b)
    assert distance == onto.distance(b, a)
    assert (distance == 0) == (a == b)
    assert distance == onto.distance_matrix([a, b])[0, 1]
    if b in onto.ancestors(a):
        assert distance is not None
        assert distance <= onto.ancestors(a)[b]


def test_known_distances(cl: CellOntology) -> None:
    assert cl.distance(B, MEMORY_B) == cl.ancestors(MEMORY_B)[B] == 3
    assert cl.distance(MEMORY_B, NAIVE_B) == 2
    assert cl.distance(CD4, CD8) == 2
    assert cl.distance(B, T) == 3  # B cell - lymphocyte of B lineage - lymphocyte - T cell


def test_two_parents_may_be_further_apart_than_their_child_from_both(cl: CellOntology) -> None:
    """The path goes up, then down: no triangle inequality, which users are told."""
    one, other = cl.parents("CL:0000980")  # plasmablast: mature B cell, antibody secreting cell
    apart, to_one, to_other = cl.distance(one, other), cl.distance("CL:0000980", one), cl.distance("CL:0000980", other)
    assert (to_one, to_other) == (1, 1)
    assert apart is not None
    assert apart > 2


def test_distances_of_many_pairs(cl: CellOntology) -> None:
    rng = np.random.default_rng(1)
    pool = np.array([B, T, CD4, MONO, NK, None], dtype=object)
    a_n, b_n = rng.choice(pool, 300), rng.choice(pool, 300)
    found = cl.distances(a_n, b_n)
    for a, b, distance in zip(a_n, b_n, found, strict=True):
        assert np.isnan(distance) if None in (a, b) else distance == cl.distance(a, b)
    assert cl.distances([], []).shape == (0,)
    assert np.isnan(cl.distances([None], [None])).all()
    with pytest.raises(OptionError, match="3 types against 2"):
        cl.distances([B, B, B], [B, B])


def test_without_a_common_ancestor_there_is_no_distance() -> None:
    onto = CellOntology({one: Term(one, one) for one in ("CL:0000001", "CL:0000002")})
    assert onto.distance("CL:0000001", "CL:0000002") is None
    np.testing.assert_array_equal(onto.distance_matrix(["CL:0000001", "CL:0000002"]), [[0, np.nan], [np.nan, 0]])


# -- ids that moved, and words for an encoder


def test_a_deprecated_id_is_what_replaced_it(cl: CellOntology) -> None:
    moved = [term for term in cl.terms.values() if term.deprecated and (term.replaced_by or "") in cl]
    assert len(moved) == 129
    for term in moved:
        now = cl.current(term.cl_id)
        assert now is None or not cl.term(now).deprecated
        assert cl.find(term.cl_id) == now
        if now:
            assert cl.label(term.cl_id) == cl.label(now)
            assert cl.distance(term.cl_id, now) == 0
    withdrawn = "CL:0000212"
    assert cl.current(withdrawn) is None
    assert cl.ancestors(withdrawn) == {}
    assert cl.descendants(withdrawn) == {withdrawn}
    assert cl.distance(withdrawn, B) is None
    assert cl.roll_up([withdrawn], "broad") == [None]


def test_replacements_that_run_in_a_circle_end_nowhere() -> None:
    a, b, c = "CL:0000001", "CL:0000002", "CL:0000003"
    gone = {one: Term(one, one, deprecated=True, replaced_by=other) for one, other in ((a, b), (b, c), (c, a))}
    assert CellOntology(gone).current(a) is None
    chain = {**gone, c: Term(c, "end")}
    assert CellOntology(chain).current(a) == c


def test_unknown_ids_are_refused_by_name(cl: CellOntology) -> None:
    for ask in (cl.label, cl.ancestors, cl.descendants, cl.current, cl.describe):
        with pytest.raises(OptionError, match="no term 'CL:9999999'"):
            ask("CL:9999999")
    assert "CL:9999999" not in cl
    assert "cl_0000236" in cl
    assert 3 not in cl


def test_ids_in_their_usual_form() -> None:
    assert normal_id("cl_0000236") == B
    for text in ("", "CL:236", "CL:00002361", "PCL:0015084", "CL:0009103 l", "CL:000023６"):
        assert normal_id(text) is None


def test_describe(cl: CellOntology) -> None:
    assert cl.describe(B) == f"cell type: B cell. {cl.definition(B)}"
    bare = next(one for one in LIVE_IDS if not cl.definition(one))
    assert cl.describe(bare) == f"cell type: {cl.label(bare)}."
    assert cl.describe(B, "{label} = {id}; {synonyms}") == "B cell = CL:0000236; B lymphocyte, B-cell, B-lymphocyte"
    for template in ("{name}", "{label.__class__}", "{0}", "{", "{label:d}", "{label:{name}}"):
        with pytest.raises(OptionError, match="template"):
            cl.describe(B, template)


# -- files

SMALL = """format-version: 1.2

[Term]
id: CL:0000000
name: cell

[Term]
id: GO:0000001
name: something between
is_a: CL:0000000 ! cell

[Term]
id: CL:0000001
name: first \\"quoted\\" cell
alt_id: CL:0000009
def: "A cell, with a \\"quote\\" and {braces}." [X:1, Y:2]
synonym: "number one" EXACT []
synonym: "any old cell" BROAD []
is_a: GO:0000001 {is_inferred="true"} ! something between
relationship: develops_from CL:0000002 ! second

[Term]
id: CL:0000002
name: second
is_a: CL:0000000

[Term]
id: CL:0000003
name: obsolete third
is_a: CL:0000000
is_obsolete: true
replaced_by: CL:0000002
consider: CL:0000001

[Typedef]
id: develops_from
name: develops from
"""


def test_obo(tmp_path: Path) -> None:
    path = tmp_path / "small.obo"
    path.write_text(SMALL)
    onto = load_cell_ontology(path)
    assert sorted(onto.terms) == [f"CL:000000{i}" for i in (0, 1, 2, 3, 9)]
    first = onto.term("CL:0000001")
    assert first.label == 'first "quoted" cell'
    assert first.definition == 'A cell, with a "quote" and {braces}.'
    assert first.synonyms == ("number one",)
    assert onto.ancestors("CL:0000001") == {"CL:0000000": 2}  # through a term of another ontology
    assert onto.current("CL:0000009") == "CL:0000001"
    assert onto.current("CL:0000003") == "CL:0000002"
    assert onto.ancestors("CL:0000003") == {"CL:0000000": 1}
    assert onto.find("any old cell") is None
    lineage = load_cell_ontology(path, relations=("is_a", "develops_from"))
    assert lineage.ancestors("CL:0000001") == {"CL:0000000": 2, "CL:0000002": 1}


@pytest.mark.skipif(not OBO.exists(), reason="needs the OBO file of the shared data (CORPUSCLE_DATA)")
def test_a_real_release_as_obo(cl: CellOntology) -> None:
    older = load_cell_ontology(OBO)
    live = [one for one, term in older.terms.items() if not term.deprecated]
    assert len(live) > 2500
    assert all(normal_id(one) == one for one in live)
    assert older.find("B cells") == B
    assert older.ancestors("CL:0000038")["CL:0000764"] == 1
    assert "CL:0000050" not in older.ancestors("CL:0000038")  # it develops from it, and is no kind of it
    assert older.roll_up([MEMORY_B], "broad") == [B]
    shared = [one for one in live if one in cl and cl.current(one) == one]
    assert np.mean([older.label(one) == cl.label(one) for one in shared]) > 0.9


def test_a_table_comes_back_as_it_was(cl: CellOntology, tmp_path: Path) -> None:
    assert from_table(to_table(cl.terms.values()), "again") == cl.terms
    path = tmp_path / "cl.tsv"
    path.write_text("\ufeff" + to_table(cl.terms.values()).replace("\n", "\r\n"), encoding="utf-8")
    assert load_cell_ontology(path).terms == cl.terms


HEAD = "cl_id\tlabel\tdefinition\tsynonyms\tparents\tdeprecated\treplaced_by\n"
BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "neither"),
    "prose": (b"Dear reader", "neither"),
    "binary": (b"\xff\xfe\x00\x01", "not UTF-8"),
    "cut gzip": (gzip.compress(SMALL.encode())[:-20], "damaged or cut short"),
    "cut xz": (lzma.compress(SMALL.encode())[:-20], "damaged or cut short"),
    "cut JSON": (b'{"CL:0000001": {"label": "x"', "not valid JSON"),
    "deep JSON": (b'{"a":' * 200_000, "not valid JSON"),
    "no label": (b'{"CL:0000001": {"description": "x"}}', "CL:0000001 has no label"),
    "odd entry": (b'{"CL:0000001": 7}', "CL:0000001 has no label"),
    "odd ancestors": (b'{"CL:0000001": {"label": "x", "ancestors": {"CL:0000000": "near"}}}', "not a map"),
    "odd synonyms": (b'{"CL:0000001": {"label": "x", "synonyms": "y"}}', "not a list"),
    "no cell type": (b'{"GO:0000001": {"label": "x"}}', "no term of the Cell Ontology"),
    "missing parent": (b'{"CL:0000001": {"label": "x", "ancestors": {"CL:0000005": 1}}}', "kind of CL:0000005"),
    "columns": (b"cl_id\tname\nCL:0000001\tx\n", "no column 'label'"),
    "short line": ((HEAD + "CL:0000001\tx\n").encode(), "line 2 has 2 columns"),
    "odd id": ((HEAD + "CL:1\tx\t\t\t\t0\t\n").encode(), "line 2: 'CL:1' is not"),
    "odd parent": ((HEAD + "CL:0000001\tx\t\t\tCL:2\t0\t\n").encode(), "'CL:2' is not a parent"),
    "twice": ((HEAD + "CL:0000001\tx\t\t\t\t0\t\n" * 2).encode(), "line 3 has CL:0000001 for the second time"),
    "itself": ((HEAD + "CL:0000001\tx\t\t\tCL:0000001\t0\t\n").encode(), "kind of itself"),
    "circle": (
        (HEAD + "CL:0000001\tx\t\t\tCL:0000002\t0\t\nCL:0000002\ty\t\t\tCL:0000001\t0\t\n").encode(),
        "kind of itself",
    ),
    "stanza without id": (b"format-version: 1.2\n[Term]\nname: x\n", "line 2: a .Term. without an id"),
    "stanza without name": (b"format-version: 1.2\n[Term]\nid: CL:0000001\n", "CL:0000001 has no name"),
    "stanza twice": (b"[Term]\nid: CL:0000001\nname: x\n" * 2, "second time"),
}


@pytest.mark.parametrize("what", BAD)
def test_files_that_are_no_ontology_are_one_clear_line(what: str, tmp_path: Path) -> None:
    content, message = BAD[what]
    path = tmp_path / "given.file"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=message) as caught:
        load_cell_ontology(path)
    assert "given.file" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read"):
        load_cell_ontology(tmp_path / "none.obo")


def test_a_small_file_that_unpacks_to_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("corpuscle.annotate.ontology._read.MOST_BYTES", 2**20)
    path = tmp_path / "bomb.xz"
    path.write_bytes(lzma.compress(b" " * 2**21))
    with pytest.raises(SourceError, match="unpacks to more than 1 MiB"):
        load_cell_ontology(path)
