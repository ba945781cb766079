from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pair_cells import pbmc68k

from corpuscle.corpus.pairs.captions import CaptionRule, Column, Join, Template, parse_caption
from corpuscle.errors import OptionError


def cells() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "cell_type": pd.Categorical(["B cell", None, "NK cell", "B cell"]),
            "tissue": ["blood", "blood", "  ", "bone\n marrow "],
            "age": [30.0, 31.5, np.nan, 8.0],
            "odd {name}": ["w", "x", "y", "z"],
        }
    )


def test_a_template_speaks_each_cells_values_and_none_where_one_is_missing() -> None:
    said = Template("This is a {cell_type} from {tissue}.").captions(cells())
    assert said.dtype == object
    assert said.tolist() == ["This is a B cell from blood.", None, None, "This is a B cell from bone marrow."]


def test_a_column_is_tidied_and_a_missing_value_is_none() -> None:
    assert Column("tissue").captions(cells()).tolist() == ["blood", "blood", None, "bone marrow"]


@pytest.mark.parametrize("word", ["nan", "NaN", "<NA>", "", "\t", None, float("nan"), pd.NA, pd.NaT])
def test_every_guise_of_a_missing_value_gives_no_caption(word: object) -> None:
    obs = pd.DataFrame({"a": pd.Series(["x", word], dtype=object)})
    assert Column("a").captions(obs).tolist() == ["x", None]
    assert Template("A {a}!").captions(obs).tolist() == ["A x!", None]


def test_none_and_na_as_words_are_values() -> None:
    obs = pd.DataFrame({"treatment": ["None", "NA"]})
    assert Template("Treated with {treatment}.").captions(obs).tolist() == ["Treated with None.", "Treated with NA."]


def test_whole_numbers_read_the_same_next_to_missing_ones() -> None:
    whole, holed = pd.DataFrame({"age": [30, 8]}), pd.DataFrame({"age": [30, np.nan]})
    assert Column("age").captions(whole)[0] == Column("age").captions(holed)[0] == "30"
    assert Column("age").captions(cells()).tolist() == ["30", "31.5", None, "8"]


def test_join_leaves_out_what_is_missing_and_is_none_only_without_any_part() -> None:
    obs = pd.DataFrame({"a": ["x", None, None], "b": ["y", "z", None]})
    rule = Join(["a", Template("b is {b}")], sep="; ")
    assert rule.captions(obs).tolist() == ["x; b is y", "b is z", None]
    assert rule.columns == ("a", "b")
    assert rule.source == "column a + template b is {b}"


def test_braces_are_names_letter_by_letter_and_never_evaluated() -> None:
    obs = pd.DataFrame({"a": ["x"], "a.__class__": ["dot"], "a:5": ["colon"], "a!r": ["bang"], "a[0]": ["sub"]})
    said = Template("{a.__class__} {a:5} {a!r} {a[0]} {{a}} }}{{").captions(obs)
    assert said.tolist() == ["dot colon bang sub {a} }{"]
    with pytest.raises(OptionError, match=r"no column 'a\.mro'"):
        Template("{a.mro}").captions(obs)


@pytest.mark.parametrize("text", ["no column", "{", "a } b {c}", "{}", "{ }", "{{a}}", "{a{b}}", ""])
def test_a_template_without_a_column_or_with_a_stray_brace_is_refused_at_once(text: str) -> None:
    with pytest.raises(OptionError):
        Template(text)


def test_a_misspelt_column_is_named_with_its_neighbour() -> None:
    with pytest.raises(OptionError, match=r"no column 'cell_tpye'.*did you mean 'cell_type'"):
        Template("A {cell_tpye}.").captions(cells())
    twice = pd.DataFrame([["x", "y"]], columns=["a", "a"])
    with pytest.raises(OptionError, match="2 columns called 'a'"):
        Column("a").captions(twice)


def test_a_text_is_a_column_or_a_template_by_its_braces() -> None:
    assert parse_caption("caption") == Column("caption")
    assert parse_caption(" A {b} ") == Template(" A {b} ")
    rule = Join(["a"])
    assert parse_caption(rule) is rule and isinstance(rule, CaptionRule)
    for bad in ("", "  ", "a}"):
        with pytest.raises(OptionError):
            parse_caption(bad)
    with pytest.raises(OptionError):
        Join([])
    with pytest.raises(OptionError):
        Join("caption")


def test_words_can_be_described_and_unknown_ones_stay() -> None:
    obs = pd.DataFrame({"term": ["CL:0000236", "CL:0000623", "CL:0", None]})
    known = {"CL:0000236": "B cell", "CL:0000623": ""}
    said = Template("A {term}.").captions(obs, known)
    assert said.tolist() == ["A B cell.", "A CL:0000623.", "A CL:0.", None]
    assert Template("A {term}.").captions(obs, known.get).tolist() == said.tolist()


def test_two_values_of_one_description_share_a_caption() -> None:
    obs = pd.DataFrame({"t": ["a", "b"]})
    assert Column("t").captions(obs, {"a": "same", "b": "same"}).tolist() == ["same", "same"]


def test_no_cells_have_no_captions() -> None:
    for rule in (Column("tissue"), Template("{tissue} {age}"), Join(["tissue", "age"])):
        assert rule.captions(cells().iloc[:0]).tolist() == []


#: Words that are what is left of a missing value.
NOT_SAID = ("", "nan", "NaN", "<NA>")
# No NUL: no file of cells can hold one, and pandas takes it for the end of a word.
words = st.one_of(
    st.none(),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6),
    st.sampled_from(["x", "y {z}", *NOT_SAID]),
)


@given(st.lists(st.tuples(words, words), min_size=1, max_size=12), st.integers(0, 12))
def test_a_cells_caption_is_the_same_in_every_chunk(values: list[tuple[str | None, str | None]], cut: int) -> None:
    obs = pd.DataFrame(values, columns=["a", "b"], dtype=object)
    for rule in (Template("{a}-{b}{a}"), Join(["a", "b"])):
        whole = rule.captions(obs)
        parts = np.concatenate([rule.captions(obs.iloc[:cut]), rule.captions(obs.iloc[cut:])])
        assert whole.tolist() == parts.tolist()
        for (a, b), said in zip(values, whole, strict=True):
            tidy = [None if word is None or word.strip() in NOT_SAID else " ".join(word.split()) for word in (a, b)]
            if isinstance(rule, Template):
                assert said == (None if None in tidy else f"{tidy[0]}-{tidy[1]}{tidy[0]}")
            else:
                assert said == (". ".join(word for word in tidy if word is not None) or None)


def test_real_cells_have_one_caption_a_type() -> None:
    obs = pbmc68k().obs
    said = Template("This is a {cell_type} cell from human peripheral blood.").captions(obs)
    assert len(set(said)) == 10
    assert said[0] == f"This is a {obs['cell_type'].iloc[0]} cell from human peripheral blood."
