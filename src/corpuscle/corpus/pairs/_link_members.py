"""A Zarr folder over HTTP: its list of members first, then member after member, each compared with its checksum."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from corpuscle.corpus.manifest import file_sha256
from corpuscle.corpus.pairs._archive_members import MEMBERS, Member, digest_of, parse_members
from corpuscle.corpus.pairs._link_cache import Entry, remove
from corpuscle.corpus.pairs._link_errors import DeadLink, SharePage, TooLarge, UnsafeArchive, WrongChecksum
from corpuscle.corpus.pairs._link_http import download_http
from corpuscle.corpus.pairs._link_words import About
from corpuscle.errors import OutputError

__all__ = ["download_members", "is_folder"]

#: Largest list of members.
_MOST_LISTED = 256 << 20


def is_folder(url: str, format: str | None) -> bool:
    """Whether a link leads to a Zarr folder, by what the rows say and else by its name."""
    return format == "zarr" or (format is None and urlsplit(url).path.rstrip("/").endswith(".zarr"))


def download_members(
    url: str, entry: Entry, about: About, *, sha256: str | None, max_bytes: int, timeout: float
) -> str:
    """Fetch the folder at ``url`` into ``entry.part``; there is no ETag for it, so return "".

    Raises
    ------
    DeadLink
        No list of members is beside the folder, or a member is not there.
    WrongChecksum
        The list is of another folder than the rows', or a member is not the one of the list.
    UnsafeArchive
        The list is none, or names files outside the folder.
    TooLarge
        The members together are over the limit.
    """
    work = entry.part.with_name(entry.part.name + ".members")
    remove(work)
    remove(entry.part)
    try:
        work.mkdir()
        members = _listed(url, work, about, sha256, max_bytes, timeout)
        for member in members:
            _fetch_one(url, member, work, entry.part, about, timeout)
    except OSError as error:
        raise OutputError(f"{entry.cache}: cannot be written ({error.strerror}); free some space") from None
    finally:
        with suppress(OSError):
            remove(work)
    return ""


def _listed(url: str, work: Path, about: About, sha256: str | None, max_bytes: int, timeout: float) -> list[Member]:
    where = _below(url, MEMBERS)
    entry = Entry(work, where, None)
    try:
        download_http(where, entry, about, max_bytes=min(max_bytes, _MOST_LISTED), timeout=timeout)
    except (DeadLink, SharePage) as error:
        if isinstance(error, DeadLink) and error.status not in (404, 410):
            raise
        raise DeadLink(
            f"{about}: is a Zarr folder, which cannot be listed over HTTP, and no {MEMBERS} is beside it; share it as zarr.zip, or "
            "build and publish it again"
        ) from None
    try:
        members = parse_members(entry.part.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UnsafeArchive(f"{about}: its list of members cannot be used ({error}); publish it again") from None
    if sha256 is not None and digest_of(members) != sha256:
        raise WrongChecksum(
            f"{about}: the list of members is of another archive than that of the rows; publish it again"
        )
    total = sum(member.bytes for member in members)
    if total > max_bytes:
        raise TooLarge(f"{about}: is {total:,} bytes and the limit is {max_bytes:,}; allow more if you trust it")
    return members


def _fetch_one(url: str, member: Member, work: Path, folder: Path, about: About, timeout: float) -> None:
    where = _below(url, f"/{quote(member.name)}")
    entry = Entry(work, where, member.sha256)
    named = replace(about, link=f"{about.link.rstrip('/')}/{member.name}")
    try:
        download_http(where, entry, named, max_bytes=member.bytes, timeout=timeout)
        wrong = file_sha256(entry.part) != member.sha256
    except TooLarge:
        wrong = True
    if wrong:
        raise WrongChecksum(f"{named}: is another file than the one of the archive; publish the archive again")
    target = folder.joinpath(*member.name.split("/"))
    target.parent.mkdir(parents=True, exist_ok=True)
    entry.part.replace(target)
    entry.drop()


def _below(url: str, more: str) -> str:
    """The address with something after its path."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + more))
