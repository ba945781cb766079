"""Names for cells from a model of cells and text: what it is asked, what it says of new cells, and what it warns of."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

torch = pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")
pytest.importorskip("accelerate")

from corpuscle.annotate import annotate, cell_text_scores  # noqa: E402
from corpuscle.annotate.sources._celltext_queries import MOST_TYPES, queries_of  # noqa: E402
from corpuscle.cli import main  # noqa: E402
from corpuscle.datasets import bundled_path  # noqa: E402
from corpuscle.errors import MethodError, OptionError, SourceError  # noqa: E402
from corpuscle.models.celltext import CellText  # noqa: E402
from corpuscle.models.celltext.known import Known  # noqa: E402

MARKERS = {
    "B cell": ["CD79A", "MS4A1"],
    "monocyte": ["LYZ", "S100A8"],
    "NK": ["GNLY", "NKG7"],
    "T cell": ["CD3D", "IL7R"],
}
TEMPLATE = "This is a {kind} from blood."


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def cells() -> Any:
    """500 blood cells of four kinds by their markers; every fourth is for the test."""
    adata = ad.read_h5ad(bundled_path("pbmc_1k_v3"))[:500].copy()
    depth_n1 = np.asarray(adata.X.sum(axis=1))
    sums = [np.log1p(adata[:, genes].X.toarray() / depth_n1 * 1e4).sum(axis=1) for genes in MARKERS.values()]
    adata.obs["kind"] = np.array(list(MARKERS))[np.argmax(sums, axis=0)]
    adata.obs["side"] = np.where(np.arange(adata.n_obs) % 4 == 0, "test", "train")
    return adata


def words_encoder() -> Any:
    """An encoder that is the mean of a vector for each word, so that the same words in any order are the same."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["[UNK]", "This", "is", "a", "from", "blood", ".", "B", "T", "NK", "cell", "monocyte", "hepatocyte"]
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    weights = np.random.default_rng(0).normal(size=(len(words), 24)).astype(np.float32)
    module = StaticEmbedding(tokenizer, embedding_weights=weights)
    return SentenceTransformer(modules=[module], device="cpu")


@pytest.fixture(scope="module")
def place(cells: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``cells.h5ad``, the pairs of its training cells, and the model."""
    from corpuscle.corpus.pairs import build_pairs, build_store
    from corpuscle.corpus.pairs.embedders import load_embedder
    from corpuscle.models.celltext.train import train
    from datasets import load_from_disk

    folder = tmp_path_factory.mktemp("celltext")
    cells.write_h5ad(folder / "cells.h5ad")
    build_pairs(cells, folder / "pairs", caption=TEMPLATE, split="side", embeddings=["pca:n_components=12"], rules=None)
    rows = load_from_disk(folder / "pairs")
    store = build_store(rows, "X_pca", folder / "store", base=folder / "pairs", cache=folder / "cache")
    model = CellText.create(width=12, key="X_pca", text_model=words_encoder(), dim=16, device="cpu")
    train(model, rows["train"], store, epochs=8)
    model.embedder = load_embedder(folder / "pairs" / "embedders" / "pca.npz")
    model.captions = Known.of_rows(rows, f"template {TEMPLATE}")
    model.save(folder / "model")
    return folder


@pytest.fixture
def model(place: Path) -> CellText:
    return CellText.load(place / "model", device="cpu")


@pytest.fixture
def quiet() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


# -- scores ------------------------------------------------------------------------------------------------------------


def test_cells_that_training_never_saw_are_named_by_its_captions(cells: Any, place: Path, quiet: None) -> None:
    found = cell_text_scores(place / "cells.h5ad", place / "model")
    assert set(found.types) == set(MARKERS) and found.values_nk.dtype == np.float32
    assert dict(zip(found.types, found.cl_ids, strict=True))["B cell"] == "CL:0000236"
    assert found.about["texts"] == [TEMPLATE.format(kind=name) for name in found.types]
    assert list(found.cells) == list(cells.obs_names)
    test_n = (cells.obs["side"] == "test").to_numpy()
    truth_n = cells.obs["kind"].to_numpy()
    assert (found.labels() == truth_n)[test_n].mean() > 0.85
    order = np.random.default_rng(0).permutation(cells.n_obs)
    shuffled = cell_text_scores(cells[order], place / "model")
    np.testing.assert_allclose(shuffled.values_nk, found.values_nk[order], atol=1e-4)


def test_scores_are_scaled_cosines_of_the_models_own_vectors(cells: Any, model: CellText, monkeypatch: Any) -> None:
    from corpuscle.annotate.sources import celltext
    from corpuscle.models.celltext.cells import cell_vectors

    some = cells[:50].copy()
    some.obsm["X_pca"] = np.zeros((50, 12), np.float32)  # of another fit, and not to be used
    expected_nk = 7 * model.similarity(cell_vectors(model, some).vectors_nd, [TEMPLATE.format(kind="NK"), "a monocyte"])
    found = cell_text_scores(some, model, {"NK": 0, "monocyte": 0}, scale=7)
    np.testing.assert_allclose(found.values_nk[:, 0], expected_nk[:, 0], atol=1e-4)
    monkeypatch.setattr(celltext, "BLOCK_CELLS", 16)
    again = cell_text_scores(some, model, ["NK", "monocyte"], template="a {x}", scale=7)
    np.testing.assert_allclose(again.values_nk[:, 1], expected_nk[:, 1], atol=1e-4)


def test_pairs_are_named_too(cells: Any, place: Path, model: CellText) -> None:
    of_pairs = cell_text_scores(place / "pairs", model)
    of_counts = cell_text_scores(cells, model)
    at = {name: n for n, name in enumerate(of_counts.cells)}
    same = [at[name] for name in of_pairs.cells]
    np.testing.assert_allclose(of_pairs.values_nk, of_counts.values_nk[same], atol=1e-3)


def test_types_that_training_never_named_are_named_in_a_warning(cells: Any, model: CellText) -> None:
    said = r"says this or much the same: hepatocyte \(nearest: .*, 0\.\d\d\); such a model does not recognise"
    with pytest.warns(UserWarning, match=said) as caught:
        found = cell_text_scores(cells[:20], model, ["monocyte", "hepatocyte", "CL:0000236", "B cell B cell"])
    assert len(caught) == 1 and "B cell B" not in str(caught[0].message)  # the same words as a label's
    assert any("hepatocyte" in note for note in found.about["notes"])
    assert found.types == ("monocyte", "hepatocyte", "B cell", "B cell B cell")
    assert found.about["texts"][1] == "This is a hepatocyte from blood."


def test_a_model_without_its_captions_or_embedder_says_what_to_give(cells: Any, model: CellText) -> None:
    model.captions = None
    with pytest.raises(OptionError, match=r"does not say which captions .* name the types"):
        cell_text_scores(cells[:5], model)
    found = cell_text_scores(cells[:5], model, ["NK", "B cell"])
    assert found.about["texts"] == ["NK", "B cell"] and "never saw are not named" in found.about["notes"][0]
    model.embedder = None
    with pytest.raises(MethodError, match="no embedder"):
        cell_text_scores(cells[:5], model, ["NK", "B cell"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"scale": 0}, "scale=0"),
        ({"scale": float("nan")}, "scale=nan"),
        ({"types": []}, "no types"),
        ({"types": "NK"}, "must be a list"),
        ({"types": ["NK", " "]}, "has no name"),
        ({"types": ["NK", "NK"]}, "named twice"),
        ({"types": ["B cell", "CL:0000236"]}, "named twice"),
        ({"types": ["NK", "natural killer cell"]}, "are both 'NK' in training"),
        ({"types": ["NK", "B cell"], "template": "no field"}, "names no column"),
        ({"types": ["NK", "B cell"], "template": "{a} and {b}"}, "names 2 things"),
    ],
)
def test_what_cannot_be_asked_is_refused(cells: Any, model: CellText, options: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        cell_text_scores(cells[:5], model, **options)


def test_what_is_no_model_is_refused(cells: Any, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is no model of cells and text"):
        cell_text_scores(cells[:5], tmp_path)
    with pytest.raises(OptionError, match="a dict is no model"):
        cell_text_scores(cells[:5], {})  # type: ignore[arg-type]


# -- what is asked -----------------------------------------------------------------------------------------------------


def test_a_type_is_asked_for_by_the_training_caption_of_its_term() -> None:
    known = Known("A {kind} cell.", {"A NK cell.": 3, "A CD19+ B cell.": 2})
    asked = queries_of(known, ["CL:0000623", "CD19+ B", "hepatocyte"], None)
    assert asked.types == ("natural killer cell", "CD19+ B", "hepatocyte")
    assert asked.texts == ("A NK cell.", "A CD19+ B cell.", "A hepatocyte cell.")
    assert asked.unnamed == ("hepatocyte",)
    assert queries_of(known, ["NK"], "{t}!").texts == ("NK!",)


def test_labels_of_one_term_are_not_guessed_among() -> None:
    known = Known("A {kind}.", {"A NK cell.": 3, "A natural killer cells.": 5, "A B cell.": 1})
    assert queries_of(known, ["CL:0000623"], None).texts == ("A natural killer cell.",)
    assert queries_of(known, ["NK cell"], None).texts == ("A NK cell.",)


def test_captions_without_one_field_are_asked_for_as_they_are() -> None:
    column = Known(None, {"NK": 3, "a B cell of blood": 2})
    assert queries_of(column, None, None).texts == ("NK", "a B cell of blood")
    asked = queries_of(Known("{a} of {b}", {"NK of blood": 3}), ["NK of blood", "B cell"], None)
    assert asked.texts == ("NK of blood", "B cell") and "by name alone" in asked.notes[0]


def test_sentences_are_no_list_of_types() -> None:
    many = Known(None, {f"caption {k}": 1 for k in range(MOST_TYPES + 1)})
    with pytest.raises(OptionError, match="501 captions, which are no list of types"):
        queries_of(many, None, None)


# -- annotate ----------------------------------------------------------------------------------------------------------


def test_annotate_names_the_cells_of_a_file(cells: Any, place: Path) -> None:
    found = annotate(place / "cells.h5ad", "cell-text", model=place / "model")
    assert (found.obs["annotation"].astype(str) == cells.obs["kind"].astype(str)).mean() > 0.85
    assert "annotation_cl_id" in found.obs
    assert list(found.obsm["annotation_scores"].columns) == list(found.obs["annotation"].cat.categories)


def test_cells_without_any_count_are_refused_and_not_moved_up(cells: Any, place: Path) -> None:
    some = cells[:30].copy()
    some.X = sp.diags((np.arange(30) != 3).astype(np.float32)) @ some.X
    with pytest.raises(SourceError, match="29 cells for 30 cells; drop cells without any count"):
        annotate(some, "cell-text", model=place / "model")


def run(capsys: Any, *args: Any) -> tuple[int, str]:
    code = main([str(arg) for arg in args])
    return code, capsys.readouterr().err


def test_the_command_names_and_refines(place: Path, tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    def chain(x_nd: Any, k: int, seed: int) -> Any:
        """Neighbours without the seconds that compiling UMAP takes."""
        order = np.argsort(x_nd[:, 0])
        row, col = np.concatenate([order[:-1], order[1:]]), np.concatenate([order[1:], order[:-1]])
        return sp.csr_matrix((np.ones(row.size), (row, col)), (len(x_nd), len(x_nd)))

    monkeypatch.setattr("corpuscle.annotate._cell_graph.umap_graph", chain)
    call = ["annotate", place / "cells.h5ad", "--scores", "cell-text", "--model", place / "model"]
    code, err = run(capsys, *call, "--types", "NK;B cell;hepatocyte", "--refine", "-o", tmp_path / "named.h5ad")
    assert code == 0 and "500 cells named by likeness of cells and text" in err and "hepatocyte (nearest" in err, err
    made = ad.read_h5ad(tmp_path / "named.h5ad")
    assert list(made.obsm["annotation_scores"]) == ["NK", "B cell", "hepatocyte"]
    assert made.uns["annotation"]["params"]["types"] == "NK,B cell,hepatocyte"
    assert "refined_label" in made.obs


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--scores", "cell-text"], "need model, a folder that corpuscle train cell-text wrote; give it (--model)"),
        (["--scores", "celltypist"], "need model, a file of CellTypist; give it (--model)"),
        (["--scores", "cell-text", "--model", "MODEL", "--logged"], "read raw counts"),
        (["--scores", "cell-text", "--model", "cells.h5ad"], "is no model of cells and text"),
        (["--scores", "markers", "--template", "A {x}."], "a template (--template) is of scores 'cell-text'"),
    ],
)
def test_the_command_refuses_in_one_line(
    place: Path, tmp_path: Path, capsys: Any, options: list[str], said: str
) -> None:
    given = [str(place / "model") if word == "MODEL" else word for word in options]
    code, err = run(capsys, "annotate", place / "cells.h5ad", *given, "-o", tmp_path / "x.h5ad")
    lines = [line for line in err.splitlines() if not line.startswith("note:")]
    assert code == 2 and len(lines) == 1 and re.search(re.escape(said), lines[0]), err
    assert not (tmp_path / "x.h5ad").exists()
