"""Archives: what goes in comes out bit for bit, the same cells are the same bytes, and a hostile one does nothing."""

from __future__ import annotations

import json
import time
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from pair_cells import pbmc68k

from corpuscle.corpus.pairs._archive_names import restored_name, stored_name
from corpuscle.corpus.pairs.archives import (
    FORMATS,
    Archive,
    archive_format,
    archive_sha256,
    read_archive,
    write_archive,
)
from corpuscle.errors import OptionError, OutputError, SourceError


def parts(n: int = 60) -> dict[str, Any]:
    cells = pbmc68k()[:n]
    obs = cells.obs[["cell_type"]].copy()
    obs.index = [f"site/a {name}" for name in obs.index]
    obs["a/b"] = np.arange(n)
    obs["50%2F"] = 0.5
    obs["gaps"] = [None if k % 3 else "word" for k in range(n)]
    obs["truth"] = pd.Series([True, None] * (n // 2), dtype=object, index=obs.index)
    obs["mixed"] = pd.Series([1, "one"] * (n // 2), dtype=object, index=obs.index)
    return {
        "x_ng": sp.csr_matrix(cells.layers["logged"]),
        "counts_ng": sp.csr_matrix(cells.X.astype(np.int32)),
        "obs": obs,
        "var": [f"{gene}/x y" for gene in cells.var_names],
        "obsm": {
            "X_pca": np.random.default_rng(0).normal(size=(n, 5)).astype(np.float32),
            "X_two/part": np.ones((n, 2), np.float32),
            "X_none": np.zeros((n, 0), np.float32),
            "X_hvg": sp.csr_matrix(cells.X[:, :7]),
        },
    }


def same_sparse(found: Any, given: sp.csr_matrix) -> bool:
    return (
        found.dtype == given.dtype
        and np.array_equal(found.data, given.data)
        and np.array_equal(found.indices, given.indices)
        and np.array_equal(found.indptr, given.indptr)
    )


@pytest.mark.parametrize("format", FORMATS)
def test_what_goes_in_comes_out_bit_for_bit(tmp_path: Path, format: str) -> None:
    given = parts()
    archive = write_archive(tmp_path / "cells", **given, format=format)
    found = read_archive(archive.path)
    assert list(found.obs_names) == list(given["obs"].index) and list(found.var_names) == given["var"]
    assert same_sparse(found.X, given["x_ng"]) and same_sparse(found.layers["counts"], given["counts_ng"])
    assert set(found.obsm) == set(given["obsm"])
    for key, value in given["obsm"].items():
        if sp.issparse(value):
            assert same_sparse(found.obsm[key], value)
        else:
            assert found.obsm[key].dtype == np.float32 and found.obsm[key].tobytes() == value.tobytes()
    assert list(found.obs.columns) == list(given["obs"].columns)
    assert (
        found.obs["a/b"].tolist() == list(range(60))
        and found.obs["cell_type"].tolist() == given["obs"]["cell_type"].tolist()
    )
    assert found.obs["gaps"].isna().tolist() == given["obs"]["gaps"].isna().tolist()
    assert found.obs["truth"].isna().sum() == 30 and found.obs["truth"].dropna().all()
    assert found.obs["mixed"].tolist() == ["1", "one"] * 30


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_cells_are_the_same_bytes_wherever_and_whenever_they_are_written(tmp_path: Path, format: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    first = write_archive(tmp_path / "one", **parts(), format=format)
    if format != "zarr":
        time.sleep(1.1)  # HDF5 counts seconds, zip counts two
    second = write_archive(tmp_path / "elsewhere" / "another name", **parts(), format=format)
    assert (first.sha256, first.bytes, first.obs_hash) == (second.sha256, second.bytes, second.obs_hash)
    assert first.sha256 == archive_sha256(second.path)
    assert first.obsm == {
        "X_hvg": (7, "float32"),
        "X_none": (0, "float32"),
        "X_pca": (5, "float32"),
        "X_two/part": (2, "float32"),
    }


def test_other_cells_are_other_bytes(tmp_path: Path) -> None:
    given = parts()
    first = write_archive(tmp_path / "one", **given, format="h5ad")
    given["x_ng"].data[0] += 1
    second = write_archive(tmp_path / "two", **given, format="h5ad")
    assert second.sha256 != first.sha256 and second.obs_hash == first.obs_hash
    given["obs"].index = given["obs"].index[::-1]
    assert write_archive(tmp_path / "three", **given, format="h5ad").obs_hash != first.obs_hash


def test_members_of_a_zip_are_sorted_without_times_and_start_at_the_root(tmp_path: Path) -> None:
    write_archive(tmp_path / "a.zip", **parts())
    with zipfile.ZipFile(tmp_path / "a.zip") as pack:
        names = pack.namelist()
        assert {member.date_time for member in pack.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert names == sorted(names) and ".zgroup" in names


@pytest.mark.parametrize("format", FORMATS)
def test_plain_anndata_reads_it(tmp_path: Path, format: str) -> None:
    import anndata

    path = write_archive(tmp_path / "cells", **parts(), format=format).path
    if format == "h5ad":
        cells = anndata.read_h5ad(path)
    else:
        from zarr.storage import LocalStore, ZipStore

        cells = anndata.read_zarr(ZipStore(path, mode="r") if format == "zarr.zip" else LocalStore(path))
    assert cells.shape == (60, 765) and cells.obsm["X_pca"].shape == (60, 5)


def test_embeddings_are_read_alone(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "cells.zarr.zip", **parts()).path
    found = read_archive(path, keys=["X_pca"], matrices=False)
    assert set(found.obsm) == {"X_pca"} and found.X is None and not found.layers
    with pytest.raises(OptionError, match=r"no embedding 'X_scvi'; it has X_hvg, X_none, X_pca, X_two/part"):
        read_archive(path, keys=["X_scvi"])


def test_no_embedding_and_no_counts_are_fine(tmp_path: Path) -> None:
    given = {**parts(), "obsm": {}, "counts_ng": None}
    archive = write_archive(tmp_path / "cells", **given)
    assert archive.obsm == {} and not read_archive(archive.path).obsm


def test_unsorted_rows_are_stored_sorted(tmp_path: Path) -> None:
    given = parts()
    twisted = given["x_ng"].copy()
    twisted.indices, twisted.data = twisted.indices.copy(), twisted.data.copy()
    for start, stop in zip(twisted.indptr[:-1], twisted.indptr[1:], strict=True):
        twisted.indices[start:stop] = twisted.indices[start:stop][::-1]
        twisted.data[start:stop] = twisted.data[start:stop][::-1]
    twisted = sp.csr_matrix((twisted.data, twisted.indices, twisted.indptr), twisted.shape)
    before = twisted.indices.copy()
    archive = write_archive(tmp_path / "cells", **{**given, "x_ng": twisted})
    assert archive.sha256 == write_archive(tmp_path / "straight", **given).sha256
    assert np.array_equal(twisted.indices, before), "the caller's matrix was changed"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"obsm": {"X_pca": np.ones((3, 2), np.float32)}}, "needs \\(60, width\\)"),
        ({"var": ["A", "B"]}, "x_ng has shape"),
        ({"var": ["A"] * 765}, "genes are not unique, e.g. 'A'"),
        ({"obsm": {"": np.ones((60, 2), np.float32)}}, "rename it"),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_nothing(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        write_archive(tmp_path / "cells", **{**parts(), **change})
    assert list(tmp_path.iterdir()) == []


def test_a_failure_while_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("corpuscle.corpus.pairs.archives.add_bytes", full)
    with pytest.raises(OutputError, match="No space left on device"):
        write_archive(tmp_path / "cells", **parts())
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "cells").write_text("mine")
    with pytest.raises(OutputError, match="is there already"):
        write_archive(tmp_path / "cells", **parts())
    assert (tmp_path / "cells").read_text() == "mine"


@pytest.mark.parametrize("name", ["a/b", "a%2Fb", "%", "100%", "%25", "%2525", "a b", "ü/β", "%2f"])
def test_names_come_back(name: str) -> None:
    assert restored_name(stored_name(name)) == name and "/" not in stored_name(name)


# What others send ---------------------------------------------------------------------------------------------------


def rezipped(source: Archive, target: Path, change: Any) -> Path:
    with zipfile.ZipFile(source.path) as old, zipfile.ZipFile(target, "w") as new:
        for member in old.infolist():
            name, data = change(member.filename, old.read(member))
            new.writestr(name, data)
    return target


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Archive]:
    folder = tmp_path_factory.mktemp("good")
    return {format: write_archive(folder / f"cells.{format}", **parts(), format=format) for format in FORMATS}


def test_a_codec_that_runs_code_is_refused(good: dict[str, Archive], tmp_path: Path) -> None:
    def poison(name: str, data: bytes) -> tuple[str, bytes]:
        if name == "obs/_index/.zarray":
            data = json.dumps({**json.loads(data), "filters": [{"id": "pickle"}]}).encode()
        return name, data

    with pytest.raises(SourceError, match="asks for 'pickle'"):
        read_archive(rezipped(good["zarr.zip"], tmp_path / "bad", poison))


def test_a_size_beyond_the_limit_is_refused_before_anything_is_made(good: dict[str, Archive], tmp_path: Path) -> None:
    def swell(name: str, data: bytes) -> tuple[str, bytes]:
        if name == "obsm/X_pca/.zarray":
            data = json.dumps({**json.loads(data), "shape": [10**9, 10**6]}).encode()
        return name, data

    with pytest.raises(SourceError, match="unpacks to 8,000,000,"):
        read_archive(rezipped(good["zarr.zip"], tmp_path / "bad", swell))
    for archive in good.values():
        with pytest.raises(SourceError, match="more than 1,000; raise the limit"):
            read_archive(archive.path, max_bytes=1000)


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "C:/evil", "a\\..\\evil", "./evil"])
def test_members_outside_are_refused(good: dict[str, Archive], tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(good["zarr.zip"].path) as old, zipfile.ZipFile(tmp_path / "bad", "w") as new:
        for member in old.infolist():
            new.writestr(member, old.read(member))
        new.writestr(zipfile.ZipInfo(name), b"")
    with pytest.raises(SourceError, match="outside the archive's folder"):
        read_archive(tmp_path / "bad")


def test_links_are_refused(good: dict[str, Archive], tmp_path: Path) -> None:
    with h5py.File(tmp_path / "linked", "w") as file:
        file["obs"] = h5py.ExternalLink("/etc/other.h5", "/obs")
    with pytest.raises(SourceError, match="link to elsewhere"):
        read_archive(tmp_path / "linked")
    with h5py.File(tmp_path / "external", "w") as file:
        file.create_dataset("X", (4,), "u1", external=[("/etc/hostname", 0, 4)])
    with pytest.raises(SourceError, match="takes its values from other files"):
        read_archive(tmp_path / "external")
    folder = write_archive(tmp_path / "cells", **parts(), format="zarr").path
    (folder / "obs" / "more").symlink_to("/etc")
    with pytest.raises(SourceError, match="symbolic link"):
        read_archive(folder)
    member = zipfile.ZipInfo("obs/more")
    member.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "zip", "w") as pack:
        pack.writestr(member, "/etc/passwd")
    with pytest.raises(SourceError, match="link or device"):
        read_archive(tmp_path / "zip")


@pytest.mark.parametrize("format", ["zarr.zip", "h5ad"])
@pytest.mark.parametrize("kept", [0.3, 0.7, 0.99])
def test_a_truncated_archive_is_said_to_be_one(
    good: dict[str, Archive], tmp_path: Path, format: str, kept: float
) -> None:
    data = good[format].path.read_bytes()
    (tmp_path / "cut").write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(SourceError, match=r"damaged|truncated"):
        read_archive(tmp_path / "cut")


def test_damage_inside_is_said(good: dict[str, Archive], tmp_path: Path) -> None:
    def damage(name: str, data: bytes) -> tuple[str, bytes]:
        return name, data[:20] if name == "X/data/0" else data

    with pytest.raises(SourceError, match="is damaged"):
        read_archive(rezipped(good["zarr.zip"], tmp_path / "bad", damage))


def test_what_it_is_is_found_by_content(good: dict[str, Archive], tmp_path: Path) -> None:
    assert [archive_format(archive.path) for archive in good.values()] == list(good)
    (tmp_path / "page.zarr.zip").write_text("<!DOCTYPE html>")
    with pytest.raises(SourceError, match="no zip, HDF5 file or Zarr folder"):
        read_archive(tmp_path / "page.zarr.zip")
    with pytest.raises(SourceError, match="is h5ad and not zarr"):
        read_archive(good["h5ad"].path, format="zarr.zip")
    with pytest.raises(SourceError, match="cannot be read"):
        read_archive(tmp_path / "nothing")
