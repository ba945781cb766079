"""The list of members beside a Zarr folder: what lets a plain web server, which lists no folders, serve one.

It holds name, size and SHA-256 of every file. The SHA-256 of the folder is made of just these names and checksums, so rows that
know it vouch for the list too.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpuscle.corpus.manifest import file_sha256, write_atomic
from corpuscle.corpus.pairs._archive_hash import archive_files

__all__ = ["MEMBERS", "Member", "digest_of", "parse_members", "write_members"]

#: What follows the name of the folder in that of its list.
MEMBERS = ".members.json"
SCHEMA = "corpuscle-members/1"
MOST = 1_000_000


@dataclass(frozen=True)
class Member:
    """One file: its name below the folder with forward slashes, its size, and its SHA-256."""

    name: str
    bytes: int
    sha256: str


def digest_of(members: Iterable[Member]) -> str:
    """SHA-256 of the folder with these members, as :func:`archives.archive_sha256` makes it."""
    digest = hashlib.sha256()
    for member in sorted(members, key=lambda one: one.name):
        digest.update(f"{member.sha256}  {member.name}\n".encode())
    return digest.hexdigest()


def write_members(folder: Path) -> Path:
    """Write the list beside the folder, whole or not at all; return its path."""
    found = [Member(name, path.stat().st_size, file_sha256(path)) for name, path in archive_files(folder)]
    content = {"schema": SCHEMA, "members": [[one.name, one.bytes, one.sha256] for one in found]}
    path = folder.with_name(folder.name + MEMBERS)
    write_atomic(path, (json.dumps(content, indent=0, ensure_ascii=False) + "\n").encode())
    return path


def parse_members(text: str) -> list[Member]:
    """Members from the text of a list that may come from anyone.

    Raises
    ------
    ValueError
        It is not of this form, or has a name that leads out of the folder or is there twice.
    """
    try:
        content = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA or set(content) != {"schema", "members"}:
        raise ValueError(f"its schema is not {SCHEMA!r}")
    rows = content["members"]
    if not isinstance(rows, list) or not 0 < len(rows) <= MOST:
        raise ValueError(f"it does not list 1 to {MOST:,} members")
    members = [_member(row) for row in rows]
    names = {one.name for one in members}
    if len(names) != len(members):
        raise ValueError("a member is there twice")
    # A name that is also a folder of another could not be written.
    parents = {name[:place] for name in names for place, letter in enumerate(name) if letter == "/"}
    if names & parents:
        raise ValueError(f"{ascii(min(names & parents))[:80]} is a file and a folder")
    return members


def _member(row: Any) -> Member:
    if not isinstance(row, list) or [type(part) for part in row] != [str, int, str]:
        raise ValueError("a member is not a name, a size and a SHA-256")
    name, size, sha256 = row
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or re.search(r"[\\:\x00-\x1f\x7f]", name) or len(name) > 1024:
        raise ValueError(f"the name {ascii(name)[:80]} leads out of the folder")
    if size < 0 or not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise ValueError(f"size or SHA-256 of {ascii(name)[:80]} are none")
    return Member(name, size, sha256)
