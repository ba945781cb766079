"""Following links: each thing that can be wrong has its own error, and leaves the cache as it was."""

from __future__ import annotations

import hashlib
import io
import multiprocessing
import os
import signal
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from pair_links import Page, Site, archives, serve

from corpuscle.corpus.pairs import links
from corpuscle.corpus.pairs.links import fetch
from corpuscle.errors import CorpuscleError, OptionError, OutputError


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("corpuscle.corpus.pairs._link_http._PAUSE", 0.0)


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as running:
        yield running


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("archives")
    return {format: archives(folder, format, n_parts=1)[0][0].path for format in ("zarr.zip", "zarr", "h5ad")}


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes], packing: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", packing) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


ROOT = (".zgroup", b'{"zarr_format": 2}')


def files_in(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir()) if cache.exists() else []


def test_a_file_is_downloaded_once_and_found_again(site: Site, packed: dict[str, Path], tmp_path: Path) -> None:
    content = packed["zarr.zip"].read_bytes()
    site.pages["/a"] = Page(content, etag='"1"')
    first = fetch(f"{site.url}/a", tmp_path, sha256=digest(content), format="zarr.zip")
    assert first.read_bytes() == content and first.name.endswith(".zarr.zip")
    assert fetch(f"{site.url}/other", tmp_path, sha256=digest(content)) == first  # the content is known: no request
    assert site.asked == [("/a", None)]
    assert files_in(tmp_path) == [f"{digest(content)}.json", f"{digest(content)}.zarr.zip"]


def test_an_entry_changed_on_disk_is_fetched_again(site: Site, packed: dict[str, Path], tmp_path: Path) -> None:
    content = packed["h5ad"].read_bytes()
    site.pages["/a"] = Page(content)
    path = fetch(f"{site.url}/a", tmp_path)
    path.write_bytes(content[:-100])
    assert fetch(f"{site.url}/a", tmp_path).read_bytes() == content
    (tmp_path / path.with_suffix(".json").name).write_text("[1")
    assert fetch(f"{site.url}/a", tmp_path).read_bytes() == content
    assert len(site.asked) == 3


def broken(good: bytes) -> dict[str, tuple[Page | None, type[links.LinkError]]]:
    up = zipped(ROOT, ("../evil", b"x"))
    symlink = zipfile.ZipInfo("x")
    symlink.external_attr = (stat.S_IFLNK | 0o777) << 16
    flipped = bytearray(good)
    flipped[len(good) // 3] ^= 0xFF
    pickle = b'{"shape": [1], "dtype": "|O", "filters": [{"id": "pickle"}], "zarr_format": 2}'
    return {
        "404": (None, links.DeadLink),
        "403": (Page(b"no", 403), links.DeadLink),
        "page": (Page(b"<html>share</html>", kind="text/html; charset=utf-8"), links.SharePage),
        "page called a file": (Page(b"\n<!DOCTYPE html><html>share</html>"), links.SharePage),
        "cut transfer": (Page(good, cut=len(good) // 2), links.TruncatedArchive),
        "cut file": (Page(good[: len(good) // 2]), links.TruncatedArchive),
        "empty": (Page(b""), links.TruncatedArchive),
        "one damaged member": (Page(bytes(flipped)), links.TruncatedArchive),
        "not an archive": (Page(b"gene,cell\n1,2\n" * 20), links.WrongFormat),
        "zip without a store": (Page(zipped(("a.txt", b"x"))), links.WrongFormat),
        "up": (Page(up), links.UnsafeArchive),
        "absolute": (Page(zipped(ROOT, ("/etc/evil", b"x"))), links.UnsafeArchive),
        "backslash": (Page(zipped(ROOT, ("..\\evil", b"x"))), links.UnsafeArchive),
        "symlink": (Page(zipped(ROOT, (symlink, b"/etc/passwd"))), links.UnsafeArchive),
        "pickle": (Page(zipped(ROOT, ("obs/.zarray", pickle))), links.UnsafeArchive),
        "bomb": (Page(zipped(ROOT, ("0", bytes(100 << 20)), packing=zipfile.ZIP_DEFLATED)), links.ZipBomb),
    }


@pytest.mark.parametrize("what", list(broken(b"PK\x03\x04" + bytes(999))))
def test_each_fault_has_its_error_and_the_mended_link_works(
    what: str, site: Site, packed: dict[str, Path], tmp_path: Path
) -> None:
    good = packed["zarr.zip"].read_bytes()
    page, error = broken(good)[what]
    if page is not None:
        site.pages["/a.zip"] = page
    with pytest.raises(error) as raised:
        fetch(f"{site.url}/a.zip", tmp_path, n_rows=1234)
    assert type(raised.value) is error
    text = str(raised.value)
    assert f"{site.url}/a.zip" in text and "1,234 rows" in text and "\n" not in text and str(tmp_path) not in text
    assert files_in(tmp_path) == []
    site.pages["/a.zip"] = Page(good)
    assert fetch(f"{site.url}/a.zip", tmp_path, n_rows=1234).read_bytes() == good


def test_the_wrong_archive_is_not_taken_for_a_damaged_one(site: Site, packed: dict[str, Path], tmp_path: Path) -> None:
    good, other = packed["zarr.zip"].read_bytes(), zipped(ROOT, ("a", b"1"))
    for content, error in ((other, links.WrongChecksum), (good[:5000], links.TruncatedArchive)):
        site.pages["/a"] = Page(content)
        with pytest.raises(error):
            fetch(f"{site.url}/a", tmp_path, sha256=digest(good))
        assert files_in(tmp_path) == []
    site.pages["/a"] = Page(packed["h5ad"].read_bytes())
    with pytest.raises(links.WrongFormat, match=r"is h5ad and the rows say zarr\.zip"):
        fetch(f"{site.url}/a", tmp_path, format="zarr.zip")
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("announce", [True, False])
def test_a_file_over_the_limit_is_not_kept(site: Site, packed: dict[str, Path], tmp_path: Path, announce: bool) -> None:
    site.pages["/a"] = Page(packed["zarr.zip"].read_bytes(), announce=announce)
    with pytest.raises(links.TooLarge, match="1,000"):
        fetch(f"{site.url}/a", tmp_path, max_bytes=1000)
    assert files_in(tmp_path) == []


def test_what_unpacks_beyond_the_limit_is_refused(packed: dict[str, Path], tmp_path: Path) -> None:
    for format in ("zarr.zip", "h5ad", "zarr"):
        with pytest.raises(links.UnsafeArchive):
            fetch(str(packed[format]), tmp_path, max_unpacked=2000)


def test_a_dropped_connection_is_taken_up_where_it_stopped(site: Site, packed: dict[str, Path], tmp_path: Path) -> None:
    content = packed["zarr.zip"].read_bytes()
    half = len(content) // 2
    site.pages["/a"] = Page(content, etag='"1"', cut=half, cuts=1)
    assert fetch(f"{site.url}/a", tmp_path, sha256=digest(content)).read_bytes() == content
    assert site.asked == [("/a", None), ("/a", f"bytes={half}-")]


def test_a_later_call_goes_on_and_a_replaced_file_is_not_mixed(
    site: Site, packed: dict[str, Path], tmp_path: Path
) -> None:
    content = packed["zarr.zip"].read_bytes()
    half = len(content) // 2
    site.pages["/a"] = Page(content, etag='"1"', cut=half)
    with pytest.raises(links.TruncatedArchive, match="kept"):
        fetch(f"{site.url}/a", tmp_path)
    assert [name for name in files_in(tmp_path) if not name.endswith((".part", ".part.json"))] == []
    site.asked.clear()
    other = packed["h5ad"].read_bytes()
    site.pages["/a"] = Page(other, etag='"2"')  # replaced meanwhile: the server answers with the whole file
    assert fetch(f"{site.url}/a", tmp_path).read_bytes() == other
    assert site.asked == [("/a", f"bytes={half}-")]


def test_a_server_that_joins_two_files_gets_a_fresh_try(site: Site, packed: dict[str, Path], tmp_path: Path) -> None:
    content = packed["zarr.zip"].read_bytes()
    site.pages["/a"] = Page(bytes(len(content)), etag='"same"', cut=5000)
    with pytest.raises(links.TruncatedArchive):
        fetch(f"{site.url}/a", tmp_path, sha256=digest(content))
    site.pages["/a"] = Page(content, etag='"same"')
    assert fetch(f"{site.url}/a", tmp_path, sha256=digest(content)).read_bytes() == content


def test_a_share_page_is_followed_to_its_file_once(site: Site, packed: dict[str, Path], tmp_path: Path) -> None:
    content = packed["zarr.zip"].read_bytes()
    site.pages["/index.php/s/AbC123"] = Page(b"<html>", kind="text/html")
    site.pages["/index.php/s/AbC123/download"] = Page(content)
    assert fetch(f"{site.url}/index.php/s/AbC123", tmp_path).read_bytes() == content
    site.pages["/s/x1"] = site.pages["/s/x1/download"] = Page(b"<html>", kind="text/html")
    with pytest.raises(links.SharePage):
        fetch(f"{site.url}/s/x1", tmp_path / "b")
    assert [path for path, _ in site.asked][2:] == ["/s/x1", "/s/x1/download"]


def test_the_link_of_a_draft_leads_to_the_record(site: Site, packed: dict[str, Path], tmp_path: Path) -> None:
    site.pages["/api/records/12/files/a.zip/content"] = Page(packed["zarr.zip"].read_bytes())
    assert fetch(f"{site.url}/api/records/12/draft/files/a.zip/content", tmp_path).exists()


def test_a_busy_server_is_asked_again_and_no_server_is_a_dead_link(site: Site, tmp_path: Path) -> None:
    site.pages["/a"] = Page(b"later", 503)
    with pytest.raises(links.DeadLink, match="503"):
        fetch(f"{site.url}/a", tmp_path)
    assert len(site.asked) == 4
    with pytest.raises(links.DeadLink, match="no answer"):
        fetch("http://127.0.0.1:9/a", tmp_path)
    site.pages["/slow"] = Page(b"x", wait=0.5)
    with pytest.raises(links.DeadLink, match="timed out"):
        fetch(f"{site.url}/slow", tmp_path, timeout=0.1)
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("format", ["zarr.zip", "zarr", "h5ad"])
def test_local_archives_are_checked_where_they_lie(packed: dict[str, Path], tmp_path: Path, format: str) -> None:
    path = packed[format]
    for link, base in ((str(path), None), (path.as_uri(), None), (path.name, path.parent)):
        assert fetch(link, tmp_path / "cache", format=format, base=base).resolve() == path.resolve()
    with pytest.raises(links.WrongChecksum):
        fetch(str(path), tmp_path / "cache", sha256="0" * 64)
    assert not (tmp_path / "cache").exists()
    with pytest.raises(links.DeadLink):
        fetch(str(path) + "x", tmp_path)


@pytest.mark.parametrize(
    "link",
    [
        "../a.h5ad",
        "a/../../b",
        "a\\..\\b",
        "",
        "a\nb",
        "http://u:p@127.0.0.1/a",
        "zip://x::http://127.0.0.1/a",
        "local:///etc/passwd",
        "reference://x",
        "file://elsewhere/a",
        "http:///a",
    ],
)
def test_links_that_are_not_followed(link: str, tmp_path: Path) -> None:
    with pytest.raises(links.UnsafeLink) as raised:
        fetch(link, tmp_path, base=tmp_path)
    assert "u:p" not in str(raised.value) and "\n" not in str(raised.value)


def test_a_relative_link_does_not_leave_by_a_symbolic_link(packed: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.h5ad").symlink_to(packed["h5ad"])
    with pytest.raises(links.UnsafeLink):
        fetch("a.h5ad", tmp_path, base=tmp_path / "set")


def test_a_relative_link_of_a_published_set(site: Site, packed: dict[str, Path], tmp_path: Path) -> None:
    site.pages["/set/archives/a.h5ad"] = Page(packed["h5ad"].read_bytes())
    assert fetch("archives/a.h5ad", tmp_path, base=f"{site.url}/set").exists()


def test_hdf5_that_reaches_elsewhere_is_refused(packed: dict[str, Path], tmp_path: Path) -> None:
    for k, link in enumerate((h5py.ExternalLink("/etc/passwd", "/"), h5py.SoftLink("/obs"))):
        path = tmp_path / f"{k}.h5ad"
        path.write_bytes(packed["h5ad"].read_bytes())
        with h5py.File(path, "a") as file:
            file["elsewhere"] = link
        with pytest.raises(links.UnsafeArchive):
            fetch(str(path), tmp_path / "cache")
    cut = tmp_path / "cut.h5ad"
    cut.write_bytes(packed["h5ad"].read_bytes()[:-1000])
    with pytest.raises(links.TruncatedArchive):
        fetch(str(cut), tmp_path / "cache")


def test_a_folder_with_a_symbolic_link_is_refused(packed: dict[str, Path], tmp_path: Path) -> None:
    store = tmp_path / "a.zarr"
    (store / "obs").mkdir(parents=True)
    (store / ".zgroup").write_bytes(ROOT[1])
    (store / "obs" / "0").symlink_to("/etc/passwd")
    with pytest.raises(links.UnsafeArchive):
        fetch(str(store), tmp_path)


def test_wrong_options_and_a_cache_that_cannot_be_written(site: Site, tmp_path: Path) -> None:
    with pytest.raises(OptionError):
        fetch("a", tmp_path, format="pickle")
    with pytest.raises(OptionError):
        fetch("a", tmp_path, sha256="abc")
    with pytest.raises(OptionError):
        fetch("nosuchscheme://a/b", tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError):
        fetch(f"{site.url}/a", tmp_path / "file" / "cache")


def _fetch_in_process(url: str, cache: str) -> str:
    try:
        return fetch(url, cache).name
    except CorpuscleError as error:
        return str(error)


def test_processes_that_ask_together_download_once(site: Site, packed: dict[str, Path], tmp_path: Path) -> None:
    site.pages["/a"] = Page(packed["zarr.zip"].read_bytes(), wait=0.3)
    with multiprocessing.get_context("fork").Pool(3) as pool:
        names = pool.starmap(_fetch_in_process, [(f"{site.url}/a", str(tmp_path))] * 3)
    assert len(set(names)) == 1 and names[0].endswith(".zarr.zip")
    assert len(site.asked) == 1
    assert not [name for name in files_in(tmp_path) if name.endswith((".lock", ".part", ".tmp"))]


def test_a_killed_download_stops_nobody(site: Site, packed: dict[str, Path], tmp_path: Path) -> None:
    content = packed["zarr.zip"].read_bytes()
    site.pages["/a"] = Page(content, wait=5)
    killed = multiprocessing.get_context("fork").Process(
        target=_fetch_in_process, args=(f"{site.url}/a", str(tmp_path))
    )
    killed.start()
    while not site.asked:
        killed.join(0.02)
    assert killed.pid
    os.kill(killed.pid, signal.SIGKILL)
    killed.join()
    assert [name for name in files_in(tmp_path) if name.endswith(".lock")]  # what it left behind
    site.pages["/a"] = Page(content)
    assert fetch(f"{site.url}/a", tmp_path).read_bytes() == content
    assert not [name for name in files_in(tmp_path) if name.endswith(".lock")]


def test_the_bytes_are_those_of_numpy_after_all(packed: dict[str, Path], tmp_path: Path) -> None:
    from corpuscle.corpus.pairs.archives import read_archive

    parts = [read_archive(fetch(str(path), tmp_path)).obsm["X_pca"] for path in packed.values()]
    assert np.array_equal(parts[0], parts[1]) and np.array_equal(parts[0], parts[2])
