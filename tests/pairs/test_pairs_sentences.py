from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from pair_cells import pbmc68k

from corpuscle.corpus.pairs import sentences as module
from corpuscle.corpus.pairs.sentences import cell_sentences
from corpuscle.errors import GeneError, OptionError


def by_hand(values_g: np.ndarray, genes: list[str], n_genes: int, allowed: set[str] | None = None) -> str:
    pairs = [
        (-float(v), g) for v, g in zip(values_g, genes, strict=True) if v > 0 and (allowed is None or g in allowed)
    ]
    return " ".join(gene for _, gene in sorted(pairs)[:n_genes])


def test_expressed_genes_highest_first_ties_by_name() -> None:
    counts = sp.csr_matrix(np.array([[3, 5, 0, 3, 5], [0, 0, 0, 0, 0], [0, 0, 2, 0, 0]], dtype=np.int32))
    genes = ["D", "B", "Z", "C", "A"]
    assert cell_sentences(counts, genes, 10) == ["A B C D", "", "Z"]
    assert cell_sentences(counts, genes, 3) == ["A B C", "", "Z"]
    assert cell_sentences(counts, genes, 10, allowed=["C", "A", "elsewhere"]) == ["A C", "", ""]


def test_stored_zeros_and_unsorted_places_do_not_count() -> None:
    matrix = sp.csr_matrix(
        (np.array([1.0, 0.0, 2.0], dtype=np.float32), np.array([2, 1, 0]), np.array([0, 3])), shape=(1, 3)
    )
    assert cell_sentences(matrix, ["a", "b", "c"], 3) == ["a c"]
    assert matrix.indices.tolist() == [2, 1, 0]


values = st.integers(0, 12).flatmap(
    lambda n: st.lists(st.lists(st.sampled_from([0, 0, 1, 2, 70_000]), min_size=7, max_size=7), min_size=n, max_size=n)
)


@given(values, st.permutations(list("abcdefg")), st.integers(1, 9), st.sets(st.sampled_from("abcdefg"), min_size=1))
def test_equals_sorting_by_hand(rows: list[list[int]], genes: list[str], n_genes: int, allowed: set[str]) -> None:
    counts = np.array(rows, dtype=np.int32).reshape(-1, 7)
    assert cell_sentences(sp.csr_matrix(counts), genes, n_genes) == [by_hand(row, genes, n_genes) for row in counts]
    some = cell_sentences(sp.csr_matrix(counts), genes, n_genes, allowed=allowed)
    assert some == [by_hand(row, genes, n_genes, allowed) for row in counts]


def test_a_real_cell_has_one_sentence_in_every_chunk_gene_order_and_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = pbmc68k()
    counts, genes = cells.X.tocsr().astype(np.int32), list(cells.var_names)
    whole = cell_sentences(counts, genes, 64)
    assert whole == [by_hand(row, genes, 64) for row in counts.toarray()]
    assert max(len(sentence.split()) for sentence in whole) == 64

    shuffle = np.random.default_rng(0).permutation(len(genes))
    other = counts[:, shuffle].tocsr()
    assert cell_sentences(other[500:], [genes[g] for g in shuffle], 64) == whole[500:]

    total = np.asarray(counts.sum(axis=1)).ravel()
    logged = counts.astype(np.float32).multiply((1e4 / total)[:, None]).tocsr().astype(np.float32).log1p()
    assert cell_sentences(logged, genes, 64) == whole

    monkeypatch.setattr(module, "_KEYS", 1_000)  # groups of a few cells, or of one that is larger than the buffer
    assert cell_sentences(counts, genes, 64) == whole


def test_counts_beyond_what_float32_tells_apart_keep_their_order() -> None:
    assert cell_sentences(sp.csr_matrix(np.array([[2**24, 2**24 + 1]], dtype=np.int32)), ["a", "b"], 2) == ["b a"]


def test_a_name_with_blanks_stays_one_word() -> None:
    assert cell_sentences(sp.csr_matrix(np.array([[1, 2]])), ["HLA  A", "b"], 2) == ["b HLA_A"]


def test_what_makes_no_sentence_is_refused() -> None:
    one = sp.csr_matrix(np.array([[1, 2]]))
    with pytest.raises(GeneError, match="two gene columns are called 'a_b'"):
        cell_sentences(one, ["a b", "a_b"])
    with pytest.raises(GeneError, match="gene column 1 is empty"):
        cell_sentences(one, ["a", " "])
    with pytest.raises(GeneError, match="none of the 1 genes allowed"):
        cell_sentences(one, ["a", "b"], allowed={"Actb"})
    with pytest.raises(OptionError, match="at least 1 gene"):
        cell_sentences(one, ["a", "b"], 0)
    with pytest.raises(OptionError, match="3 gene names for 2 columns"):
        cell_sentences(one, ["a", "b", "c"])
    with pytest.raises(OptionError, match="list of names"):
        cell_sentences(one, ["a", "b"], allowed="ab")
