"""Do the values of a manifest make sense together, and could any do harm? Types are checked before."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from corpuscle.corpus.pairs.manifest import ArchiveEntry, PairsManifest

__all__ = ["has_secret", "problems"]

_SPLITS = ("train", "validation", "test")
_ROWS = ("single", "pairs", "multiplets")
_FORMATS = ("zarr.zip", "zarr", "h5ad")
_SECRET = re.compile(r"token|secret|password|passwd|signature|credential|api_?key|access_?key", re.IGNORECASE)


def problems(manifest: PairsManifest) -> Iterator[str]:
    """What is wrong with the values of a manifest, each a phrase; all fields are there and of their types."""
    if manifest.row_format not in _ROWS:
        yield f"row_format {manifest.row_format[:60]!r} is not one of {', '.join(_ROWS)}"
    for split in manifest.splits:
        if split not in _SPLITS:
            yield f"split {split[:60]!r} is not one of {', '.join(_SPLITS)}"
    counts = [n for entry in manifest.splits.values() for n in (entry.rows, entry.cells, entry.groups or 0)]
    if min(counts, default=0) < 0 or manifest.sentence_genes < 0:
        yield "a number of rows, cells, groups or genes is negative"
    files = [entry.file for entry in manifest.archives] + [entry.file for entry in manifest.embedders]
    yield from (f"file {file[:80]!r} lies outside the data set" for file in files if not _inside(file))
    yield from _twice("file", files)
    yield from _twice("link", [entry.link for entry in manifest.archives])
    hashes = [h for entry in manifest.archives for h in (entry.sha256, entry.obs_hash)]
    hashes += [entry.sha256 for entry in manifest.embedders]
    yield from (f"{h[:80]!r} is not a SHA-256" for h in hashes if not re.fullmatch(r"[0-9a-f]{64}", h))
    for archive in manifest.archives:
        yield from _archive_problems(archive, manifest)


def _archive_problems(entry: ArchiveEntry, manifest: PairsManifest) -> Iterator[str]:
    if entry.format not in _FORMATS:
        yield f"format {entry.format[:60]!r} of {entry.file} is not one of {', '.join(_FORMATS)}"
    if entry.split not in manifest.splits:
        yield f"{entry.file} is of the split {entry.split[:60]!r}, which the data set does not have"
    if min(entry.bytes, entry.n_obs, *(width for width, _ in entry.obsm.values()), 0) < 0:
        yield f"a size of {entry.file} is negative"
    if not entry.link or any(ord(letter) < 32 for letter in entry.link):
        yield f"link of {entry.file} is empty or has control characters"
    elif has_secret(entry.link):
        yield f"link of {entry.file} has a password or token in it"


def has_secret(link: str) -> bool:
    """Whether a link carries what only its owner may know."""
    try:
        parts = urlsplit(link)
        return bool(parts.password) or any(_SECRET.search(key) for key, _ in parse_qsl(parts.query))
    except ValueError:
        return False


def _inside(file: str) -> bool:
    parts = file.split("/")
    plain = not any(part in ("", ".", "..") for part in parts)
    return plain and not re.search(r"[\\\x00-\x1f]", file) and not re.match(r"[A-Za-z]:", file)


def _twice(what: str, values: Iterable[str]) -> Iterator[str]:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            yield f"the {what} {value[:80]!r} is there twice"
        seen.add(value)
