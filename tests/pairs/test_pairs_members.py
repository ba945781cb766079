"""Archives that are Zarr folders: fetched over plain HTTP by the list of members beside them, and published."""

from __future__ import annotations

import json
import shutil
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pair_cells import pbmc68k, small_rules
from pair_folder import make_folder
from pair_links import Page, archives, serve

from corpuscle.corpus.pairs import links
from corpuscle.corpus.pairs._archive_members import MEMBERS, Member, digest_of, parse_members, write_members
from corpuscle.corpus.pairs.archives import archive_sha256
from corpuscle.corpus.pairs.build import build_pairs
from corpuscle.corpus.pairs.check import verify_pairs
from corpuscle.corpus.pairs.links import fetch
from corpuscle.corpus.pairs.publish import FolderPublisher, WebDAVPublisher, ZenodoPublisher, publish
from corpuscle.corpus.pairs.vectors import build_store, rows_to_anndata
from corpuscle.errors import OptionError


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr("corpuscle.corpus.pairs._link_http._PAUSE", 0.0)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


class Quiet(SimpleHTTPRequestHandler):
    """A plain web server that lists no folders."""

    def list_directory(self, path):
        self.send_error(404)

    def log_message(self, *_):
        pass


@contextmanager
def plain_server(folder):
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A Zarr folder of real cells with the list of its members."""
    path = archives(tmp_path_factory.mktemp("store"), "zarr", n_parts=1)[0][0].path
    write_members(path)
    return path


def pages_of(store):
    pages = {
        f"/{file.relative_to(store.parent).as_posix()}": Page(file.read_bytes())
        for file in store.rglob("*")
        if file.is_file()
    }
    return pages | {f"/{store.name}{MEMBERS}": Page((store.parent / f"{store.name}{MEMBERS}").read_bytes())}


@pytest.fixture
def site(store):
    with serve() as one:
        one.pages.update(pages_of(store))
        yield one


def left(cache):
    return sorted(path.name for path in cache.iterdir()) if cache.is_dir() else []


# -- round trip ----------------------------------------------------------------------------------------------------


def test_folders_of_a_built_data_set_come_back_over_http_bit_for_bit(tmp_path):
    with plain_server(tmp_path / "set" / "archives") as url:
        build_pairs(
            {"pbmc": pbmc68k()}, tmp_path / "set", format="single", group="donor", shares=(0.5, 0, 0.5), archive="zarr",
            embeddings=["pca:n_components=4"], link_base=url, rules=small_rules(), sentence_genes=0,
        )  # fmt: skip
        assert verify_pairs(tmp_path / "set", deep=True).problems == []
        rows = shutil.copytree(tmp_path / "set", tmp_path / "rows", ignore=shutil.ignore_patterns("archives"))
        back = rows_to_anndata(rows, cache=tmp_path / "cache")
        found = build_store(rows, "X_pca", tmp_path / "vectors", cache=tmp_path / "cache")
        assert verify_pairs(rows, cache=tmp_path / "cache").problems == []
    given = pbmc68k()[back.obs_names, back.var_names]
    assert back.n_obs > 500 and (back.layers["counts"] != given.X).nnz == 0
    assert list(back.obs["cell_type"]) == list(given.obs["cell_type"])
    np.testing.assert_array_equal(found.lookup(list(back.obs_names)), back.obsm["X_pca"])
    assert rows_to_anndata(rows, cache=tmp_path / "cache").n_obs == back.n_obs, "the cache needs no server"


def test_a_published_folder_is_fetched_from_where_it_went(tmp_path):
    made = make_folder(tmp_path / "pairs", format="zarr", embedders=())
    with plain_server(tmp_path / "out") as url:
        manifest = publish(made, FolderPublisher(tmp_path / "out", url))
        entry = manifest.archives[0]
        assert entry.link == f"{url}/archives/train%200.zarr"
        path = fetch(entry.link, tmp_path / "cache", sha256=entry.sha256, format="zarr")
    assert archive_sha256(path) == entry.sha256 == archive_sha256(tmp_path / "out" / entry.file)
    assert verify_pairs(made).problems == []
    names = [file.relative_to(tmp_path / "out").as_posix() for file in (tmp_path / "out").rglob("*") if file.is_file()]
    assert sorted(names) == sorted(file.relative_to(made).as_posix() for file in made.rglob("*") if file.is_file())


def test_places_without_links_to_folders_say_so_before_anything_is_sent(tmp_path):
    made = make_folder(tmp_path / "pairs", format="zarr")
    for there in (WebDAVPublisher("http://127.0.0.1:9", share=True), ZenodoPublisher(base="http://127.0.0.1:9")):
        with pytest.raises(OptionError, match=r"train 0\.zarr: a Zarr folder has no link there.*zarr\.zip"):
            publish(made, there)


# -- what goes wrong -----------------------------------------------------------------------------------------------


def test_without_a_list_one_line_says_what_to_do(site, store, tmp_path):
    del site.pages[f"/{store.name}{MEMBERS}"]
    for format in ("zarr", None):
        with pytest.raises(links.DeadLink, match=r"cannot be listed over HTTP.*zarr\.zip"):
            fetch(f"{site.url}/{store.name}", tmp_path / "cache", format=format)
    assert left(tmp_path / "cache") == []
    site.pages[f"/{store.name}{MEMBERS}"] = Page(b"no", 403)
    with pytest.raises(links.DeadLink, match="answers 403"):
        fetch(f"{site.url}/{store.name}", tmp_path / "cache", format="zarr")


@pytest.mark.parametrize("damage", ["gone", "other", "longer", "shorter", "cut"])
def test_a_member_that_is_not_the_one_is_refused_and_mended_later(site, store, tmp_path, damage):
    name = next(path for path in sorted(site.pages) if path.endswith("X/data/0"))
    good = site.pages[name].body
    bad = {
        "gone": Page(b"", 404),
        "other": Page(b"x" * len(good)),
        "longer": Page(good + b"x"),
        "shorter": Page(good[:-1]),
        "cut": Page(good, cut=10),
    }[damage]
    site.pages[name] = bad
    error = {"gone": links.DeadLink, "cut": links.TruncatedArchive}.get(damage, links.WrongChecksum)
    with pytest.raises(error, match="X/data/0") as raised:
        fetch(f"{site.url}/{store.name}", tmp_path / "cache", sha256=archive_sha256(store), format="zarr")
    assert "\n" not in str(raised.value) and str(tmp_path) not in str(raised.value)
    assert left(tmp_path / "cache") == []
    site.pages[name] = Page(good)
    path = fetch(f"{site.url}/{store.name}", tmp_path / "cache", sha256=archive_sha256(store), format="zarr")
    assert archive_sha256(path) == archive_sha256(store)


def test_a_list_of_another_archive_or_over_the_limit_fetches_no_member(site, store, tmp_path):
    url = f"{site.url}/{store.name}"
    with pytest.raises(links.WrongChecksum, match="list of members is of another archive"):
        fetch(url, tmp_path / "cache", sha256="0" * 64, format="zarr")
    listed = len((store.parent / f"{store.name}{MEMBERS}").read_bytes())
    with pytest.raises(links.TooLarge, match="the limit is"):
        fetch(url, tmp_path / "cache", format="zarr", max_bytes=listed + 10)
    assert {path for path, _ in site.asked} == {f"/{store.name}{MEMBERS}"}
    assert left(tmp_path / "cache") == []


SHA = "a" * 64


@pytest.mark.parametrize(
    "members",
    [
        [["../evil", 1, SHA]],
        [["/etc/evil", 1, SHA]],
        [["a/../../evil", 1, SHA]],
        [["a\\..\\evil", 1, SHA]],
        [["C:evil", 1, SHA]],
        [["a\n", 1, SHA]],
        [["a", 1, SHA], ["a", 1, SHA]],
        [["a", 1, SHA], ["a/b", 1, SHA]],
        [["a", -1, SHA]],
        [["a", True, SHA]],
        [["a", 1, "b"]],
        [["a", 1]],
        [],
        "a",
    ],
)
def test_a_list_that_leads_elsewhere_is_not_followed(site, store, tmp_path, members):
    text = json.dumps({"schema": "corpuscle-members/1", "members": members})
    site.pages[f"/{store.name}{MEMBERS}"] = Page(text.encode())
    with pytest.raises(links.UnsafeArchive, match="list of members cannot be used"):
        fetch(f"{site.url}/{store.name}", tmp_path / "cache", format="zarr")
    assert len(site.asked) == 1 and left(tmp_path / "cache") == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "other", "members": []}', "[" * 100_000, "\ud800"])
def test_what_is_no_list_is_refused(text):
    with pytest.raises(ValueError):
        parse_members(text)


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,3}(/[a-z0-9.]*[a-z0-9])?", fullmatch=True), st.binary(max_size=9), min_size=1
    )
)
def test_the_list_has_the_checksum_of_the_folder(tmp_path_factory, files):
    kept = {name: data for name, data in files.items() if not any(other.startswith(f"{name}/") for other in files)}
    folder = tmp_path_factory.mktemp("any") / "a.zarr"
    for name, data in kept.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    members = parse_members(write_members(folder).read_text())
    assert digest_of(members) == archive_sha256(folder)
    assert {one.name: one.bytes for one in members} == {name: len(data) for name, data in kept.items()}
    assert digest_of([*members[1:], Member(members[0].name, 1, SHA)]) != archive_sha256(folder)


def test_verify_sees_a_list_that_does_not_fit(tmp_path):
    made = make_folder(tmp_path / "pairs", format="zarr", splits=("train",), embedders=())
    listed = write_members(made / "archives" / "train 0.zarr")
    assert verify_pairs(made).problems == []
    listed.write_text(listed.read_text().replace("0", "1"))
    assert [problem.file for problem in verify_pairs(made).problems] == [f"archives/train 0.zarr{MEMBERS}"]
