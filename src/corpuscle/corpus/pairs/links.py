"""Follow a share link to its archive: fetched once, verified, and never half in the cache.

A link is a bare path, ``file:``, ``http(s):`` or any scheme of fsspec (``s3:`` and others). What is wrong with one has
its own error, which names the link and the number of rows that need it; after it the cache is as before, so the same
call works once the server is mended.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from corpuscle.corpus.pairs._archive_hash import archive_sha256
from corpuscle.corpus.pairs._link_cache import Entry, remove
from corpuscle.corpus.pairs._link_check import FORMATS, Limits, check_archive
from corpuscle.corpus.pairs._link_errors import (
    DeadLink,
    LinkError,
    MissingId,
    MissingKey,
    SharePage,
    TooLarge,
    TruncatedArchive,
    UnsafeArchive,
    UnsafeLink,
    WrongChecksum,
    WrongFormat,
    ZipBomb,
)
from corpuscle.corpus.pairs._link_fsspec import download_fsspec
from corpuscle.corpus.pairs._link_http import download_http
from corpuscle.corpus.pairs._link_members import download_members, is_folder
from corpuscle.corpus.pairs._link_words import About, Target, download_page, resolve
from corpuscle.errors import OptionError, OutputError

__all__ = [
    "DeadLink",
    "LinkError",
    "MissingId",
    "MissingKey",
    "SharePage",
    "TooLarge",
    "TruncatedArchive",
    "UnsafeArchive",
    "UnsafeLink",
    "WrongChecksum",
    "WrongFormat",
    "ZipBomb",
    "fetch",
]

_MAX_BYTES = 32 << 30


def fetch(
    link: str,
    cache: str | Path,
    *,
    sha256: str | None = None,
    format: str | None = None,
    base: str | Path | None = None,
    max_bytes: int = _MAX_BYTES,
    max_unpacked: int | None = None,
    timeout: float = 60.0,
    n_rows: int | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Path:
    """Follow ``link`` and return the path of a verified archive on this machine.

    A local archive is verified where it lies and not copied. One from elsewhere is kept in ``cache``, under its SHA-256
    where that is given and else under its URL (and then it is not asked for again: give the SHA-256, or empty the
    cache, where a server may replace a file). Several processes that ask for the same link download it once.

    Parameters
    ----------
    link
        Bare path, ``file:``, ``http(s):``, or a URL that fsspec opens. A Nextcloud share page is followed to its file,
        the link of a Zenodo draft to the published record.
    cache
        Folder of downloads, made when missing.
    sha256
        SHA-256 of the archive (:func:`archives.archive_sha256`); None to check only that it is whole.
    format
        ``"zarr.zip"``, ``"zarr"`` or ``"h5ad"``; None to tell from the bytes. Over HTTP, a ``"zarr"`` folder needs the list of
        its members beside it, at the link with ``.members.json`` after it, as building and publishing put it there.
    base
        Folder or URL that a relative link starts from; it must stay below. None for the working folder.
    max_bytes
        Largest download.
    max_unpacked
        Largest size an archive may unpack to; None for four times ``max_bytes``.
    timeout
        Seconds without any byte after which a server is given up.
    n_rows
        Rows of the data set with this link, for the message.
    storage_options
        For fsspec, such as ``{"endpoint_url": ...}`` for s3.

    Raises
    ------
    LinkError
        One of DeadLink, SharePage, TruncatedArchive, WrongChecksum, WrongFormat, UnsafeLink, UnsafeArchive, ZipBomb,
        TooLarge.
    OptionError
        The format or checksum is none, or the package for such links is missing.
    OutputError
        The cache cannot be written.
    """
    about = About(str(link), n_rows)
    if format is not None and format not in FORMATS:
        raise OptionError(f"{about}: format {format!r} is not known; use one of {', '.join(FORMATS)}")
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise OptionError(
            f"{about}: sha256 {ascii(sha256)[:80]} is not 64 hexadecimal digits; correct it or leave it out"
        )
    sha256 = sha256.lower() if sha256 else None
    limits = Limits(4 * max_bytes if max_unpacked is None else max_unpacked)
    target = resolve(link, base, about)
    if target.kind == "local":
        return _local(Path(target.where), about, sha256, format, limits)
    entry = Entry(Path(cache), target.where, sha256)
    with entry.held():
        found = entry.read()
        if found is not None:
            path, known = found
            if known.bytes > max_bytes:
                raise TooLarge(f"{about}: is {known.bytes:,} bytes and the limit is {max_bytes:,}; allow more")
            if format is not None and known.format != format:
                raise WrongFormat(f"{about}: is {known.format} and the rows say {format}; correct the link or the rows")
            return path
        return _download(target, entry, about, sha256, format, limits, max_bytes, timeout, storage_options)


def _local(path: Path, about: About, sha256: str | None, format: str | None, limits: Limits) -> Path:
    if not path.exists():
        raise DeadLink(f"{about}: there is no such file; put it back or correct the link")
    try:
        _verify(path, about, sha256, format, limits)
    except OSError as error:
        raise DeadLink(f"{about}: cannot be read ({error.strerror or error}); see to its permissions") from None
    return path


def _download(
    target: Target,
    entry: Entry,
    about: About,
    sha256: str | None,
    format: str | None,
    limits: Limits,
    max_bytes: int,
    timeout: float,
    options: Mapping[str, Any] | None,
) -> Path:
    if not entry.remembered(target.where):
        entry.drop()
    for attempt in range(2):
        resumed = entry.part.is_file()
        keep: tuple[type[BaseException], ...] = (TruncatedArchive, KeyboardInterrupt)
        try:
            if target.kind == "http" and is_folder(target.where, format):
                etag = download_members(target.where, entry, about, sha256=sha256, max_bytes=max_bytes, timeout=timeout)
            elif target.kind == "http":
                target, etag = _http(target, entry, about, max_bytes, timeout)
            else:
                etag = download_fsspec(target.where, entry, about, max_bytes=max_bytes, options=options)
            keep = ()  # what is wrong from here on is wrong with the bytes
            digest, found = _verify(entry.part, about, sha256, format, limits)
            return entry.commit(target.where, etag, digest, found)
        except BaseException as error:
            if not (isinstance(error, keep) and entry.remembered(target.where)):
                entry.drop()
            # A file put together from two transfers gets one fresh try: the server may have lied about the second half.
            if resumed and not keep and attempt == 0 and isinstance(error, LinkError):
                continue
            if isinstance(error, OSError):
                raise OutputError(f"{entry.cache}: cannot be written ({error.strerror}); free some space") from None
            raise
    raise AssertionError("unreachable")


def _http(target: Target, entry: Entry, about: About, max_bytes: int, timeout: float) -> tuple[Target, str]:
    try:
        return target, download_http(target.where, entry, about, max_bytes=max_bytes, timeout=timeout)
    except SharePage as page:
        behind = download_page(target.where)
        if behind is None:
            raise
        target = replace(target, where=behind)
        remove(entry.part)
        try:
            return target, download_http(behind, entry, about, max_bytes=max_bytes, timeout=timeout)
        except (DeadLink, SharePage):
            raise page from None


def _verify(path: Path, about: About, sha256: str | None, format: str | None, limits: Limits) -> tuple[str, str]:
    if path.is_dir():
        found = check_archive(path, about, format=format, limits=limits)
        digest = archive_sha256(path)
    else:
        digest = archive_sha256(path)
        # Of bytes that are wrong anyhow, say rather what they are than that they are wrong.
        found = check_archive(path, about, format=format, limits=limits, deep=digest != sha256)
    if sha256 is not None and digest != sha256:
        raise WrongChecksum(
            f"{about}: is another archive than the one of the rows (SHA-256 {digest[:12]}..., not {sha256[:12]}...); "
            "put the right one back or build the data set again"
        )
    return digest, found
