"""What a data set on the Hub holds, and the bytes of one of its files; the only place that speaks to a server."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from corpuscle.errors import CorpuscleError, OptionError, OutputError, SourceError

__all__ = ["RemoteFile", "download", "list_remote", "same_content"]

TIMEOUT_S = 30.0
CHUNK = 1 << 20
#: A transfer that breaks is taken up where it stopped; this many breaks without a new byte end it.
MAX_STALLS = 3
CHECKSUM = re.compile(r"[0-9a-f]{64}|[0-9a-f]{40}")
UNSAFE = re.compile(r"[\\\x00-\x1f]|^[A-Za-z]:")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of a data set on the Hub.

    Attributes
    ----------
    path
        Its path inside the data set.
    size
        Bytes.
    sha256
        Checksum of its content, where the Hub keeps one (large files).
    git_sha1
        Checksum of its content as a git blob.
    commit
        The commit that was listed; a download asks for this one.
    """

    path: str
    size: int
    sha256: str
    git_sha1: str
    commit: str

    @property
    def checksum(self) -> str:
        """The checksum that a download is held to."""
        return self.sha256 or self.git_sha1


def list_remote(
    dataset: str, *, revision: str = "main", endpoint: str | None = None, token: str | None = None
) -> list[RemoteFile]:
    """List the ``.h5ad`` files of a data set on the Hub, by path.

    Parameters
    ----------
    dataset
        ``owner/name``.
    revision
        Branch, tag or commit.
    endpoint
        Address of the server; None for the one the Hub library is set to. A saved token is never sent to a server
        named here.
    token
        Access token, for a private data set; None for the one the Hub library has saved.

    Raises
    ------
    OptionError
        The data set or the revision does not exist, or needs a token.
    SourceError
        The server cannot be reached or answers nonsense, or the listing holds a path that leads out of the target.
    """
    from huggingface_hub import HfApi

    api = HfApi(endpoint=endpoint, token=_token(endpoint, token))
    try:
        with _told(f"data set {dataset}"):
            info = api.dataset_info(dataset, revision=revision, files_metadata=True, timeout=TIMEOUT_S)
    except (ValueError, LookupError, TypeError, AttributeError):
        raise SourceError(f"{dataset}: the server's answer is not a data set's listing; check --endpoint") from None
    files = []
    for entry in info.siblings or []:
        if not entry.rfilename.endswith(".h5ad"):
            continue
        _refuse_escape(entry.rfilename, dataset)
        file = RemoteFile(
            entry.rfilename,
            entry.size,
            entry.lfs.sha256 if entry.lfs else "",
            entry.blob_id or "",
            info.sha or revision,
        )
        if not (isinstance(file.size, int) and CHECKSUM.fullmatch(file.checksum)):
            raise SourceError(f"{dataset}: the server states no size or checksum for {file.path}; try again later")
        files.append(file)
    return sorted(files, key=lambda file: file.path)


def download(
    dataset: str,
    file: RemoteFile,
    target: Path,
    *,
    endpoint: str | None = None,
    token: str | None = None,
    advance: Callable[[int], None] = lambda n: None,
) -> None:
    """Bring one file under ``target``: into a part file beside it, checked, then renamed.

    A part file of an earlier attempt at the same content is continued. ``advance`` is told of every byte had.

    Raises
    ------
    SourceError
        The transfer broke off (what came is kept for the next attempt), or the content has another checksum
        (what came is deleted).
    OutputError
        The disk is full, or the folder cannot be written.
    """
    with _on_disk(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.{file.checksum[:12]}.part")
        had = part.stat().st_size if part.exists() else 0
        if had > file.size:
            os.truncate(part, 0)
            had = 0
        _refuse_full_disk(target, file.size - had)
        part.touch()
        advance(had)
        _transfer(dataset, file, part, endpoint, token, advance)
        _keep_if_true(file, part, target)


def same_content(file: RemoteFile, path: Path) -> bool:
    """Whether the bytes at ``path`` are those of the remote file."""
    return path.stat().st_size == file.size and _checksum(file, path) == file.checksum


class _BrokenOffError(Exception):
    """The connection ended before the file did."""


def _refuse_full_disk(target: Path, needed: int) -> None:
    free = shutil.disk_usage(target.parent).free
    if free < needed:
        raise OutputError(
            f"cannot write {target}: {needed / 1e6:,.0f} MB are to come and {free / 1e6:,.0f} MB are free; "
            "free space or choose another folder with -o"
        )


def _transfer(
    dataset: str,
    file: RemoteFile,
    part: Path,
    endpoint: str | None,
    token: str | None,
    advance: Callable[[int], None],
) -> None:
    stalls, had = 0, part.stat().st_size
    while had < file.size:
        try:
            with _told(file.path):
                for n_bytes in _stream(dataset, file, part, had, endpoint, token):
                    had, stalls = had + n_bytes, 0
                    advance(n_bytes)
        except _BrokenOffError as error:
            stalls += 1
            if stalls > MAX_STALLS:
                raise SourceError(
                    f"{file.path}: the transfer broke off after {had:,} of {file.size:,} bytes ({error}); "
                    "run the same command again to continue"
                ) from None


def _stream(
    dataset: str, file: RemoteFile, part: Path, had: int, endpoint: str | None, token: str | None
) -> Iterator[int]:
    from huggingface_hub import get_session, hf_hub_url
    from huggingface_hub.errors import HTTPError
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

    url = hf_hub_url(dataset, file.path, repo_type="dataset", revision=file.commit, endpoint=endpoint)
    headers = build_hf_headers(token=_token(endpoint, token)) | {"Accept-Encoding": "identity"}
    if had:
        headers["Range"] = f"bytes={had}-"
    request = get_session().stream("GET", url, headers=headers, timeout=TIMEOUT_S, follow_redirects=True)
    try:
        with request as response:
            if response.status_code >= 400:
                response.read()
                hf_raise_for_status(response)
            whole = response.status_code != 206  # the server did not take the range and starts again
            with part.open("r+b") as out:
                out.seek(0 if whole else had)
                out.truncate()
                if whole and had:
                    yield -had
                for chunk in response.iter_raw():
                    out.write(chunk)
                    yield len(chunk)
                    if out.tell() > file.size:
                        part.unlink()
                        raise SourceError(
                            f"{file.path}: the server sends more than the {file.size:,} bytes it states; try again"
                        )
    except HTTPError as error:
        if getattr(error, "response", None) is not None:  # an answer with an error status, not a broken connection
            raise
        raise _BrokenOffError(type(error).__name__) from None
    if part.stat().st_size < file.size:
        raise _BrokenOffError("the server ended it")


def _keep_if_true(file: RemoteFile, part: Path, target: Path) -> None:
    found = _checksum(file, part)
    if found != file.checksum:
        part.unlink()
        raise SourceError(
            f"{file.path}: the bytes received have checksum {found[:16]}…, the data set states {file.checksum[:16]}…; "
            "nothing was kept, try again"
        )
    part.replace(target)


def _checksum(file: RemoteFile, path: Path) -> str:
    digest = hashlib.sha256() if file.sha256 else hashlib.sha1(f"blob {file.size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as content:
        while chunk := content.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _refuse_escape(path: str, dataset: str) -> None:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or UNSAFE.search(path):
        raise SourceError(
            f"{dataset}: lists {path!r}, a path that leads out of the target folder; nothing was downloaded"
        )


def _token(endpoint: str | None, token: str | None) -> str | bool | None:
    return False if token is None and endpoint is not None else token


@contextmanager
def _on_disk(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"cannot write {target}: {error.strerror or error}; free space or choose another folder with -o, run again"
        ) from None


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Turn the failures of the Hub library into one line each."""
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        HTTPError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        yield
    except (CorpuscleError, _BrokenOffError):
        raise
    except HFValidationError:
        raise OptionError(f"{what}: not a name that a data set can have; write owner/name") from None
    except GatedRepoError:
        raise OptionError(f"{what}: access must be granted first; log in and set HF_TOKEN") from None
    except RepositoryNotFoundError:
        raise OptionError(
            f"{what}: there is no such data set, or it is private; check the name or set HF_TOKEN"
        ) from None
    except RevisionNotFoundError:
        raise OptionError(f"{what}: there is no such revision; check --revision") from None
    except EntryNotFoundError:
        raise SourceError(f"{what}: listed by the server and not there; list again") from None
    except OfflineModeIsEnabled:
        raise SourceError(f"{what}: HF_HUB_OFFLINE is set; unset it to download") from None
    except HfHubHTTPError as error:
        status: Any = getattr(error.response, "status_code", "an error")
        raise SourceError(f"{what}: the server answers {status}; try again later") from None
    except HTTPError as error:
        raise SourceError(
            f"{what}: no connection to the server ({type(error).__name__}); check the network, a proxy, or --endpoint"
        ) from None
