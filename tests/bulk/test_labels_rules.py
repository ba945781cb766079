import numpy as np
import pandas as pd
import pytest

from corpuscle.bulk.labels import Rules, Term, Terms, default_rules, labels_by_rules, read_rules, read_terms
from corpuscle.bulk.labels._patterns import compiled
from corpuscle.bulk.labels.terms import Label
from corpuscle.errors import MethodError, OptionError, SourceError

OBS = pd.DataFrame(
    {
        "title": ["Liver rep1", "kidney of HepG2", "heart and liver", "nothing", None],
        "source_name_ch1": ["liver", "", "x", "x", np.nan],
        "characteristics_ch1": ["tissue: Kidney,age: 3", "cell_line: Hep-G2", "sex: f", "cell line: unheard", None],
    },
    index=[f"GSM{i}" for i in range(5)],
)


def rules(tmp_path, lines="", terms="") -> Rules:
    (tmp_path / "r.tsv").write_text("# a remark\nfield\tpattern\tlabel\tkind\tparent\n" + lines, encoding="utf-8")
    (tmp_path / "t.tsv").write_text("term\tlabel\tkind\tparent\n" + terms, encoding="utf-8")
    return Rules(read_rules(tmp_path / "r.tsv"), read_terms(tmp_path / "t.tsv"))


TERMS = "liver|hepatic\tliver\ttissue\t\nkidney\tkidney\ttissue\t\nheart\theart\ttissue\t\nHep G2\tHepG2\tcell line\tliver\n"


def of(labels) -> dict[str, list[str]]:
    dense = labels.y_nl.toarray()
    return {
        s: sorted(labels.names[k] for k in np.flatnonzero(row)) for s, row in zip(labels.samples, dense, strict=True)
    }


def test_of_each_kind_the_first_field_with_a_term_decides(tmp_path) -> None:
    found, notes = labels_by_rules(OBS, rules(tmp_path, terms=TERMS), conflict="multi")
    assert of(found) == {
        "GSM0": ["kidney"], "GSM1": ["HepG2", "kidney"], "GSM2": ["heart", "liver"], "GSM3": [], "GSM4": [],
    }  # fmt: skip
    assert "2 of 5 samples got no label" in notes
    row = found.evidence.astype(str).iloc[0].to_dict()
    assert row == {
        "sample": "GSM0", "label": "kidney", "rule": "t.tsv:3", "field": "characteristics_ch1:tissue", "text": "Kidney",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("conflict", "expected"), [("multi", ["heart", "liver"]), ("ambiguous", []), ("first", ["heart"])]
)
def test_conflicts(tmp_path, conflict, expected) -> None:
    found, notes = labels_by_rules(OBS, rules(tmp_path, terms=TERMS), conflict=conflict)
    assert of(found)["GSM2"] == expected
    assert of(found)["GSM1"] == ["HepG2", "kidney"]  # of two kinds, and so no conflict
    assert any(note.startswith("1 samples have several labels of one kind") for note in notes)
    assert set(found.evidence.loc[found.evidence["sample"] == "GSM2", "label"]) == {"heart", "liver"}


def test_expressions_come_in_their_order_and_before_terms(tmp_path) -> None:
    made = rules(tmp_path, "title\t^liver\tfirst\ttissue\t\n*\tkidney\tsecond\ttissue\t\n", TERMS)
    found, _ = labels_by_rules(OBS, made, conflict="first")
    assert of(found)["GSM0"] == ["first"]
    (tmp_path / "o.tsv").write_text("order\tfield\tpattern\tlabel\n2\ttitle\tliver\tb\n1\ttitle\trep\ta\n")
    found, _ = labels_by_rules(OBS, Rules(read_rules(tmp_path / "o.tsv")), conflict="first")
    assert of(found)["GSM0"] == ["a"]


def test_a_label_stands_against_what_it_descends_from_in_its_own_kind(tmp_path) -> None:
    made = rules(
        tmp_path,
        "title\theart\torgan\ttissue\t\ntitle\theart\tpart\ttissue\tmiddle\ntitle\tzzz\tmiddle\ttissue\torgan\n",
    )
    assert of(labels_by_rules(OBS, made, conflict="ambiguous")[0])["GSM2"] == ["part"]
    assert of(labels_by_rules(OBS, made, conflict="multi")[0])["GSM2"] == ["organ", "part"]


def test_labels_that_are_parts_of_each_other_do_not_hang(tmp_path) -> None:
    made = rules(tmp_path, "title\theart\ta\tt\tb\ntitle\theart\tb\tt\ta\n")
    assert of(labels_by_rules(OBS, made, conflict="multi")[0])["GSM2"] == ["a", "b"]


def test_the_order_of_samples_changes_nothing(tmp_path) -> None:
    made = rules(tmp_path, "*\tliver\trule\ttissue\t\n", TERMS)
    order = [3, 0, 4, 2, 1]
    for conflict in ("multi", "ambiguous", "first"):
        one = of(labels_by_rules(OBS, made, conflict=conflict)[0])
        assert of(labels_by_rules(OBS.iloc[order], made, conflict=conflict)[0]) == one


def test_old_files_name_fields_otherwise(tmp_path) -> None:
    old = OBS.rename(columns=lambda name: f"Sample_{name}")
    made = rules(tmp_path, terms=TERMS)
    assert of(labels_by_rules(old, made, conflict="multi")[0]) == of(labels_by_rules(OBS, made, conflict="multi")[0])


def test_metadata_without_text_says_where_was_looked(tmp_path) -> None:
    made = rules(tmp_path, terms=TERMS)
    with pytest.raises(SourceError, match=r"have no text \(characteristics_ch1:tissue, .*title\)"):
        labels_by_rules(OBS.assign(title=np.nan, source_name_ch1=None, characteristics_ch1=""), made)
    with pytest.raises(OptionError, match="none of the fields looked at"):
        labels_by_rules(OBS[[]], made)
    with pytest.raises(MethodError, match="no rule or term matched"):
        labels_by_rules(OBS, Rules(terms=Terms([Term("unicorn", Label("unicorn"))])))
    with pytest.raises(OptionError, match="conflict 'vote' is unknown"):
        labels_by_rules(OBS, made, conflict="vote")


def test_a_field_that_is_missing_and_a_text_that_is_cut_are_noted(tmp_path) -> None:
    made = rules(tmp_path, "nowhere\tx\ta\t\t\n", "liver\tliver\t\t\n")
    _, notes = labels_by_rules(OBS.assign(title="liver " * 200), made, conflict="multi")
    assert "the metadata: has no column for the field nowhere" in notes
    assert any("1 texts are longer" in note for note in notes)


def test_a_label_with_two_kinds_is_refused(tmp_path) -> None:
    made = rules(tmp_path, "title\tx\tliver\torgan\t\n", TERMS)
    with pytest.raises(OptionError, match="kind of label 'liver' is 'tissue' here and 'organ'"):
        labels_by_rules(OBS, made)


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+b", "(a|a)*b", "(a|aa)+$", "a*a*a*b", "(.*)(.*)(.*)x", "(a?){30}a{30}", "a?" * 30 + "a" * 30, r"(a)\1",
     "(?:a{1,400}){1,400}b", "(" * 90 + "a+" + ")+" * 90, "(?:(?:a*)*)*b", "(?=(a+)+)b"],
)  # fmt: skip
def test_expressions_that_could_run_for_ever_are_refused(pattern) -> None:
    with pytest.raises(OptionError, match="f:1: "):
        compiled(pattern, "f:1")


@pytest.mark.parametrize("pattern", ["", "x*", ".", "(?:)", "[^a]", "a" * 501, "(", "a{2,1}", "(?P<x>a", "[z-a]"])
def test_expressions_that_say_nothing_or_are_none_are_refused(pattern) -> None:
    with pytest.raises(OptionError, match="f:1: "):
        compiled(pattern, "f:1")


@pytest.mark.parametrize(
    "pattern",
    [
        r"\bbreast\s*(cancer|carcinoma)\s*cell\s*lines?\b",
        r"^(GM|NA|HG)\d{5}\b",
        r"liver.*biopsy",
        r"(?i)hela",
        "(?:abc){2,3}",
    ],
)
def test_sound_expressions_are_taken(pattern) -> None:
    assert compiled(pattern, "f:1").flags


def test_an_expression_that_takes_too_long_on_the_texts_is_stopped(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("corpuscle.bulk.labels.rules.PATIENCE", -1.0)
    monkeypatch.setattr("corpuscle.bulk.labels.rules.PATIENCE_A_TEXT", 0.0)
    made = rules(tmp_path, "title\tliver\ta\t\t\n")
    with pytest.raises(MethodError, match=r"r\.tsv:3 takes too long on title"):
        labels_by_rules(OBS, made)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"field\tpattern\n", "must name the columns"),
        (b"field\tpattern\tlabel\ntitle\tx\n", "has no label"),
        (b"field\tpattern\tlabel\ntitle\tx\ta\tb\n", "4 cells for 3 columns"),
        (b"field\tpattern\tlabel\ntitle\tx\t-\n", "only a term can mean nothing"),
        (b"order\tfield\tpattern\tlabel\nfirst\ttitle\tx\ta\n", "is no whole number"),
        (b"\xff\xfe\x00", "cannot be read as text"),
        (b"field\tpattern\tlabel\ntitle\t" + b"x" * 20_000 + b"\ta\n", "too long"),
    ],
)
def test_bad_rule_files(tmp_path, content, says) -> None:
    (tmp_path / "r.tsv").write_bytes(content)
    with pytest.raises(SourceError, match=says):
        read_rules(tmp_path / "r.tsv")
    with pytest.raises(SourceError, match="cannot be read"):
        read_terms(tmp_path / "none.tsv")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bone marrow mononuclear cells", {"bone marrow"}),
        ("Frontal cortex (BA9)", {"brain"}),
        ("MCF-7 breast cancer cells", {"MCF-7", "breast"}),
        ("primary T cells from PBMC", {"T cell", "blood"}),
        ("brain-derived neurotrophic factor, high fat diet", set()),
        ("hESC-derived", {"embryonic stem cell"}),
        ("HEK 293T + siRNA", {"HEK293T"}),
        ("GM12878", set()),
    ],
)
def test_default_rules_golden(text, expected) -> None:
    obs = pd.DataFrame({"source_name_ch1": [text, "liver"], "title": ["a", "b"]}, index=["s", "t"])
    found, _ = labels_by_rules(obs, default_rules(), conflict="multi")
    assert set(of(found)["s"]) == expected
    assert of(found)["t"] == ["liver"]
