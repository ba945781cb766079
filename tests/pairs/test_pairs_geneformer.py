"""Vectors of a BERT of rank-value tokens: those of a direct call, whatever the batches; and folders that can be trusted."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from bert_weights import bert_folder, change_config, vocabulary_file  # noqa: E402
from pair_cells import pbmc68k  # noqa: E402

from corpuscle.corpus.pairs._bert_folder import FOLDERS  # noqa: E402
from corpuscle.corpus.pairs._block import CellBlock  # noqa: E402
from corpuscle.corpus.pairs.build import build_pairs  # noqa: E402
from corpuscle.corpus.pairs.embedders import embed_block, embedder, load_embedder, save_embedder  # noqa: E402
from corpuscle.corpus.tokenize import tokenize  # noqa: E402
from corpuscle.errors import CorpuscleError, GeneError, MethodError, OptionError, SourceError  # noqa: E402

N_CELLS = 40


@pytest.fixture(scope="module", autouse=True)
def one_thread_and_no_gpu():
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)
        yield


@pytest.fixture(scope="module")
def cells():
    return pbmc68k()[:N_CELLS].copy()


@pytest.fixture(scope="module")
def genes(cells):
    return [gene for place, gene in enumerate(cells.var_names) if place % 4]


@pytest.fixture(scope="module")
def place(tmp_path_factory, genes):
    """Weights and vocabularies, plain and framed."""
    folder = tmp_path_factory.mktemp("bert")
    bert_folder(folder / "plain", len(genes) + 2)
    bert_folder(folder / "framed", len(genes) + 4, seed=1)
    vocabulary_file(folder / "plain.tsv", genes)
    vocabulary_file(folder / "framed.tsv", genes, framed=True)
    return folder


def word(place, kind="plain", **options):
    given = {"model": place / kind, "tokens": place / f"{kind}.tsv"} | options
    return "geneformer:" + ",".join(f"{key}={value}" for key, value in given.items())


def block_of(cells, source="cells", names=None):
    counts_ng = sp.csr_matrix(cells.X).astype(np.int32)
    log_ng = counts_ng.astype(np.float32)
    return CellBlock(log_ng, counts_ng, tuple(names or cells.var_names), pd.DataFrame(index=cells.obs_names), source)


def vectors(one, block):
    return embed_block([one], block)[f"X_{one.name}"]


def direct(place, cells, tmp_path, kind, layer, pool):
    """Each cell on its own through transformers, on the tokens of ``tokenize``."""
    from transformers import AutoModel

    from datasets import load_from_disk

    tokenize(cells, tmp_path / "tokens", vocab=place / f"{kind}.tsv", max_len=64, symbols="never", min_match=0)
    model = AutoModel.from_pretrained(place / kind, local_files_only=True).eval()
    found = []
    for row in load_from_disk(tmp_path / "tokens"):
        with torch.inference_mode():
            state = model(input_ids=torch.tensor([row["input_ids"]]), output_hidden_states=True).hidden_states[layer][0]
        genes_only = state[1:-1] if kind == "framed" else state
        found.append((state[0] if pool == "cls" else genes_only.mean(0)).numpy())
    return np.array(found)


@pytest.mark.parametrize(
    ("kind", "layer", "pool"),
    [("plain", -1, "mean"), ("plain", -2, "mean"), ("plain", 0, "mean"), ("framed", -1, "cls"), ("framed", 2, "mean")],
)
def test_vectors_are_those_of_a_direct_call_on_the_tokens(place, cells, tmp_path, kind, layer, pool):
    one = embedder(word(place, kind, layer=layer, pool=pool, batch=7))
    assert (one.width, one.name) == (16, "geneformer")
    expected_nd = direct(place, cells, tmp_path, kind, layer, pool)
    found_nd = vectors(one, block_of(cells))
    np.testing.assert_allclose(found_nd, expected_nd, atol=1e-5)
    assert np.abs(found_nd[0] - found_nd[1]).max() > 1e-3  # cells differ, so a wrong order would be seen


def test_neither_batches_nor_blocks_nor_other_cells_change_a_vector(place, cells):
    whole_nd = vectors(embedder(word(place)), block_of(cells))
    for size in (1, 3, N_CELLS):
        np.testing.assert_allclose(vectors(embedder(word(place, batch=size)), block_of(cells)), whole_nd, atol=1e-5)
    order = np.random.default_rng(0).permutation(N_CELLS)
    one = embedder(word(place))
    parts = [vectors(one, block_of(cells[rows])) for rows in np.array_split(order, 3)]
    np.testing.assert_allclose(np.concatenate(parts), whole_nd[order], atol=1e-5)
    assert vectors(one, block_of(cells[:0])).shape == (0, 16)


def test_a_long_cell_is_cut_at_the_length_asked_for(place, cells):
    short_nd = vectors(embedder(word(place, max_len=3)), block_of(cells))
    again_nd = vectors(embedder(word(place, max_len=3)), block_of(cells))
    np.testing.assert_array_equal(short_nd, again_nd)
    assert np.abs(short_nd - vectors(embedder(word(place)), block_of(cells))).max() > 1e-3
    with pytest.raises(OptionError, match="64 positions"):
        embedder(word(place, max_len=65))


def test_making_a_model_leaves_the_random_numbers_of_others_alone(place, cells):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    vectors(embedder(word(place)), block_of(cells[:2]))
    assert torch.equal(torch.rand(2), expected)


def test_symbols_reach_the_ensembl_ids_of_the_published_vocabulary(tmp_path, cells):
    bert_folder(tmp_path / "v1", 25_426, hidden_size=8)
    one = embedder(f"geneformer:model={tmp_path / 'v1'}")
    assert vectors(one, block_of(cells[:3])).shape == (3, 8)
    assert 0 < one.missing["cells"] < 25_000
    stranger = block_of(cells[:3], "odd", [f"gene{i}" for i in range(cells.n_vars)])
    with pytest.raises(GeneError, match=r"odd: its genes .such as gene0. are not those of vocabulary geneformer-v1"):
        one.fit(lambda: iter([stranger]))


# -- cells and sources that have no vector -----------------------------------------------------------------------------


def test_cells_without_a_known_gene_are_named_and_never_zero_vectors(place, cells, genes):
    bare = cells[:6].copy()
    x_ng = bare.X.toarray()
    x_ng[np.ix_([1, 4], bare.var_names.get_indexer(genes))] = 0
    bare.X = sp.csr_matrix(x_ng)
    with pytest.raises(
        MethodError, match=rf"2 of 6 cells express no gene.*\({bare.obs_names[1]}, {bare.obs_names[4]}\)"
    ):
        embedder(word(place)).transform(block_of(bare))


def test_a_source_whose_counts_lie_elsewhere_is_refused(place, cells, genes):
    other = cells[:6].copy()
    x_ng = other.X.toarray()
    x_ng[:, ~other.var_names.isin(genes)] += 100
    other.X = sp.csr_matrix(x_ng)
    with pytest.raises(GeneError, match=r"cells: only [0-9]% of its counts"):
        embedder(word(place)).transform(block_of(other))


# -- storing -----------------------------------------------------------------------------------------------------------


def test_a_stored_embedding_has_no_weights_and_no_path_and_wants_the_very_same(place, cells, tmp_path, monkeypatch):
    one = embedder(word(place, layer=-2, name="gf"))
    expected_nd = vectors(one, block_of(cells))
    save_embedder(one, tmp_path / "gf.npz")
    save_embedder(embedder(word(place, layer=-2, name="gf")), tmp_path / "again.npz")
    assert (tmp_path / "gf.npz").read_bytes() == (tmp_path / "again.npz").read_bytes()
    assert str(place).encode() not in str(one.to_arrays()[1]).encode()
    monkeypatch.chdir(tmp_path)
    loaded = load_embedder(tmp_path / "gf.npz")
    assert (loaded.width, loaded.name, loaded.layer) == (16, "gf", -2)
    with pytest.raises(SourceError, match=f"not part of it; name their folder with .*{FOLDERS}"):
        loaded.transform(block_of(cells))
    for given in (place / "plain", place):
        monkeypatch.setenv(FOLDERS, str(given))
        np.testing.assert_array_equal(vectors(load_embedder(tmp_path / "gf.npz"), block_of(cells)), expected_nd)
    bert_folder(tmp_path / "plain", one.settings["vocab_size"], seed=9)
    monkeypatch.setenv(FOLDERS, str(tmp_path))
    with pytest.raises(SourceError, match="holds other weights"):
        load_embedder(tmp_path / "gf.npz").transform(block_of(cells))


@pytest.mark.parametrize(
    "change",
    [
        {"model": "../elsewhere"}, {"model": "/etc"}, {"model": ".."}, {"sha256": "none"}, {"layer": 9}, {"pool": "max"},
        {"settings": None}, {"settings": {"model_type": "bert"}}, {"specials": {"<pad>": -1}}, {"max_len": 0},
        {"special_token": "yes"}, {"genes": ["a", "a"]}, {"name": "../x"},
    ],
)  # fmt: skip
def test_a_stored_embedding_that_was_tampered_with_is_refused(place, tmp_path, change):
    from corpuscle.corpus.pairs._embed_file import write_arrays

    arrays, meta = embedder(word(place)).to_arrays()
    write_arrays(tmp_path / "good.npz", "geneformer", arrays, meta)
    assert load_embedder(tmp_path / "good.npz").to_arrays()[1] == meta
    write_arrays(tmp_path / "bad.npz", "geneformer", arrays, meta | change)
    with pytest.raises(SourceError, match=r"bad\.npz"):
        load_embedder(tmp_path / "bad.npz")


def test_pairs_are_built_with_the_vectors_of_their_cells(place, cells, tmp_path):
    from corpuscle.corpus.pairs.vectors import build_store
    from datasets import load_from_disk

    made = build_pairs(
        cells, tmp_path / "a.pairs", caption="{cell_type}", random_split=True, embeddings=[word(place)], rules=None
    )
    assert made.embedders[0].key == "X_geneformer"
    rows = load_from_disk(tmp_path / "a.pairs")["train"]
    store = build_store(rows, "X_geneformer", tmp_path / "store", base=tmp_path / "a.pairs", cache=tmp_path / "cache")
    ids = rows["sample_idx"][:5]
    np.testing.assert_allclose(store.lookup(ids), vectors(embedder(word(place)), block_of(cells[ids])), atol=1e-5)


# -- folders -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def copied(place, tmp_path):
    shutil.copytree(place / "plain", tmp_path / "plain")
    shutil.copy(place / "plain.tsv", tmp_path)
    return tmp_path


def test_a_pickle_of_weights_is_never_read(copied):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("the pickle was read",))

    torch.save({"weights": Bomb()}, copied / "plain" / "pytorch_model.bin")
    (copied / "plain" / "model.safetensors").unlink()
    with pytest.raises(SourceError, match=r"pytorch_model\.bin is a pickle, which may run code and is never read"):
        embedder(word(copied))


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"model_type": "gpt2"}, "gpt2"),
        ({"auto_map": {"AutoModel": "code.Model"}}, "auto_map"),
        ({"quantization_config": {"quant_method": "x"}}, "quantization_config"),
        ({"is_decoder": True}, "decoder"),
        ({"hidden_size": 10**12}, "hidden_size"),
        ({"num_attention_heads": 3}, "not that of a BERT"),
        ({"layer_norm_eps": "tiny"}, "not that of a BERT"),
        ({"num_hidden_layers": 3}, "weights are not those"),
        ({"hidden_size": 32_768}, "weights are not those"),
    ],
)
def test_a_configuration_that_asks_for_more_than_a_bert_is_refused(copied, cells, entries, said):
    change_config(copied / "plain", **entries)
    with pytest.raises(SourceError, match=said):
        embedder(word(copied)).transform(block_of(cells[:2]))


def test_weights_that_are_cut_short_or_incomplete_are_refused(copied, cells):
    from safetensors.torch import load_file, save_file

    path = copied / "plain" / "model.safetensors"
    weights = load_file(path)
    weights.pop("bert.encoder.layer.1.output.dense.bias")
    save_file(weights, path, {"format": "pt"})
    with pytest.raises(SourceError, match="weights are not those"):
        embedder(word(copied)).transform(block_of(cells[:2]))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(SourceError, match="weights are not those"):
        embedder(word(copied)).transform(block_of(cells[:2]))


def test_weights_in_several_files_give_the_same_vectors(copied, cells):
    from safetensors.torch import load_file, save_file

    whole_nd = vectors(embedder(word(copied)), block_of(cells))
    path = copied / "plain" / "model.safetensors"
    weights = list(load_file(path).items())
    for k, part in enumerate((weights[:9], weights[9:]), start=1):
        save_file(dict(part), path.with_name(f"model-0000{k}-of-00002.safetensors"), {"format": "pt"})
    path.unlink()
    np.testing.assert_array_equal(vectors(embedder(word(copied)), block_of(cells)), whole_nd)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"layer": 3}, "from -3 to 2"),
        ({"pool": "max"}, "mean, cls"),
        ({"pool": "cls"}, "frames no cell"),
        ({"batch": 0}, "batch=0"),
        ({"device": "tpu"}, "device='tpu'"),
        ({"tokens": ""}, "made for 575 tokens, and vocabulary geneformer-v1 has 25,426"),
        (
            {"tokens": "", "preset": "geneformer-v2"},
            "give gene_median_dictionary_gc104M.pkl from .* with medians=FILE$",
        ),
        ({"preset": "geneformer-v9", "tokens": ""}, "geneformer-v1, geneformer-v2"),
    ],
)
def test_options_that_make_no_sense_are_refused(place, options, said):
    with pytest.raises(OptionError, match=said):
        embedder(word(place, **options))


def test_without_weights_or_pytorch_one_line_says_what_to_do(place, cells, tmp_path, monkeypatch):
    with pytest.raises(OptionError, match="none come with Corpuscle; write geneformer:model=FOLDER"):
        embedder("geneformer")
    with pytest.raises(SourceError, match="no weights come with Corpuscle"):
        embedder(f"geneformer:model={tmp_path / 'none'}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=r"has no model\.safetensors"):
        embedder(f"geneformer:model={tmp_path / 'empty'}")
    import sys

    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(CorpuscleError, match=r"pip install 'corpuscle\[models,text\]'"):
        embedder(word(place)).transform(block_of(cells[:2]))
