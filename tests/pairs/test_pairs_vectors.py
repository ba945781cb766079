"""Rows back to vectors and cells: the same bits by every way, and a clear error for what is not there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pair_links import Page, archives, rows_of, serve

from corpuscle.corpus.pairs import links
from corpuscle.corpus.pairs.vectors import VectorStore, build_store, rows_to_anndata
from corpuscle.errors import OptionError, OutputError, SourceError

FORMATS = ("zarr.zip", "zarr", "h5ad")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return {form: archives(tmp_path_factory.mktemp(form.replace(".", "")), form, n_parts=2) for form in FORMATS}


@pytest.fixture(scope="module")
def bucket(made: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """An S3-compatible server on the loopback address that holds the archives."""
    pytest.importorskip("moto.server", reason="moto serves S3 for this test")
    s3fs = pytest.importorskip("s3fs", reason="s3fs reads s3: links")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    options = {
        "key": "x",
        "secret": "x",
        "endpoint_url": f"http://{host}:{port}",
        "client_kwargs": {"region_name": "eu-central-1"},
    }
    system = s3fs.S3FileSystem(**options)
    system.mkdir("cells")
    for parts in made.values():
        for archive, _ in parts[:1]:
            system.put(str(archive.path), f"cells/{archive.path.name}", recursive=archive.path.is_dir())
    yield "s3://cells", options
    server.stop()


def same_cells(found: Any, made: list[Any], names: list[str]) -> None:
    """Bit for bit what was written, cell by cell in the order of ``names``."""
    from corpuscle.corpus.pairs.archives import read_archive

    assert list(found.obs_names) == names
    for archive, part in made:
        there = read_archive(archive.path)
        mine = np.flatnonzero(found.obs_names.isin(part.obs_names))
        others = there[found.obs_names[mine]]
        assert list(found.var_names) == list(there.var_names)
        for one, other in ((found.X[mine], others.X), (found.layers["counts"][mine], others.layers["counts"])):
            assert one.dtype == other.dtype and (one != other).nnz == 0
        for key in there.obsm:
            assert found.obsm[key].dtype == np.float32
            assert found.obsm[key][mine].tobytes() == np.ascontiguousarray(others.obsm[key]).tobytes()
        for column in part.obs:
            assert list(found.obs[column].iloc[mine].astype(str)) == list(
                part.obs.loc[others.obs_names, column].astype(str)
            )


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("way", ["path", "file", "relative"])
def test_round_trip_on_this_machine(made: dict[str, Any], tmp_path: Path, form: str, way: str) -> None:
    paths = [archive.path for archive, _ in made[form]]
    named = {"path": [str(p) for p in paths], "file": [p.as_uri() for p in paths], "relative": [p.name for p in paths]}
    rows = rows_of(made[form], named[way]).shuffle(seed=1)
    found = rows_to_anndata(rows, cache=tmp_path, base=paths[0].parent)
    same_cells(found, made[form], list(rows["sample_idx"]))
    # captions are those that the annotation gives
    assert [f"A {kind} cell." for kind in found.obs["cell_type"]] == list(rows["positive"])
    store = build_store(rows, "X_pca", tmp_path / "store", cache=tmp_path, base=paths[0].parent)
    assert np.array_equal(store.lookup(rows["sample_idx"]), found.obsm["X_pca"])


@pytest.mark.parametrize("form", ["zarr.zip", "h5ad"])
def test_round_trip_over_http(made: dict[str, Any], tmp_path: Path, form: str) -> None:
    with serve() as site:
        for archive, _ in made[form]:
            site.pages[f"/{archive.path.name}"] = Page(archive.path.read_bytes())
        rows = rows_of(made[form], [f"{site.url}/{archive.path.name}" for archive, _ in made[form]])
        same_cells(rows_to_anndata(rows, cache=tmp_path), made[form], list(rows["sample_idx"]))
        build_store(rows, "X_hvg", tmp_path / "store", cache=tmp_path)
        assert len(site.asked) == 2  # once for each archive, whatever is asked of it


@pytest.mark.parametrize("form", FORMATS)
def test_round_trip_over_s3(
    made: dict[str, Any], bucket: tuple[str, dict[str, Any]], tmp_path: Path, form: str
) -> None:
    url, options = bucket
    first = made[form][:1]
    rows = rows_of(first, [f"{url}/{first[0][0].path.name}"])
    found = rows_to_anndata(rows, cache=tmp_path, storage_options=options)
    same_cells(found, first, list(rows["sample_idx"]))


def test_a_dead_link_of_s3(bucket: tuple[str, dict[str, Any]], tmp_path: Path) -> None:
    url, options = bucket
    with pytest.raises(links.DeadLink, match="no such file"):
        links.fetch(f"{url}/not.there", tmp_path, storage_options=options)
    with pytest.raises(links.TooLarge):
        links.fetch(f"{url}/chunk_0.zarr", tmp_path, storage_options=options, max_bytes=1000)
    assert list(tmp_path.iterdir()) == []


@given(seed=st.integers(0, 2**16), n=st.integers(1, 60))
@settings(max_examples=4, deadline=None)
def test_any_cells_in_any_order(
    made: dict[str, Any], tmp_path_factory: pytest.TempPathFactory, seed: int, n: int
) -> None:
    rows = rows_of(made["h5ad"], [str(archive.path) for archive, _ in made["h5ad"]])
    wanted = list(np.random.default_rng(seed).choice(np.asarray(rows["sample_idx"]), n, replace=False))
    found = rows_to_anndata(rows, wanted, cache=tmp_path_factory.getbasetemp())
    same_cells(found, made["h5ad"], wanted)


def test_two_rows_of_a_cell_are_one_vector(made: dict[str, Any], tmp_path: Path) -> None:
    from datasets import DatasetDict, concatenate_datasets

    one = rows_of(made["h5ad"], [str(archive.path) for archive, _ in made["h5ad"]])
    pairs = DatasetDict(train=concatenate_datasets([one.select(range(400))] * 2), test=one.select(range(400, len(one))))
    pairs.save_to_disk(str(tmp_path / "set"))
    store = build_store(tmp_path / "set", "X_pca", tmp_path / "store", cache=tmp_path)
    assert list(store.ids) == list(one["sample_idx"])
    again = VectorStore(tmp_path / "store", key="X_pca", width=3)
    assert np.array_equal(again.vectors_nd, store.vectors_nd) and not again.vectors_nd.flags.writeable
    assert [entry["cells"] for entry in again.provenance["archives"]] == [part.n_obs for _, part in made["h5ad"]]
    assert again.provenance["archives"][0]["sha256"] == made["h5ad"][0][0].sha256


def test_equal_names_in_two_sources_are_told_apart_by_their_id(made: dict[str, Any], tmp_path: Path) -> None:
    """Both archives may call a cell alike: the id of the data set differs, the name in the archive does not."""
    from datasets import Dataset

    archive, part = made["h5ad"][0]
    copy = tmp_path / "copy.h5ad"
    copy.write_bytes(archive.path.read_bytes())
    table = pd.concat(
        pd.DataFrame(
            {
                "sample_idx": [f"{k}:{name}" for name in part.obs_names],
                "obs_name": list(part.obs_names),
                "adata_link": str(link),
            }
        )
        for k, link in enumerate((archive.path, copy))
    )
    rows = Dataset.from_pandas(table, preserve_index=False)
    assert rows_to_anndata(rows, cache=tmp_path).n_obs == 2 * part.n_obs
    plain = Dataset.from_pandas(table.assign(sample_idx=table["obs_name"]), preserve_index=False)
    with pytest.raises(SourceError, match="names two cells"):
        build_store(plain, "X_pca", tmp_path / "store", cache=tmp_path)


def test_sparse_embeddings_are_read(tmp_path: Path) -> None:
    made = archives(tmp_path, n_parts=1, sparse=True)
    archive, part = made[0]
    store = build_store(rows_of(made, [str(archive.path)]), "X_hvg", tmp_path / "store", cache=tmp_path)
    from corpuscle.corpus.pairs.archives import read_archive

    assert np.array_equal(store.lookup(list(part.obs_names)), read_archive(archive.path).obsm["X_hvg"].toarray())


def test_what_is_not_there_is_named(made: dict[str, Any], tmp_path: Path) -> None:
    archive, part = made["h5ad"][0]
    rows = rows_of(made["h5ad"][:1], [str(archive.path)])
    first = part.obs_names[0]
    store = build_store(rows, "X_pca", tmp_path / "store", cache=tmp_path)
    for lookup in (lambda: store["nobody"], lambda: store.lookup([first, "nobody"])):
        with pytest.raises(KeyError, match=f"no vector of 'nobody'; there are '{first}'"):
            lookup()
    assert first in store and "nobody" not in store and len(store) == part.n_obs
    with pytest.raises(KeyError, match=r"has no embedding 'X_scvi'.*X_hvg, X_pca"):
        build_store(rows, "X_scvi", tmp_path / "other", cache=tmp_path)
    with pytest.raises(KeyError, match="the rows have no cell 'nobody'"):
        rows_to_anndata(rows, ["nobody"], cache=tmp_path)
    with pytest.raises(OptionError, match="twice"):
        rows_to_anndata(rows, [first, first], cache=tmp_path)
    strange = rows.map(lambda row: {"obs_name": row["obs_name"] + "x"})
    with pytest.raises(
        KeyError, match=rf"{part.n_obs} cells are not in it, the first '{first}'.*it has '{first}'"
    ) as raised:
        build_store(strange, "X_pca", tmp_path / "other", cache=tmp_path)
    assert str(archive.path) in str(raised.value)
    assert not list(tmp_path.glob("*other*"))


def test_a_swapped_archive_with_the_same_names_is_refused(made: dict[str, Any], tmp_path: Path) -> None:
    from corpuscle.corpus.pairs.archives import read_archive, write_archive

    archive, _ = made["h5ad"][0]
    there = read_archive(archive.path)
    other = {"X_pca": there.obsm["X_pca"] + 1, "X_hvg": there.obsm["X_hvg"]}
    swapped = write_archive(
        tmp_path / "a.h5ad", there.X, there.layers["counts"], there.obs, there.var, other, format="h5ad"
    )
    assert swapped.obs_hash == archive.obs_hash
    rows = rows_of(made["h5ad"][:1], [str(swapped.path)])
    with pytest.raises(links.WrongChecksum):
        build_store(rows, "X_pca", tmp_path / "store", cache=tmp_path)


def test_a_store_of_another_embedding_or_width_is_refused(made: dict[str, Any], tmp_path: Path) -> None:
    rows = rows_of(made["h5ad"][:1], [str(made["h5ad"][0][0].path)])
    out = tmp_path / "store"
    build_store(rows, "X_pca", out, cache=tmp_path)
    with pytest.raises(SourceError, match="holds X_pca, not X_hvg"):
        VectorStore(out, key="X_hvg")
    with pytest.raises(SourceError, match="width 3, not 50"):
        VectorStore(out, width=50)
    with pytest.raises(OutputError, match="already"):
        build_store(rows, "X_hvg", out, cache=tmp_path)
    assert build_store(rows, "X_hvg", out, cache=tmp_path, force=True).width == 5
    (tmp_path / "mine").mkdir()
    with pytest.raises(OutputError):  # a folder that is no store is never replaced
        build_store(rows, "X_hvg", tmp_path / "mine", cache=tmp_path, force=True)


def test_archives_of_different_width_or_with_gaps_are_refused(made: dict[str, Any], tmp_path: Path) -> None:
    from corpuscle.corpus.pairs.archives import read_archive, write_archive

    first, second = made["h5ad"][:2]
    there = read_archive(second[0].path)
    for values, said in (
        (np.ones((there.n_obs, 4), np.float32), "width 4 and 3"),
        (np.full((there.n_obs, 3), np.nan, np.float32), "not finite"),
    ):
        path = tmp_path / f"{values.shape[1]}.h5ad"
        changed = write_archive(
            path, there.X, there.layers["counts"], there.obs, there.var, {"X_pca": values}, format="h5ad"
        )
        rows = rows_of([first, (changed, second[1])], [str(first[0].path), str(path)])
        with pytest.raises(SourceError, match=said):
            build_store(rows, "X_pca", tmp_path / "store", cache=tmp_path)
    assert not (tmp_path / "store").exists()


def test_a_damaged_store_is_refused(made: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "store"
    build_store(rows_of(made["h5ad"][:1], [str(made["h5ad"][0][0].path)]), "X_pca", out, cache=tmp_path)
    ids = (out / "ids.json").read_text()
    for content in (json.dumps(json.loads(ids)[:-1]), "[", json.dumps([1, 2]), json.dumps({"a": 1})):
        (out / "ids.json").write_text(content)
        with pytest.raises(SourceError):
            VectorStore(out)
    (out / "ids.json").write_text(ids)
    content = (out / "vectors.npy").read_bytes()
    (out / "vectors.npy").write_bytes(content[: len(content) // 2])
    with pytest.raises(SourceError):
        VectorStore(out)


def test_archives_with_different_genes_keep_all_of_them(made: dict[str, Any], tmp_path: Path) -> None:
    from corpuscle.corpus.pairs.archives import read_archive, write_archive

    first, second = made["h5ad"][:2]
    there = read_archive(second[0].path)[:, 10:]
    fewer = write_archive(
        tmp_path / "a.h5ad", there.X, there.layers["counts"], there.obs, there.var, dict(there.obsm), format="h5ad"
    )
    rows = rows_of([first, (fewer, second[1])], [str(first[0].path), str(fewer.path)])
    found = rows_to_anndata(rows, cache=tmp_path)
    mine = found[list(second[1].obs_names)]
    assert found.n_vars == first[1].n_vars and list(found.obs_names) == list(rows["sample_idx"])
    assert (mine[:, list(there.var_names)].X != there.X).nnz == 0 and mine.X.nnz == there.X.nnz
    assert mine.layers["counts"].dtype == np.int32
