"""A model that carries its embedder: counts of any source become the vectors that it was trained on, or are refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

pytest.importorskip("sentence_transformers", reason="the model needs the extra text")

import anndata as ad
from search_cells import pbmc

from corpuscle.cli import main
from corpuscle.corpus.pairs import load_embedder
from corpuscle.errors import GeneError, MethodError, NotCountsError, OptionError, SourceError
from corpuscle.models.celltext import CellText, cell_vectors


def test_training_leaves_embedder_and_captions_with_the_model(made, model):
    assert (model.embedder.name, model.embedder.width) == ("pca", 12)
    assert set(model.captions.labels().values()) == {"monocyte", "B", "natural killer", "regulatory T"}
    manifest = json.loads((made.pairs / "manifest.json").read_text())
    assert sum(model.captions.counts.values()) == manifest["splits"]["train"]["rows"]


def test_counts_give_the_vectors_that_the_pairs_have(made, model):
    pairs = cell_vectors(model, made.pairs)
    again = cell_vectors(model, made.pairs.parent / "old.h5ad")
    assert set(pairs.ids) == set(again.ids) and list(pairs.obs.index) == pairs.ids
    place = {id: n for n, id in enumerate(again.ids)}
    np.testing.assert_allclose(again.vectors_nd[[place[id] for id in pairs.ids]], pairs.vectors_nd, atol=2e-3)
    assert (pairs.obs["cell_type"] == again.obs.loc[pairs.ids, "cell_type"]).all()
    assert pairs.notes == () and pairs.coords_n2 is None


def test_an_entry_of_obsm_is_not_trusted_unless_asked(made, model, tmp_path):
    cells = ad.read_h5ad(made.new)
    cells.obsm["X_pca"] = np.ones((cells.n_obs, 12), np.float32)
    own = cell_vectors(model, cells)
    assert np.ptp(own.vectors_nd, axis=0).min() > 0
    cells.write_h5ad(tmp_path / "with.h5ad")
    for source in (cells, tmp_path / "with.h5ad"):
        taken = cell_vectors(model, source, precomputed=True)
        assert (taken.vectors_nd == 1).all() and "as it is" in taken.notes[0]
        np.testing.assert_array_equal(taken.coords_n2, cells.obsm["X_umap"])


def test_a_map_stays_with_its_cells_when_empty_ones_go(made, model):
    cells = ad.read_h5ad(made.new)
    keep = np.ones((cells.n_obs, 1), np.float32)
    keep[3] = 0
    cells.X = cells.X.multiply(keep).tocsr()
    found = cell_vectors(model, cells)
    assert len(found.ids) == cells.n_obs - 1 and cells.obs_names[3] not in found.ids
    np.testing.assert_array_equal(found.coords_n2, np.delete(cells.obsm["X_umap"], 3, axis=0))
    assert any("1 cells without any count" in note for note in found.notes)


def test_several_files_have_their_names_in_front(made, model, tmp_path):
    for name in "ab":
        shutil.copy(made.new, tmp_path / f"{name}.h5ad")
    found = cell_vectors(model, str(tmp_path / "*.h5ad"))
    one = cell_vectors(model, made.new)
    assert found.ids == [f"{name}:{id}" for name in "ab" for id in one.ids]
    np.testing.assert_allclose(found.vectors_nd[len(one.ids) :], one.vectors_nd, atol=1e-5)
    assert set(found.obs["source"]) == {"a", "b"}


def test_missing_genes_are_counted_and_another_species_is_refused(made, model):
    cells = ad.read_h5ad(made.new)
    half = cells[:, [n for n in range(cells.n_vars) if n % 2]].copy()
    notes = cell_vectors(model, half).notes
    assert any("genes of X_pca were found" in note for note in notes)
    mouse = cells.copy()
    mouse.var_names = [name.capitalize() if n > 5 else name for n, name in enumerate(mouse.var_names)]
    with pytest.raises(GeneError, match="species"):
        cell_vectors(model, mouse)


def test_what_are_no_counts_is_refused(made, model):
    cells = pbmc()
    cells.X.data = np.log1p(cells.X.data)
    with pytest.raises(NotCountsError):
        cell_vectors(model, cells)


def test_a_model_without_embedder_says_what_it_can_be_asked(made, model):
    model.embedder = None
    with pytest.raises(MethodError, match=r"folder of pairs.*--precomputed"):
        cell_vectors(model, made.new)
    assert "nothing tells" in cell_vectors(model, made.pairs).notes[0]


def test_pairs_of_another_fit_are_refused(made, model, tmp_path):
    other = tmp_path / "other.pairs"
    pair = ["--caption", "A {cell_type}.", "--random-split", "--no-qc", "--embeddings", "pca:n_components=12"]
    assert main(["corpus", "pair", str(made.new), *pair, "-o", str(other)]) == 0
    with pytest.raises(SourceError, match="other cells"):
        cell_vectors(model, other)
    assert model.key == "X_pca" and len(cell_vectors(model, other, precomputed=True).ids) > 0


def test_wrong_or_missing_entries_of_obsm_are_named(made, model):
    with pytest.raises(OptionError, match=r"obsm has no 'X_pca'.*X_umap"):
        cell_vectors(model, made.new, precomputed=True)
    cells = ad.read_h5ad(made.new)
    cells.obsm["X_pca"] = np.ones((cells.n_obs, 5))
    with pytest.raises(OptionError, match="width 5"):
        cell_vectors(model, cells, precomputed=True)
    cells.obsm["X_pca"] = np.full((cells.n_obs, 12), np.nan)
    with pytest.raises(SourceError, match="not finite"):
        cell_vectors(model, cells, precomputed=True)
    with pytest.raises(OptionError, match="layer"):
        cell_vectors(model, made.pairs, layer="counts")


def test_an_embedder_of_other_vectors_is_not_saved_with_the_model(made, model, tmp_path):
    model.embedder = load_embedder(made.pairs / "embedders" / "hvg.npz")
    with pytest.raises(OptionError, match="X_hvg"):
        model.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("name", ["embedder.npz", "captions.json"])
@pytest.mark.parametrize("deed", ["swap", "take away", "add"])
def test_a_folder_whose_parts_were_exchanged_is_refused(made, tmp_path, name, deed):
    folder = tmp_path / "model"
    shutil.copytree(made.model, folder)
    if deed == "add":  # to a model that was saved without them
        bare = CellText.load(folder)
        bare.embedder = bare.captions = None
        bare.save(tmp_path / "bare")
        assert CellText.load(tmp_path / "bare").embedder is None
        shutil.copy(folder / name, tmp_path / "bare" / name)
        folder = tmp_path / "bare"
    elif deed == "swap":
        other = {"embedder.npz": made.pairs / "embedders" / "hvg.npz", "captions.json": folder / "modules.json"}[name]
        shutil.copy(other, folder / name)
    else:
        (folder / name).unlink()
    with pytest.raises(SourceError, match="not those that were saved"):
        CellText.load(folder)


def test_no_other_archive_may_lie_in_the_folder(made, tmp_path):
    for place in ("other.npz", "omics_1_Head/embedder.npz"):
        folder = tmp_path / place.replace("/", "-")
        shutil.copytree(made.model, folder)
        shutil.copy(folder / "embedder.npz", folder / place)
        with pytest.raises(SourceError, match="no part of a model"):
            CellText.load(folder)


def test_vectors_at_once_are_what_they_are_one_by_one(made, model):
    vectors_nd = cell_vectors(model, made.new).vectors_nd
    one_by_one = model.encode_cells([{"omics": vector_d} for vector_d in vectors_nd])
    np.testing.assert_allclose(model.encode_cells(vectors_nd), one_by_one, atol=1e-6)
    vectors_nd[4, 2] = np.inf
    with pytest.raises(MethodError, match="cell 4"):
        model.encode_cells(vectors_nd)
