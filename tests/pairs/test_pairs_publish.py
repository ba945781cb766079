"""Publishing: links are changed only when everything is up, are public, and lead to the very archives."""

from __future__ import annotations

import io
import json
import shutil
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import pytest
from pair_folder import make_folder
from pair_servers import Hub, Nextcloud, Zenodo, running, webdav

from corpuscle.corpus.pairs.archives import archive_sha256
from corpuscle.corpus.pairs.manifest import PairsManifest, read_pairs_manifest
from corpuscle.corpus.pairs.publish import (
    FolderPublisher,
    HubPublisher,
    Publisher,
    WebDAVPublisher,
    ZenodoPublisher,
    publish,
)
from corpuscle.errors import OptionError, OutputError, SourceError

SECRET = "pass:word-never-shown"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("made") / "pairs")


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "built" / "pairs"))


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CORPUSCLE_WEBDAV_USER", "me")
    monkeypatch.setenv("CORPUSCLE_WEBDAV_PASSWORD", SECRET)
    monkeypatch.setenv("ZENODO_TOKEN", SECRET)
    monkeypatch.setenv("HF_TOKEN", SECRET)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def check_links(folder: Path, manifest: PairsManifest) -> None:
    """Rows, manifest and card agree on the links, nothing else of the rows has changed, and no secret is in any file."""
    from datasets import load_from_disk

    assert read_pairs_manifest(folder) == manifest
    rows = load_from_disk(str(folder))
    for entry in manifest.archives:
        split = rows[entry.split]
        assert set(split["adata_link"]) == {entry.link} and set(split["adata_sha256"]) == {entry.sha256}
        assert (
            len(split) == 40
            and split[7]["cell_sentence_2"] == "GENE7 ACTB"
            and split[7]["sample_idx"] == split[7]["obs_name"]
        )
        assert archive_sha256(folder / entry.file) == entry.sha256
    assert manifest.archives[0].link in (folder / "README.md").read_text()
    assert not any(SECRET.encode() in data for data in content(folder).values())
    assert [path.name for path in folder.parent.iterdir()] == [folder.name], "something was left beside the folder"


def test_all_publishers_are_publishers(tmp_path: Path) -> None:
    known = [FolderPublisher(tmp_path), WebDAVPublisher("https://a.example"), ZenodoPublisher(), HubPublisher("a/b")]
    assert all(isinstance(one, Publisher) for one in known)


def test_a_folder_gets_a_whole_data_set(folder: Path, tmp_path: Path) -> None:
    from datasets import load_from_disk

    sent: list[str] = []
    manifest = publish(folder, FolderPublisher(tmp_path / "shared disk"), progress=sent.append)
    check_links(folder, manifest)
    assert manifest.archives[0].link == (tmp_path / "shared disk" / "archives" / "train 0.zarr.zip").as_uri()
    assert content(folder) == content(tmp_path / "shared disk")
    assert sent[:2] == [entry.file for entry in manifest.archives] and sent[-1] == "README.md"
    assert load_from_disk(str(tmp_path / "shared disk"))["test"][0]["adata_link"] == manifest.archives[1].link


def test_links_can_start_elsewhere_and_publishing_again_changes_nothing(folder: Path, tmp_path: Path) -> None:
    there = FolderPublisher(tmp_path / "out", "https://data.example.org/pairs/")
    manifest = publish(folder, there)
    check_links(folder, manifest)
    assert manifest.archives[0].link == "https://data.example.org/pairs/archives/train%200.zarr.zip"
    before = content(folder)
    assert publish(folder, there) == manifest and content(folder) == before


def test_the_same_rows_are_the_same_bytes(made: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        publish(
            shutil.copytree(made, tmp_path / name / "pairs"), FolderPublisher(tmp_path / name / "out", "https://e.org")
        )
    assert content(tmp_path / "a" / "out") == content(tmp_path / "b" / "out")


class Failing:
    """Takes as many files as it is told to, then the line is cut."""

    nested = True

    def __init__(self, files: int) -> None:
        self.left = files

    def put(self, path: Path, name: str) -> str:
        if self.left == 0:
            raise OutputError(f"{name}: could not be sent")
        self.left -= 1
        return f"https://example.org/{name.replace(' ', '%20')}"

    def finish(self) -> None:
        pass


def test_where_an_archive_is_not_sent_nothing_changes(folder: Path, tmp_path: Path) -> None:
    before = content(folder)
    with pytest.raises(OutputError, match=r"archives/test 0\.zarr\.zip: could not be sent"):
        publish(folder, Failing(1))
    assert content(folder) == before
    check_links(folder, publish(folder, FolderPublisher(tmp_path / "out")))


def test_where_the_rows_are_not_sent_the_call_can_be_repeated(folder: Path) -> None:
    with pytest.raises(OutputError):
        publish(folder, Failing(3))
    manifest = publish(folder, Failing(-1))
    check_links(folder, manifest)


def test_where_the_copy_cannot_take_the_name_the_old_folder_is_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, rename = content(folder), Path.rename

    def refuse(self: Path, target: Any) -> Any:
        if self.name == "new":
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OutputError, match="Input/output error"):
        publish(folder, Failing(-1))
    monkeypatch.undo()
    assert content(folder) == before and len(list(folder.parent.iterdir())) == 1


def test_an_archive_that_was_changed_is_not_published(folder: Path, tmp_path: Path) -> None:
    path = folder / "archives" / "test 0.zarr.zip"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(SourceError, match="is not the archive that the manifest lists"):
        publish(folder, FolderPublisher(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_link_that_lets_anyone_in_is_refused(folder: Path, tmp_path: Path) -> None:
    before = content(folder)
    for base in ("https://me:word@example.org", "https://example.org/?token=abc&f="):
        with pytest.raises(OutputError, match="password or token in it"):
            publish(folder, FolderPublisher(tmp_path / "out", base))
    assert content(folder) == before


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "a/../../evil", "."])
def test_no_file_leaves_the_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="leads out of"):
        FolderPublisher(tmp_path / "out").put(tmp_path / "file", name)


# WebDAV and Nextcloud -----------------------------------------------------------------------------------------------


def test_webdav(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "dav").mkdir()
    with webdav(str(tmp_path / "dav"), "me", SECRET) as url:
        there = WebDAVPublisher(url, "sets/pairs one", link_base="https://data.example.org/p")
        manifest = publish(folder, there)
        check_links(folder, manifest)
        assert content(folder) == content(tmp_path / "dav" / "sets" / "pairs one")
        assert manifest.archives[0].link == "https://data.example.org/p/archives/train%200.zarr.zip"
        assert publish(folder, there) == manifest
        plain = WebDAVPublisher(url, "b").put(folder / "manifest.json", "manifest.json")
        assert plain == f"{url}/b/manifest.json"


def test_webdav_refuses_in_one_line(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = content(folder)
    (tmp_path / "dav").mkdir()
    with webdav(str(tmp_path / "dav"), "me", "another") as url:
        with pytest.raises(
            OutputError, match=r"archives/train 0.zarr.zip: could not be sent to 127.0.0.1 .*401"
        ) as caught:
            publish(folder, WebDAVPublisher(url))
        assert SECRET not in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(OutputError, match=r"could not be sent to 127\.0\.0\.1"):
        publish(folder, WebDAVPublisher(url))
    monkeypatch.delenv("CORPUSCLE_WEBDAV_PASSWORD")
    with pytest.raises(OptionError, match="CORPUSCLE_WEBDAV_PASSWORD is not set"):
        publish(folder, WebDAVPublisher(url))
    assert content(folder) == before and list((tmp_path / "dav").iterdir()) == []


def nextcloud_state(**more: Any) -> dict[str, Any]:
    return {"user": f"me:{SECRET}", "files": {}, "folders": {"/remote.php/dav/files/me"}, "shares": {}, **more}


def test_nextcloud_makes_public_links_to_the_files_themselves(folder: Path) -> None:
    with running(Nextcloud, **nextcloud_state()) as (url, state):
        manifest = publish(folder, WebDAVPublisher(url, "pairs", share=True))
        check_links(folder, manifest)
        assert manifest.archives[0].link == f"{url}/s/t0/download"
        assert set(state["shares"]) == {"/pairs/archives/train 0.zarr.zip", "/pairs/archives/test 0.zarr.zip"}
        for entry in manifest.archives:
            with urllib.request.urlopen(entry.link) as answer:
                assert answer.read() == (folder / entry.file).read_bytes()
        assert publish(folder, WebDAVPublisher(url, "pairs", share=True)) == manifest
        assert len(state["shares"]) == 2, "a share was made twice"
        kept = {path.removeprefix("/remote.php/dav/files/me/pairs/"): data for path, data in state["files"].items()}
        assert kept == content(folder)


def test_nextcloud_that_allows_no_links_or_gives_those_of_others(folder: Path) -> None:
    before = content(folder)
    with (
        running(Nextcloud, **nextcloud_state(forbid=True)) as (url, _),
        pytest.raises(OutputError, match="no public links"),
    ):
        publish(folder, WebDAVPublisher(url, "pairs", share=True))
    elsewhere = nextcloud_state(server="https://evil.example")
    with running(Nextcloud, **elsewhere) as (url, _), pytest.raises(OutputError, match="on another server"):
        publish(folder, WebDAVPublisher(url, "pairs", share=True))
    assert content(folder) == before


def test_large_files_go_to_nextcloud_in_pieces_and_a_busy_moment_is_waited_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from corpuscle.corpus.pairs import _publish_pieces

    monkeypatch.setattr(_publish_pieces, "_PAUSE", 0)
    size = (folder / "archives" / "train 0.zarr.zip").stat().st_size
    piece = size // 11 - 1
    with running(Nextcloud, **nextcloud_state(busy={"00002": 2})) as (url, state):
        there = WebDAVPublisher(
            f"{url}/remote.php/dav/files/me", "pairs", share=True, pieces_from=size, piece_bytes=piece
        )
        link = there.put(folder / "archives" / "train 0.zarr.zip", "archives/train 0.zarr.zip")
        there.put(folder / "manifest.json", "manifest.json")
        with urllib.request.urlopen(link) as answer:
            assert answer.read() == (folder / "archives" / "train 0.zarr.zip").read_bytes()
        puts = [(path.rsplit("/", 1)[1], n) for method, path, n in state["asked"] if method == "PUT"]
        assert [name for name, _ in puts[:4]] == ["00001", "00002", "00002", "00002"]
        assert [name for name, _ in puts[4:]] == [f"{k:05d}" for k in range(3, 13)] + ["manifest.json.sending"]
        assert {n for _, n in puts[:-2]} == {piece} and 0 < puts[-2][1] < piece
        assert sum("/uploads/" in path for path in [*state["files"], *state["folders"]]) == 0
        assert {path.rsplit("/", 1)[1] for path in state["files"]} == {"train 0.zarr.zip", "manifest.json"}


@pytest.mark.parametrize("trouble", [{"busy": {"00002": 9}}, {"lose": "00002"}])
def test_pieces_that_cannot_be_sent_are_taken_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch, trouble: dict[str, Any]
) -> None:
    from corpuscle.corpus.pairs import _publish_pieces

    monkeypatch.setattr(_publish_pieces, "_PAUSE", 0)
    before = content(folder)
    with running(Nextcloud, **nextcloud_state(**trouble)) as (url, state):
        there = WebDAVPublisher(url, "pairs", share=True, pieces_from=1, piece_bytes=50_000)
        with pytest.raises(OutputError, match=r"archives/train 0.zarr.zip: could not be sent .*HTTP (503|400)"):
            publish(folder, there)
        assert state["asked"][-1][0] == "DELETE"
        assert state["files"] == {} and not any("/uploads/" in path for path in state["folders"])
    assert content(folder) == before


def test_a_file_of_very_many_pieces_gets_larger_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from corpuscle.corpus.pairs import _publish_pieces

    monkeypatch.setattr(_publish_pieces, "MOST_PIECES", 4)
    (tmp_path / "large").write_bytes(bytes(range(10)) * 10)
    with running(Nextcloud, **nextcloud_state()) as (url, state):
        WebDAVPublisher(url, share=True, pieces_from=1, piece_bytes=3).put(tmp_path / "large", "large")
        assert [n for method, _, n in state["asked"] if method == "PUT"] == [25] * 4
        assert state["files"]["/remote.php/dav/files/me/large"] == (tmp_path / "large").read_bytes()
    with pytest.raises(OptionError, match="at least 1"):
        WebDAVPublisher(url, piece_bytes=0)


# Zenodo and the Hub -------------------------------------------------------------------------------------------------


def test_zenodo_keeps_archives_card_and_one_zip(folder: Path, tmp_path: Path) -> None:
    from datasets import load_from_disk

    with running(Zenodo, token=SECRET, files={}, drafts=0) as (url, state):
        manifest = publish(folder, ZenodoPublisher(base=url, metadata={"title": "Pairs"}))
        check_links(folder, manifest)
        assert state["drafts"] == 1 and state["metadata"] == {"metadata": {"title": "Pairs"}}
        assert set(state["files"]) == {"train 0.zarr.zip", "test 0.zarr.zip", "dataset.zip", "README.md"}
        assert manifest.archives[0].link == f"{url}/records/77/files/train%200.zarr.zip?download=1"
        assert state["files"]["train 0.zarr.zip"] == (folder / manifest.archives[0].file).read_bytes()
        with zipfile.ZipFile(io.BytesIO(state["files"]["dataset.zip"])) as pack:
            pack.extractall(tmp_path / "unpacked")
        assert load_from_disk(str(tmp_path / "unpacked"))["train"][0]["adata_link"] == manifest.archives[0].link
        publish(folder, ZenodoPublisher(77, base=url))
        assert state["drafts"] == 1


def test_zenodo_that_keeps_other_bytes_or_asks_for_another_server(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(folder)
    with running(Zenodo, token=SECRET, files={}, drafts=0, damage=True) as (url, state):
        with pytest.raises(OutputError, match="its MD5 differs"):
            publish(folder, ZenodoPublisher(base=url))
        state["damage"], state["bucket"] = False, "https://evil.example"
        with pytest.raises(OutputError, match="another server"):
            publish(folder, ZenodoPublisher(base=url))
        monkeypatch.setenv("ZENODO_TOKEN", "another")
        with pytest.raises(OutputError, match="HTTP 401, credentials refused"):
            publish(folder, ZenodoPublisher(base=url))
    assert content(folder) == before


def test_zenodo_knows_no_folders(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    with running(Zenodo, token=SECRET, files={}, drafts=0) as (url, _):
        there = ZenodoPublisher(base=url)
        there.put(tmp_path / "x", "a/x")
        there.put(tmp_path / "x", "a/x")
        with pytest.raises(OptionError, match="same last name as a/x"):
            there.put(tmp_path / "x", "b/x")


def test_the_hub_gets_archives_and_then_rows_with_card_in_one_commit(folder: Path) -> None:
    with running(Hub, token=SECRET, files={}, commits=[]) as (url, state):
        manifest = publish(folder, HubPublisher("me/pairs", base=url))
        check_links(folder, manifest)
        assert manifest.archives[0].link == f"{url}/datasets/me/pairs/resolve/main/archives/train%200.zarr.zip"
        assert state["files"] == content(folder)
        assert state["commits"][0] == ["archives/test 0.zarr.zip", "archives/train 0.zarr.zip"]
        assert len(state["commits"]) == 2 and {"README.md", "manifest.json", "dataset_dict.json"} <= set(
            state["commits"][1]
        )
        assert state["made"]["visibility"] == "private"


def test_the_hub_refuses_in_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = content(folder)
    with running(Hub, token="another", files={}, commits=[]) as (url, _):
        with pytest.raises(OutputError, match="HTTP 401, credentials refused") as caught:
            publish(folder, HubPublisher("me/pairs", base=url))
        assert SECRET not in str(caught.value)
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(OptionError, match="HF_TOKEN is not set"):
        publish(folder, HubPublisher("me/pairs"))
    assert content(folder) == before


@pytest.mark.parametrize(
    "url", ["http://data.example.org", "https://me:pw@data.example.org", "ftp://data.example.org", "data.example.org"]
)
def test_credentials_go_only_where_they_are_safe(url: str) -> None:
    for make in (WebDAVPublisher, lambda base: ZenodoPublisher(base=base), lambda base: HubPublisher("a/b", base=base)):
        with pytest.raises(OptionError) as caught:
            make(url)
        assert "pw" not in str(caught.value)


@pytest.mark.parametrize("name", ["pairs", "a/b/c", "../x", "a/../b", ""])
def test_a_repository_is_owner_and_name(name: str) -> None:
    with pytest.raises(OptionError, match="owner/name"):
        HubPublisher(name)


def test_a_manifest_that_names_files_outside_sends_nothing(folder: Path, tmp_path: Path) -> None:
    plain = json.loads((folder / "manifest.json").read_text())
    plain["archives"][0]["file"] = "../../secret"
    (folder / "manifest.json").write_text(json.dumps(plain))
    with pytest.raises(SourceError, match="outside the data set"):
        publish(folder, FolderPublisher(tmp_path / "out"))
