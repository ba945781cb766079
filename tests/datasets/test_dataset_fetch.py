"""Downloads against a server on this machine: what arrives is what the data set states, or nothing arrives."""

from __future__ import annotations

import errno
import shutil
import socket
from pathlib import Path

import pytest
from hub_server import COMMIT, REPO, serving

from corpuscle.datasets import fetch, list_remote
from corpuscle.errors import OptionError, OutputError, SourceError

A, B, C = "promoter_reporter/GSE1_x.h5ad", "promoter_reporter/GSE2.h5ad", "allelic_exclusion/GSE3_y_1.h5ad"
FILES = {A: b"a" * 5000, B: bytes(range(256)) * 40, C: b"", "README.md": b"card"}


def left(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(autouse=True)
def no_saved_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def test_lists_h5ad_files_with_sizes_and_checksums() -> None:
    with serving(FILES, plain={B}) as hub:
        files = list_remote(REPO, endpoint=hub.endpoint)
    assert [(file.path, file.size) for file in files] == [(C, 0), (A, 5000), (B, 10240)]
    assert [len(file.checksum) for file in files] == [64, 64, 40]
    assert {file.commit for file in files} == {COMMIT}


def test_fetches_everything_once_and_never_again(tmp_path: Path) -> None:
    with serving(FILES, plain={B}) as hub:
        first = fetch(REPO, out=tmp_path, endpoint=hub.endpoint)
        downloads = len([path for _, path, _ in hub.asked if "/resolve/" in path])
        again = fetch(REPO, out=tmp_path, endpoint=hub.endpoint)
        assert len([path for _, path, _ in hub.asked if "/resolve/" in path]) == downloads
    assert {file.status for file in first} == {"downloaded"} and {file.status for file in again} == {"present"}
    assert left(tmp_path) == {A, B, C}
    assert all((tmp_path / path).read_bytes() == FILES[path] for path in (A, B, C))


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["GSE1"], {A}),
        (["GSE2"], {B}),
        (["promoter_reporter"], {A, B}),
        (["promoter_reporter/"], {A, B}),
        (["GSE3_y_1.h5ad"], {C}),
        (["*/GSE1*", C], {A, C}),
    ],
)
def test_a_pattern_is_a_series_a_folder_a_name_or_a_glob(
    tmp_path: Path, patterns: list[str], expected: set[str]
) -> None:
    with serving(FILES) as hub:
        fetch(REPO, patterns=patterns, out=tmp_path, endpoint=hub.endpoint)
    assert left(tmp_path) == expected


def test_unknown_series_is_refused_before_any_download(tmp_path: Path) -> None:
    with serving(FILES) as hub, pytest.raises(OptionError, match="GSE9; there are GSE1, GSE2, GSE3"):
        fetch(REPO, patterns=["GSE1", "GSE9"], out=tmp_path, endpoint=hub.endpoint)
    assert left(tmp_path) == set()


def test_a_transfer_that_breaks_is_taken_up_where_it_stopped(tmp_path: Path) -> None:
    with serving({A: FILES[A]}, cut_after=[1200, 300]) as hub:
        fetch(REPO, out=tmp_path, endpoint=hub.endpoint)
        ranges = [asked for _, path, asked in hub.asked if "/resolve/" in path]
    assert ranges == [None, "bytes=1200-", "bytes=1500-"]
    assert (tmp_path / A).read_bytes() == FILES[A]


def test_a_transfer_that_stays_broken_is_continued_by_the_next_run(tmp_path: Path) -> None:
    with serving({A: FILES[A]}, cut_after=[1200, 0, 0, 0]) as hub:
        with pytest.raises(SourceError, match=r"broke off after 1,200 of 5,000 bytes .*run the same command again"):
            fetch(REPO, out=tmp_path, endpoint=hub.endpoint)
        assert not (tmp_path / A).exists()
        hub.asked.clear()
        fetch(REPO, out=tmp_path, endpoint=hub.endpoint)
        assert [asked for _, path, asked in hub.asked if "/resolve/" in path] == ["bytes=1200-"]
    assert left(tmp_path) == {A} and (tmp_path / A).read_bytes() == FILES[A]


def test_a_server_that_ignores_ranges_still_gives_the_whole_file(tmp_path: Path) -> None:
    with serving({B: FILES[B]}, cut_after=[4000], ranges=False) as hub:
        fetch(REPO, out=tmp_path, endpoint=hub.endpoint)
    assert (tmp_path / B).read_bytes() == FILES[B]


@pytest.mark.parametrize("plain", [set(), {A}])
def test_wrong_bytes_are_never_kept(tmp_path: Path, plain: set[str]) -> None:
    with (
        serving({A: FILES[A]}, served={A: b"b" * 5000}, plain=plain) as hub,
        pytest.raises(SourceError, match="checksum"),
    ):
        fetch(REPO, out=tmp_path, endpoint=hub.endpoint)
    assert left(tmp_path) == set()


def test_more_bytes_than_stated_are_never_kept(tmp_path: Path) -> None:
    with (
        serving({A: FILES[A]}, served={A: b"a" * 9000}) as hub,
        pytest.raises(SourceError, match="more than the 5,000"),
    ):
        fetch(REPO, out=tmp_path, endpoint=hub.endpoint)
    assert left(tmp_path) == set()


@pytest.mark.parametrize(
    "path", ["../evil.h5ad", "/etc/evil.h5ad", "a/../../evil.h5ad", "..\\evil.h5ad", "C:evil.h5ad"]
)
def test_a_path_that_leads_out_of_the_target_is_refused(tmp_path: Path, path: str) -> None:
    with serving({path: b"x", A: FILES[A]}) as hub, pytest.raises(SourceError, match="leads out of the target"):
        fetch(REPO, out=tmp_path / "out", endpoint=hub.endpoint)
    assert left(tmp_path) == set()


def test_a_checksum_that_is_a_path_is_refused(tmp_path: Path) -> None:
    sibling = {"rfilename": A, "size": 1, "lfs": {"size": 1, "sha256": "/../../../x", "pointerSize": 1}}
    listing = {"id": REPO, "sha": COMMIT, "siblings": [sibling]}
    with serving({A: b"x"}, listing=listing) as hub, pytest.raises(SourceError, match="no size or checksum"):
        fetch(REPO, out=tmp_path, endpoint=hub.endpoint)


def test_a_link_that_leads_out_of_the_target_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "promoter_reporter").symlink_to(tmp_path / "elsewhere")
    with serving({A: FILES[A]}) as hub, pytest.raises(OutputError, match="leads out"):
        fetch(REPO, out=tmp_path / "out", endpoint=hub.endpoint)
    assert left(tmp_path / "elsewhere") == set()


def test_a_file_with_other_content_is_replaced_only_when_told(tmp_path: Path) -> None:
    (tmp_path / A).parent.mkdir()
    (tmp_path / A).write_bytes(b"mine")
    with serving({A: FILES[A]}) as hub:
        with pytest.raises(OutputError, match="other content"):
            fetch(REPO, out=tmp_path, endpoint=hub.endpoint)
        assert (tmp_path / A).read_bytes() == b"mine"
        fetch(REPO, out=tmp_path, endpoint=hub.endpoint, overwrite=True)
    assert (tmp_path / A).read_bytes() == FILES[A]


def test_unknown_data_set_and_revision_and_bad_name() -> None:
    with serving(FILES) as hub:
        with pytest.raises(OptionError, match="no such data set"):
            list_remote("someone/other", endpoint=hub.endpoint)
        with pytest.raises(OptionError, match="no such revision"):
            list_remote(REPO, endpoint=hub.endpoint, revision="v9")
        with pytest.raises(OptionError, match="owner/name"):
            list_remote("not a name!", endpoint=hub.endpoint)


def test_an_answer_that_is_no_listing() -> None:
    with serving(FILES, listing=["what"]) as hub, pytest.raises(SourceError, match="not a data set's listing"):
        list_remote(REPO, endpoint=hub.endpoint)


def test_no_network_is_one_clear_line(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(SourceError, match="no connection to the server") as caught:
        fetch(REPO, out=tmp_path, endpoint=endpoint)
    assert "\n" not in str(caught.value)


def test_too_little_space_is_seen_before_the_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 10})
    with serving({A: FILES[A]}) as hub:
        files = list_remote(REPO, endpoint=hub.endpoint)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
        with pytest.raises(OutputError, match="free space"):
            fetch(REPO, out=tmp_path, endpoint=hub.endpoint)
        assert not [path for _, path, _ in hub.asked if "/resolve/" in path]
    assert files and left(tmp_path) == set()


def test_a_disk_that_fills_leaves_nothing_under_the_final_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    with serving({A: FILES[A]}) as hub:
        monkeypatch.setattr(Path, "replace", full)
        with pytest.raises(OutputError, match="No space left"):
            fetch(REPO, out=tmp_path, endpoint=hub.endpoint)
    assert not (tmp_path / A).exists()


def test_a_saved_token_stays_home_unless_given(tmp_path: Path) -> None:
    with serving({A: FILES[A]}) as hub:
        fetch(REPO, out=tmp_path / "1", endpoint=hub.endpoint)
        assert set(hub.tokens) == {None}
        fetch(REPO, out=tmp_path / "2", endpoint=hub.endpoint, token="hf_mine")
        assert hub.tokens[-1] == "Bearer hf_mine"
