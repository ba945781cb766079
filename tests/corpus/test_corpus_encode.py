"""Rank-value encoding against a plain oracle, the published tokenizer's output, and what must not change it."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuscle.corpus.encode import RankEncoder
from corpuscle.corpus.encode_table import encode
from corpuscle.corpus.vocabulary import RankVocabulary
from corpuscle.errors import GeneError, NotCountsError, OptionError, SourceError

GOLDEN = Path(__file__).parent / "golden"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text())


def vocabulary(medians_g, tokens_g=None, *, max_len=2048, special_token=False):
    medians_g = np.asarray(medians_g, np.float64)
    tokens_g = np.arange(4, 4 + medians_g.size) if tokens_g is None else np.asarray(tokens_g)
    ids = tuple(f"G{i}" for i in range(medians_g.size))
    specials = {"<pad>": 0, "<mask>": 1, "<cls>": 2, "<eos>": 3}
    return RankVocabulary("test", ids, tokens_g.astype(np.int32), medians_g, specials, max_len, special_token)


def rows(encoded):
    return (
        [part.tolist() for part in np.split(encoded.input_ids, encoded.offsets[1:-1])] if encoded.n_genes.size else []
    )


def encoder_of(vocab, slot_f, **options):
    slot_f = np.asarray(slot_f)
    used = slot_f[slot_f >= 0]
    return RankEncoder(vocab, slot_f, bool(np.unique(used).size < used.size), **options)


def oracle(x_nf, slot_f, vocab):
    """One cell after the other in plain NumPy: (tokens, counts in 10,000, genes before the cut) of cells with any."""
    x_nf, slot_f = np.asarray(x_nf.todense(), np.float64), np.asarray(slot_f)
    out = []
    for x_f in x_nf:
        x_g = np.zeros(len(vocab.gene_ids))
        np.add.at(x_g, slot_f[slot_f >= 0], x_f[slot_f >= 0])
        there = np.flatnonzero(x_g > 0)
        if not there.size:
            continue
        order = there[np.lexsort((vocab.tokens_g[there], -(x_g[there] / vocab.medians_g[there])))]
        order = order[: vocab.max_len - 2 * vocab.special_token]
        ids, counts = vocab.tokens_g[order].tolist(), (x_g[order] / x_f.sum() * 10_000).tolist()
        if vocab.special_token:
            ids, counts = [vocab.specials["<cls>"], *ids, vocab.specials["<eos>"]], [0.0, *counts, 0.0]
        out.append((ids, counts, there.size))
    return out


def check(x_nf, slot_f, vocab):
    encoded = encoder_of(vocab, slot_f, keep_counts=True).encode(x_nf)
    expected = oracle(x_nf, slot_f, vocab)
    assert rows(encoded) == [ids for ids, _, _ in expected]
    assert encoded.counts.tolist() == pytest.approx([c for _, counts, _ in expected for c in counts], rel=1e-12)
    assert encoded.n_genes.tolist() == [n for _, _, n in expected]
    assert encoded.kept_n.sum() == len(expected)
    assert encoded.offsets[-1] == encoded.input_ids.size == encoded.counts.size
    dense = np.asarray(x_nf.todense(), np.float64)
    assert encoded.counts_total == pytest.approx(dense.sum(), rel=1e-12)
    assert encoded.counts_matched == pytest.approx(dense[:, np.asarray(slot_f) >= 0].sum(), rel=1e-12)
    plain = encoder_of(vocab, slot_f).encode(x_nf)
    assert plain.counts is None
    assert plain.input_ids.tolist() == encoded.input_ids.tolist()


# -- the oracle ------------------------------------------------------------------------------------------------------


@st.composite
def blocks(draw):
    """Random cells with what is difficult: ties, shared slots, foreign columns, empty cells, cuts and frames."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_genes, n_columns, n_cells = (draw(st.integers(1, m)) for m in (60, 90, 5))
    medians = draw(st.sampled_from(["equal", "few", "wide"]))
    medians_g = {
        "equal": np.full(n_genes, 2.5),
        "few": rng.choice([0.5, 1.0, 2.0, 3.0], n_genes),
        "wide": 10.0 ** rng.uniform(-12, 12, n_genes),
    }[medians]
    if draw(st.booleans()):  # full keys that differ only in their last bits
        medians_g = np.nextafter(medians_g, rng.choice([0, 1e300], n_genes))
    special = draw(st.booleans())
    vocab = vocabulary(
        medians_g,
        rng.permutation(n_genes) + 4 if draw(st.booleans()) else None,
        max_len=draw(st.integers(3, 70)),
        special_token=special,
    )
    slot_f = rng.integers(-1, n_genes, n_columns)
    if draw(st.booleans()):  # no column shares a slot
        slot_f = np.full(n_columns, -1)
        k = min(n_columns, n_genes)
        slot_f[rng.permutation(n_columns)[:k]] = rng.permutation(n_genes)[:k]
    x_nf = rng.integers(0, draw(st.sampled_from([2, 4, 1000])), (n_cells, n_columns))
    x_nf[rng.random(n_cells) < 0.2] = 0
    dtype = draw(st.sampled_from([np.int32, np.int64, np.float64, np.float32, np.uint16, np.uint32]))
    return (
        sp.csr_matrix(x_nf.astype(dtype) / (4 if np.issubdtype(dtype, np.floating) else 1)).astype(dtype),
        slot_f,
        vocab,
    )


@settings(max_examples=150, deadline=None)
@given(blocks())
def test_equals_plain_numpy(block):
    check(*block)


@pytest.mark.parametrize("max_len", [1, 100, 1999, 2000, 4096])
@pytest.mark.parametrize("many_equal", [False, True])
def test_equals_plain_numpy_for_large_cells(max_len, many_equal):
    rng = np.random.default_rng(max_len)
    medians_g = rng.choice([1.0, np.nextafter(1, 2), 2.0], 2000) if many_equal else rng.lognormal(1, 1, 2000)
    vocab = vocabulary(medians_g, rng.permutation(2000) + 4, max_len=max_len)
    check(sp.csr_matrix(rng.poisson(1.0, (4, 2000)).astype(np.int32)), rng.permutation(2000), vocab)


# -- the published tokenizer -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def golden():
    return ad.read_h5ad(GOLDEN / "input.h5ad")


@pytest.fixture(scope="module")
def v1():
    from corpuscle.corpus.presets import resolve_vocabulary

    return resolve_vocabulary("geneformer-v1")[0]


def slots(genes, vocab, aliases=None):
    places = {gene: place for place, gene in enumerate(vocab.gene_ids)}
    return np.array([places.get((aliases or {}).get(gene, gene), -1) for gene in genes])


def digest(encoded):
    return hashlib.sha256(encoded.input_ids.astype("<i4").tobytes()).hexdigest()


@pytest.mark.parametrize("name", ["v1_2048", "filter_2048"])
def test_golden_tokens(golden, v1, name):
    cells = golden[golden.obs["golden_filter"] == 1] if name == "filter_2048" else golden
    encoded = encoder_of(v1, slots(golden.var["ensembl_id"], v1)).encode(cells.X)
    assert encoded.n_genes.size == EXPECTED[name]["cells"]
    assert digest(encoded) == EXPECTED[name]["sha256"]


def test_golden_tokens_of_collapsed_genes(golden, v1):
    aliases = dict(line.split("\t") for line in (GOLDEN / "alias_map.tsv").read_text().splitlines())
    slot_f = slots(golden.var["ensembl_id_alias"], v1, aliases)
    assert digest(RankEncoder(v1, slot_f, True).encode(golden.X)) == EXPECTED["alias_collapse_2048"]["sha256"]
    with pytest.raises(OptionError, match="several columns are gene"):
        RankEncoder(v1, slot_f, False)


def test_golden_tokens_and_counts_with_special_tokens(golden, v1):
    specials = {**v1.specials, "<cls>": 25426, "<eos>": 25427}
    vocab = RankVocabulary("special", v1.gene_ids, v1.tokens_g, v1.medians_g, specials, 512, True)
    encoder = encoder_of(vocab, slots(golden.var["ensembl_id"], vocab), keep_counts=True)
    encoded = encoder.encode(golden.X, golden.obs["n_counts"].to_numpy())
    expected = EXPECTED["special_512_counts"]
    assert digest(encoded) == expected["sha256"]
    assert encoded.counts.sum() == pytest.approx(expected["counts_sum"], rel=1e-12)
    np.testing.assert_allclose(encoded.counts[: encoded.offsets[1]], expected["counts_first_cell"], rtol=1e-12)


# -- what must not change tokens -------------------------------------------------------------------------------------


def test_order_of_columns_does_not_matter(golden, v1):
    slot_f = slots(golden.var["ensembl_id"], v1)
    shuffled = np.random.default_rng(0).permutation(slot_f.size)
    encoded = encoder_of(v1, slot_f[shuffled]).encode(golden.X[:, shuffled])
    assert digest(encoded) == EXPECTED["v1_2048"]["sha256"]


def test_order_of_columns_does_not_matter_with_ties():
    rng = np.random.default_rng(1)
    vocab = vocabulary(rng.choice([1.0, 2.0, 4.0], 3000))
    x_nf, shuffled = sp.csr_matrix(rng.poisson(1.0, (3, 3000)).astype(np.int32)), rng.permutation(3000)
    expected = encoder_of(vocab, np.arange(3000)).encode(x_nf)
    assert rows(encoder_of(vocab, shuffled).encode(x_nf[:, shuffled])) == rows(expected)


@pytest.mark.parametrize("factor", [2, 3, 1000])
def test_scale_of_a_cell_does_not_matter(golden, v1, factor):
    encoded = encoder_of(v1, slots(golden.var["ensembl_id"], v1)).encode(golden.X.astype(np.int64) * factor)
    assert digest(encoded) == EXPECTED["v1_2048"]["sha256"]


def test_size_of_blocks_and_threads_do_not_matter(golden, v1):
    encoder = encoder_of(v1, slots(golden.var["ensembl_id"], v1))
    parts = [golden.X[start : start + 7] for start in range(0, golden.n_obs, 7)]
    with ThreadPoolExecutor(4) as pool:
        encoded = list(pool.map(encoder.encode, parts))
    ids = np.concatenate([part.input_ids for part in encoded])
    assert hashlib.sha256(ids.astype("<i4").tobytes()).hexdigest() == EXPECTED["v1_2048"]["sha256"]


def test_int64_indices_and_row_starts_are_read_as_int32_ones():
    rng = np.random.default_rng(2)
    vocab, x_nf = vocabulary(rng.lognormal(size=50)), sp.csr_matrix(rng.poisson(1.0, (6, 50)).astype(np.int32))
    expected = rows(encoder_of(vocab, np.arange(50)).encode(x_nf))
    x_nf.indices, x_nf.indptr = x_nf.indices.astype(np.int64), x_nf.indptr.astype(np.int64)
    assert rows(encoder_of(vocab, np.arange(50)).encode(x_nf)) == expected


# -- ties and sizes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["ascending", "descending", "shuffled"])
def test_many_equal_keys_give_ascending_tokens(order):
    """60,000 equal keys: a sort that compares each with each would need minutes for these cells."""
    g = 60_000
    tokens_g = {"ascending": np.arange(g), "descending": np.arange(g)[::-1]}.get(
        order, np.random.default_rng(3).permutation(g)
    )
    encoder = encoder_of(vocabulary(np.ones(g), tokens_g + 4, max_len=g), np.arange(g))
    encoded = encoder.encode(sp.csr_matrix(np.ones((3, g), np.int32)))
    assert (encoded.input_ids.reshape(3, g) == np.arange(4, g + 4)).all()


def test_counts_beyond_32_bits():
    x_nf = sp.csr_matrix(np.array([[2**31, 2**31 + 5, 2**40, 3]], np.int64))
    encoded = encoder_of(vocabulary(np.ones(4)), np.arange(4), keep_counts=True).encode(x_nf)
    assert encoded.input_ids.tolist() == [6, 5, 4, 7]
    assert encoded.counts_total == 2**32 + 2**40 + 8


def test_columns_of_one_gene_are_added_up_beyond_32_bits():
    x_nf = sp.csr_matrix(np.array([[2**31 - 1, 2**31, 2**31 - 1]], np.int64).astype(np.int64))
    encoded = encoder_of(vocabulary(np.ones(2)), [0, 1, 0]).encode(x_nf)
    assert encoded.input_ids.tolist() == [4, 5]
    narrow = sp.csr_matrix(np.array([[2**31 - 1, 2**31 - 2, 2**31 - 1]], np.int32))
    assert encoder_of(vocabulary(np.ones(2)), [0, 1, 0]).encode(narrow).counts_matched == 3 * 2**31 - 4


def test_keys_beyond_float64_still_have_an_order():
    vocab = vocabulary([1e-300, 1e-310, 1e300, 1.0])
    x_nf = sp.csr_matrix(np.array([[1e20, 1e20, 1e-20, 1.0]]))
    assert encoder_of(vocab, np.arange(4)).encode(x_nf).input_ids.tolist() == [4, 5, 7, 6]


def test_stored_zeros_are_no_tokens():
    x_nf = sp.csr_matrix((np.array([0, 2, 0]), np.array([0, 1, 2]), np.array([0, 2, 3])), shape=(2, 3))
    encoded = encoder_of(vocabulary(np.ones(3)), np.arange(3)).encode(x_nf)
    assert encoded.input_ids.tolist() == [5]
    assert encoded.kept_n.tolist() == [True, False]


def test_blocks_without_anything_to_encode():
    encoder = encoder_of(vocabulary(np.ones(2), special_token=True), [0, -1, 1], keep_counts=True)
    for x_nf in (sp.csr_matrix((0, 3), dtype=np.int32), sp.csr_matrix(np.array([[0, 0, 0], [0, 5, 0]], np.int32))):
        encoded = encoder.encode(x_nf)
        assert not encoded.kept_n.any()
        assert encoded.offsets.tolist() == [0]
        assert encoded.input_ids.size == encoded.counts.size == encoded.n_genes.size == 0


# -- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slot_f", [[0, 3], [0, -2], [[0, 1]], [0.0, 1.0]])
def test_slots_that_are_none_are_refused(slot_f):
    with pytest.raises(OptionError, match="slot"):
        RankEncoder(vocabulary(np.ones(3)), np.array(slot_f), False)


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
@pytest.mark.parametrize("column", [0, 1])
def test_values_that_are_no_counts_are_refused(value, column):
    x_nf = sp.csr_matrix(np.array([[1.0, 1.0]]))
    x_nf.data[column] = value
    with pytest.raises(NotCountsError, match="negative, NaN or infinite"):
        encoder_of(vocabulary(np.ones(1)), [0, -1]).encode(x_nf)


@pytest.mark.parametrize("index", [2, -1])
def test_an_entry_outside_the_matrix_is_refused(index):
    x_nf = sp.csr_matrix(np.array([[1, 1]], np.int32))
    x_nf.indices[1] = index
    with pytest.raises(SourceError, match="beyond its 2 columns"):
        encoder_of(vocabulary(np.ones(2)), [0, 1]).encode(x_nf)


def test_depths_that_do_not_fit_are_refused():
    encoder = encoder_of(vocabulary(np.ones(2)), [0, 1], keep_counts=True)
    x_nf = sp.csr_matrix(np.array([[1, 1], [0, 0]], np.int32))
    assert encoder.encode(x_nf, np.array([4.0, 0.0])).counts.tolist() == [2500, 2500]
    for depth in (0.0, np.nan, -1.0, np.inf):
        with pytest.raises(NotCountsError, match="depth of cell 0"):
            encoder.encode(x_nf, np.array([depth, 1.0]))
    with pytest.raises(OptionError, match="1 depths for 2 cells"):
        encoder.encode(x_nf, np.ones(1))
    with pytest.raises(OptionError, match="3 columns"):
        encoder.encode(sp.csr_matrix((1, 3)))


# -- the Arrow table of a whole source -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cells(golden):
    adata = golden[:40].copy()
    adata.var_names = adata.var["ensembl_id"].to_numpy()
    return adata


def table_digest(table):
    ids = table["input_ids"].combine_chunks().flatten().to_numpy()
    return hashlib.sha256(ids.astype("<i4").tobytes()).hexdigest()


def test_table_of_a_file_has_the_published_tokens():
    table = encode(GOLDEN / "input.h5ad", gene_column="ensembl_id")
    assert table_digest(table) == EXPECTED["v1_2048"]["sha256"]
    assert table.column_names == ["input_ids", "cell", "length"]
    assert table["length"].to_pylist() == [len(ids) for ids in table["input_ids"].to_pylist()]


def test_table_of_a_file_with_aliases():
    table = encode(
        GOLDEN / "input.h5ad", gene_column="ensembl_id_alias", aliases=GOLDEN / "alias_map.tsv", symbols="never"
    )
    assert table_digest(table) == EXPECTED["alias_collapse_2048"]["sha256"]


def test_table_of_an_anndata_is_in_its_order_and_says_what_was_left_out(cells, v1):
    adata = cells.copy()
    adata.X = sp.csr_matrix(sp.diags((np.arange(40) != 3).astype(np.float32)) @ adata.X)
    table = encode(adata, keep_counts=True)
    kept = np.delete(np.arange(40), 3)
    assert table["cell"].to_pylist() == adata.obs_names[kept].tolist()
    slot_f = slots(adata.var_names, v1)
    encoder = encoder_of(v1, slot_f, keep_counts=True)
    expected = encoder.encode(adata.X, adata.obs["n_counts"].to_numpy())
    assert table["input_ids"].to_pylist() == rows(expected)
    assert table["counts"].combine_chunks().flatten().to_pylist() == expected.counts.tolist()
    facts = json.loads(table.schema.metadata[b"corpuscle"])
    assert (facts["sources"][0]["cells"], facts["sources"][0]["no vocabulary gene"]) == (40, 1)
    assert facts["sha256"] == v1.sha256
    assert facts["sources"][0]["match"]["matched"] == (slot_f >= 0).sum()


def test_table_takes_the_cells_as_they_are_now(cells):
    """An AnnData that was changed after a call is not read from a memory of that call."""
    adata = cells.copy()
    before = encode(adata)["input_ids"].to_pylist()
    adata.X = adata.X[::-1].copy()
    assert encode(adata)["input_ids"].to_pylist() == before[::-1]


def test_table_of_several_sources_and_own_vocabulary(cells, v1):
    table = encode([cells[:5].copy(), cells[5:9].copy()], vocabulary=v1, max_len=10)
    assert table["cell"].to_pylist() == cells.obs_names[:9].tolist()
    assert table["length"].to_pylist() == [10] * 9
    whole = encode(cells[:9].copy())
    assert table["input_ids"].to_pylist() == [ids[:10] for ids in whole["input_ids"].to_pylist()]


def test_table_refuses_what_does_not_fit(cells, v1):
    with pytest.raises(OptionError, match="not both"):
        encode(cells, vocabulary=v1, vocab="vocab.tsv")
    foreign = cells.copy()
    foreign.var_names = [f"gene{i}" for i in range(foreign.n_vars)]
    foreign.var = foreign.var[[]]
    with pytest.raises(GeneError):
        encode(foreign)
    logged = cells.copy()
    logged.X = logged.X.log1p()
    with pytest.raises(NotCountsError, match="not raw counts"):
        encode(logged)
    assert encode(logged, allow_fractional=True).num_rows == 40
