import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpuscle.bulk.labels import Term, Terms, parse_characteristics
from corpuscle.bulk.labels._text import clean, tokens
from corpuscle.bulk.labels.terms import Label
from corpuscle.errors import OptionError

WORDS = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=4)


def terms(*texts: str) -> Terms:
    return Terms(Term(text, Label(text), text) for text in texts)


def found_in(terms: Terms, text: str) -> list[str]:
    return [term.label.name for _, _, term in terms.find(tokens(text))]


def slow_search(words: list[str], known: set[tuple[str, ...]]) -> list[tuple[int, int]]:
    """The definition: from the left, the longest run of words that is a term, and on after it."""
    found, at = [], 0
    while at < len(words):
        runs = [n for n in range(len(words) - at, 0, -1) if tuple(words[at : at + n]) in known]
        if runs:
            found.append((at, at + runs[0]))
        at += runs[0] if runs else 1
    return found


@given(st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=30), st.lists(WORDS, min_size=1, max_size=8))
def test_the_longest_term_is_found_at_each_place(words, given_terms) -> None:
    made = terms(*{" ".join(one) for one in given_terms})
    expected = slow_search(words, {tuple(one) for one in given_terms})
    assert [(first, last) for first, last, _ in made.find(words)] == expected


def test_longest_match_beats_what_is_in_it() -> None:
    made = terms("bone", "bone marrow", "marrow")
    assert found_in(made, "Bone-marrow, bone; marrow") == ["bone marrow", "bone", "marrow"]
    assert found_in(made, "of the bone") == ["bone"]


def test_terms_are_whole_words_in_any_case_and_any_punctuation() -> None:
    made = terms("MCF-7", "liver")
    assert found_in(made, "mcf 7_LIVER (Mcf/7)") == ["MCF-7", "liver", "MCF-7"]
    assert found_in(made, "MCF-70 livers xliver") == []


def test_a_term_that_means_nothing_uses_its_words_up() -> None:
    made = Terms([Term("brain", Label("brain")), Term("brain derived", Label("-"))])
    assert found_in(made, "brain derived factor of brain") == ["brain"]


@pytest.mark.parametrize("text", ["", "---", " ".join("x" * 21)])
def test_a_term_without_words_or_with_too_many_is_refused(text) -> None:
    with pytest.raises(OptionError, match="write 1 to 20"):
        terms(text)


def test_a_term_with_two_meanings_is_refused() -> None:
    with pytest.raises(OptionError, match="means 'b' here and 'a' in f:1"):
        Terms([Term("x y", Label("a"), "f:1"), Term("X-Y", Label("b"), "f:2")])


GOLDEN = [
    ("tissue: liver,Sex: male,age: 45 years", [("tissue", "liver"), ("sex", "male"), ("age", "45 years")]),
    ("tissue: liver\tcell line: HepG2;Cell_Type: x", [("tissue", "liver"), ("cell line", "HepG2"), ("cell type", "x")]),
    ("treatment: DMSO, 24 h,tissue: liver", [("treatment", "DMSO, 24 h"), ("tissue", "liver")]),
    ("tissue:liver", [("tissue", "liver")]),
    ("liver biopsy", []),
    ("liver,tissue: brain", [("tissue", "brain")]),
    ("tissue: brain: cortex", [("tissue", "brain: cortex")]),
    ("source: https://x.org/a,b", [("source", "https://x.org/a,b")]),
    ("time: 12:30,13:45", [("time", "12:30,13:45")]),
    ("tissue: NA,organ: ,sex: f", [("sex", "f")]),
    ("tissue: a,tissue: b", [("tissue", "a"), ("tissue", "b")]),
    ("tissue: l\u00fcng\u2028x\x00,\x1b[31m: y", [("tissue", "l\u00fcng x , [31m: y")]),
    ("", []),
    (",,;;\t:", []),
]


@pytest.mark.parametrize(("text", "pairs"), GOLDEN)
def test_characteristics_golden(text, pairs) -> None:
    assert parse_characteristics(text) == pairs


@given(st.text())
def test_characteristics_of_any_text_are_clean(text) -> None:
    for key, value in parse_characteristics(text):
        assert key == clean(key)
        assert value == clean(value)
        assert key and value and ":" not in key


@given(st.text())
def test_clean_text_is_short_has_no_control_characters_and_no_double_blanks(text) -> None:
    once = clean(text)
    assert len(once) <= 500
    assert "  " not in once
    assert not any(ord(c) < 32 or 0xD800 <= ord(c) < 0xE000 for c in once)
