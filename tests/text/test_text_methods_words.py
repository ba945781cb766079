from __future__ import annotations

import numpy as np
import pytest

from corpuscle.benchmarks.text.methods import (
    ALWAYS,
    DEFAULT,
    Scorer,
    checked_scorer,
    checked_scores,
    method_names,
    method_of,
    parse_method,
    text_method,
)
from corpuscle.errors import MethodError, OptionError


class Mine:
    name = "mine"
    told = "nothing"
    needs_vectors = False

    def __call__(self, shown, key, seed):
        return Scorer(lambda texts, types: np.zeros((3, len(texts))))


@pytest.mark.parametrize("name", method_names())
def test_every_method_says_what_it_knows_of_the_truth(name):
    method = parse_method(name)
    assert method.name == name and method.told and isinstance(method.needs_vectors, bool)


def test_the_controls_and_defaults_exist():
    assert set(ALWAYS) | set(DEFAULT) <= set(method_names())
    assert not set(ALWAYS) & set(DEFAULT)


def test_only_the_model_and_methods_on_its_vectors_take_an_embedding():
    takes = {name for name in method_names() if parse_method(name).needs_vectors}
    assert takes == {"celltext", "untrained", "shuffled", "logistic", "logistic_text", "centroid"}


def test_words_are_read_by_the_annotations_and_become_the_name():
    method = parse_method("celltext:epochs=3,head=mlp,mask_same_caption=false,text_rate=1e-5,mine=2")
    assert (method.epochs, method.head, method.mask_same_caption, method.text_rate) == (3, "mlp", False, 1e-5)
    assert method.name == "celltext:epochs=3,head=mlp,mask_same_caption=False,text_rate=1e-05,mine=2"
    assert text_method("logistic", C=0.5).name == "logistic:C=0.5"
    assert parse_method("celltext").name == "celltext"  # the class keeps its own


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("nothing_such", "no method of cells and text is called 'nothing_such'"),
        ("celltext:epocs=3", "has no parameter 'epocs'"),
        ("celltext:head=cubic", "head=cubic cannot be read"),
        ("celltext:epochs=many", "epochs=many cannot be read"),
        ("celltext:mine=-1", "mine is -1"),
        ("logistic:C=0", "C=0.0 must be above 0"),
        ("logistic_text:max_iter=0", "max_iter=0 1 or more"),
        ("sentences:n_genes=0", "n_genes is 0"),
        ("sentences_trained:n_genes=0", "n_genes is 0"),
        ("markers:scoring=guess", "scoring=guess cannot be read"),
        ("majority:C=1", "has no parameter 'C'"),
    ],
)
def test_what_cannot_be_read_is_named(word, said):
    with pytest.raises(OptionError) as caught:
        parse_method(word)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_an_object_of_ones_own_is_a_method_and_its_class_is_not():
    assert method_of(Mine()).name == "mine"
    with pytest.raises(OptionError, match="needs name, told"):
        method_of(Mine)
    with pytest.raises(OptionError, match="needs name, told"):
        method_of("celltext")


@pytest.mark.parametrize(("attribute", "value"), [("name", ""), ("told", None), ("needs_vectors", "yes")])
def test_an_object_with_an_odd_attribute_is_no_method(attribute, value):
    mine = Mine()
    setattr(mine, attribute, value)
    with pytest.raises(OptionError):
        method_of(mine)


def test_what_is_no_scorer_is_refused():
    with pytest.raises(MethodError, match="returned a list, not a Scorer"):
        checked_scorer([1.0], "mine")
    for scale in (0.0, -1.0, np.nan):
        with pytest.raises(MethodError, match="scale"):
            checked_scorer(Scorer(lambda texts, types: np.zeros((1, 1)), scale), "mine")


def test_scores_must_be_one_a_cell_and_text_and_finite_but_for_whole_columns():
    good = np.array([[0.1, np.nan], [0.2, np.nan]], np.float32)
    assert checked_scores(good, (2, 2), "mine").dtype == np.float64
    with pytest.raises(MethodError, match="shape"):
        checked_scores(good, (2, 3), "mine")
    for bad in (np.array([[0.1, np.nan], [0.2, 0.3]]), np.array([[0.1, np.inf], [0.2, np.inf]])):
        with pytest.raises(MethodError, match="not finite"):
            checked_scores(bad, (2, 2), "mine")
