"""Batches of the trainer, and training in rounds with mined negatives."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")
pytest.importorskip("accelerate")

from corpuscle.corpus.pairs.vectors import VectorStore  # noqa: E402
from corpuscle.errors import OptionError, SourceError  # noqa: E402
from corpuscle.models.celltext._batches import PLACE, Batches  # noqa: E402
from corpuscle.models.celltext._loss import MaskedRankingLoss  # noqa: E402
from corpuscle.models.celltext._train_rows import training_rows  # noqa: E402
from corpuscle.models.celltext.mine import mine_negatives  # noqa: E402
from corpuscle.models.celltext.model import CellText  # noqa: E402
from corpuscle.models.celltext.rounds import n_epochs, train_with_mining  # noqa: E402
from corpuscle.models.celltext.train import train  # noqa: E402
from datasets import Dataset  # noqa: E402

KINDS = ["b", "nk", "t", "mono"]


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def caption(kind):
    return f"this is a {kind} cell ."


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory):
    """A text encoder of random weights without dropout, saved."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("encoder")
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "this", "is", "a", "cell", ".", *KINDS]
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    BertModel(BertConfig(vocab_size=len(tokens), **sizes, **still)).save_pretrained(folder / "bert")
    BertTokenizerFast(vocab={token: n for n, token in enumerate(tokens)}).save_pretrained(folder / "bert")
    SentenceTransformer(modules=[Transformer(str(folder / "bert")), Pooling(16)], device="cpu").save(
        str(folder / "model"), create_model_card=False
    )
    return folder / "model"


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """Rows of 60 cells of four kinds, two of them close, and a store of their vectors on disk."""
    rng = np.random.default_rng(0)
    kind_n = rng.permutation(np.repeat(KINDS, 15))
    center = dict(zip(KINDS, rng.normal(size=(4, 10)), strict=True))
    center["nk"] = center["t"] + 0.3 * rng.normal(size=10)
    vectors_nd = np.stack([center[kind] for kind in kind_n]) + 0.2 * rng.normal(size=(60, 10))
    folder = tmp_path_factory.mktemp("vectors")
    ids = [f"c{n}" for n in range(60)]
    np.save(folder / "vectors.npy", vectors_nd.astype(np.float32))
    # The store holds more cells than are trained on, in another order.
    (folder / "ids.json").write_text(json.dumps(ids))
    (folder / "provenance.json").write_text(json.dumps({"schema": 1, "key": "X_toy", "width": 10}))
    chosen = list(rng.permutation(60)[:50])
    rows = Dataset.from_dict({"sample_idx": [ids[n] for n in chosen], "positive": [caption(kind_n[n]) for n in chosen]})
    return rows, VectorStore(folder)


def model_of(encoder_folder, seed=0):
    return CellText.create(width=10, key="X_toy", text_model=str(encoder_folder), dim=8, seed=seed, device="cpu")


class Asked:
    """A store that is no VectorStore: ids are asked for batch by batch."""

    folder = "elsewhere"

    def __init__(self, store):
        self.store, self.key, self.width = store, store.key, store.width

    def __contains__(self, id):
        return id in self.store

    def lookup(self, ids):
        return self.store.lookup(ids)


def test_a_batch_has_the_vectors_texts_and_codes_of_its_rows(cells):
    rows, store = cells
    table = training_rows(rows)
    for given in (store, Asked(store)):
        batches = Batches(table, given)
        batches.encode = lambda texts, places: {"input_values": torch.tensor([[float(k)] for k in places])}
        chosen = [7, 3, 3, 41]
        features = [{"anchor": row} for row in chosen]
        batch = batches(features)
        np.testing.assert_array_equal(batch["anchor_input_values"], store.lookup([table["anchor"][n] for n in chosen]))
        texts = [batches.texts[int(k)] for k in batch["text0_input_values"][:, 0]]
        assert texts == [table["positive"][n] for n in chosen]
        assert batch["label"].tolist() == [table["label"][n] for n in chosen]
        batches.once = True
        batch = batches(features)
        used = [batches.texts[int(k)] for k in batch["text_input_values"][:, 0]]
        assert len(used) == len(set(used))
        assert [used[k] for (k,) in batch[f"text_{PLACE}"]] == texts


def test_a_cell_without_a_vector_is_named_before_anything_is_trained(cells):
    store = cells[1]
    strange = Dataset.from_dict({"sample_idx": ["c1", "c2", "gone"], "positive": ["x", "y", "x"]})
    for given in (store, Asked(store)):
        with pytest.raises(SourceError, match="'gone'"):
            Batches(training_rows(strange), given)


def test_a_text_encoded_once_gives_the_loss_and_gradient_of_a_text_encoded_in_each_row(encoder_folder, cells):
    rows, store = cells
    mined = mine_negatives(model_of(encoder_folder), rows, store, n=2)
    found = []
    for once in (False, True):
        model = model_of(encoder_folder).attach(store)
        batches = Batches(training_rows(mined, negatives=True), store)
        batches.encode = lambda texts, _, model=model: model.model.preprocess(texts, task="text")
        batches.once = once
        batch = batches([{"anchor": row} for row in range(24)])
        columns = ["anchor", "text"] if once else ["anchor", "text0", "text1", "text2"]
        features = [
            {name.removeprefix(f"{column}_"): value for name, value in batch.items() if name.startswith(f"{column}_")}
            for column in columns
        ]
        model.model.requires_grad_(True)
        loss = MaskedRankingLoss(model.model, symmetric=True)(features, batch["label"])
        loss.backward()
        encoder = [p.grad for n, p in model.model.named_parameters() if ".text.0." in n and p.grad is not None]
        found.append((float(loss.detach()), torch.cat([one.flatten() for one in encoder])))
    (each, each_grad), (one, one_grad) = found
    assert each == pytest.approx(one, abs=1e-5)
    assert float(each_grad.abs().max()) > 1e-3
    torch.testing.assert_close(each_grad, one_grad, atol=1e-5, rtol=1e-3)


def test_rounds_of_mining_go_on_with_the_model_and_the_count_of_epochs(encoder_folder, cells):
    rows, store = cells
    model, alone = model_of(encoder_folder), model_of(encoder_folder)
    seen = []
    options = {"epochs": 4, "batch_size": 16, "seed": 3}
    history = train_with_mining(
        model, rows, store, n=2, rounds=2, mined_epochs=3, progress=lambda entry: seen.append(entry["epoch"]), **options
    )
    assert [entry["epoch"] for entry in history] == list(range(1, 11)) == seen
    assert [entry["round"] for entry in history] == [0] * 4 + [1] * 3 + [2] * 3
    first = train(alone, rows, store, **options)
    assert [entry["loss"] for entry in history[:4]] == [entry["loss"] for entry in first]
    # By hand, the first round is what mining and training on give.
    from corpuscle.seeds import stream_seed

    again = train(
        alone, mine_negatives(alone, rows, store, 2), store, epochs=3, batch_size=16, negatives=True,
        seed=stream_seed(3, "celltext", "round", "1"),
    )  # fmt: skip
    assert [entry["loss"] for entry in again] == [entry["loss"] for entry in history[4:7]]
    assert again[-1]["loss"] < again[0]["loss"]


def test_rounds_repeat_with_their_seed(encoder_folder, cells):
    def run(seed):
        model = model_of(encoder_folder)
        train_with_mining(model, *cells, n=1, epochs=1, batch_size=16, seed=seed)
        return model.encode_texts([caption("t")])

    once = run(0)
    np.testing.assert_array_equal(once, run(0))
    assert np.abs(once - run(1)).max() > 1e-4


def test_a_freeze_is_of_the_first_training_only(encoder_folder, cells):
    def encoder(model):
        return torch.cat([p.detach().flatten() for n, p in model.model.named_parameters() if ".text.0." in n])

    model = model_of(encoder_folder)
    states = [encoder(model)]
    train_with_mining(
        model, *cells, n=1, epochs=2, mined_epochs=1, batch_size=16, text_learning_rate=1e-3, freeze_text_epochs=1,
        progress=lambda _: states.append(encoder(model)),
    )  # fmt: skip
    moved = [not torch.equal(a, b) for a, b in pairwise(states)]
    assert moved == [False, True, True]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n": 4}, "there are 4 captions"),
        ({"n": 2, "skip": 2}, "there are 4 captions"),
        ({"n": 0}, "n is 0"),
        ({"n": 1, "skip": -1}, "skip is -1"),
        ({"n": 1, "rounds": 0}, "rounds"),
        ({"n": 1, "mined_epochs": 0}, "mined_epochs"),
    ],
)
def test_mining_that_makes_no_sense_is_told_before_training(encoder_folder, cells, options, words):
    model = model_of(encoder_folder)
    with pytest.raises(OptionError, match=words):
        train_with_mining(model, *cells, epochs=2, progress=lambda entry: pytest.fail("it trained"), **options)


def test_the_count_of_all_epochs():
    assert n_epochs(30) == 40 and n_epochs(2) == 3 and n_epochs(10, rounds=2, mined_epochs=4) == 18
