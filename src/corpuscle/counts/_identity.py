"""What a fitted thing was fitted on, so that it is not applied to something else: genes and files, in short."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from corpuscle.errors import GeneError, SourceError

if TYPE_CHECKING:
    from corpuscle.counts._counts import Counts

__all__ = ["check_genes", "gene_hash", "identities"]

#: Bytes hashed at each end of a file: enough to tell files apart, and no pass over 30 GB.
END_BYTES = 2**20
#: Names that a message lists.
SHOWN = 3


def gene_hash(names: Sequence[str]) -> str:
    """SHA-256, in hexadecimal, of the gene names joined by newlines: equal for the same genes in the same order."""
    return hashlib.sha256("\n".join(map(str, names)).encode()).hexdigest()


def check_genes(
    known: Sequence[str], counts: Counts, what: str, *, ids: Sequence[str] | None = None
) -> np.ndarray[Any, Any]:
    """Where the known genes are in counts.

    Parameters
    ----------
    known
        (g,) names of the genes that something was made from.
    counts
        What it is to be applied to; genes beyond the known ones do not matter.
    what
        What it is, for the message: ``"the fitted log2_qn of target.npz"``.
    ids
        (g,) ids of the known genes, by which columns of one name are told apart (``var["gene_id"]``).

    Returns
    -------
    numpy.ndarray
        (g,) int64 positions.

    Raises
    ------
    GeneError
        Known genes are missing, or a name stands for several columns.
    """
    wanted = [str(name) for name in known]
    names = counts.var_names.astype(str)
    if len(wanted) == len(names) and names.equals(names.__class__(wanted)):
        return np.arange(len(wanted), dtype=np.int64)
    first_n = np.flatnonzero(~names.duplicated())
    place_g = names[first_n].get_indexer(wanted)
    missing = [name for name, place in zip(wanted, place_g, strict=True) if place < 0]
    if missing:
        raise GeneError(
            f"{counts.name}: {len(missing):,} of the {len(wanted):,} genes of {what} are missing, such as "
            f"{', '.join(missing[:SHOWN])}; {_first_difference(wanted, list(names))}; give counts of the same "
            f"reference, or fit again"
        )
    index_g = first_n[place_g].astype(np.int64)
    twice = set(names[names.duplicated()])
    unclear = [name for name in dict.fromkeys(wanted) if name in twice]
    if unclear and ids is not None and "gene_id" in counts.var:
        keys = list(zip(names, counts.var["gene_id"].astype(str), strict=True))
        place_of = {key: place for place, key in reversed(list(enumerate(keys)))}
        found = [place_of.get((name, str(one)), -1) for name, one in zip(wanted, ids, strict=True)]
        clear = [place >= 0 or name not in twice for place, name in zip(found, wanted, strict=True)]
        if all(clear):
            return np.where(np.array(found) >= 0, found, index_g)
    if unclear:
        raise GeneError(
            f"{counts.name}: {len(unclear):,} genes of {what} name several columns, such as "
            f"{', '.join(unclear[:SHOWN])}; keep one column a gene name"
        )
    return index_g


def _first_difference(known: list[str], names: list[str]) -> str:
    pairs = list(zip(known, names, strict=False))
    place = next((i for i, (one, other) in enumerate(pairs) if one != other), len(pairs))
    if place == len(pairs):
        return f"the first {place:,} genes agree, and then there are {len(names):,} for {len(known):,}"
    return f"the lists first differ at gene {place + 1:,}: {known[place]} against {names[place]}"


def identities(counts: Counts) -> list[dict[str, Any]]:
    """Name, size, time of change and ends of every file that counts come from, for provenance.

    Returns
    -------
    list of dict
        ``name`` (the file's, without its folder), ``size`` in bytes, ``mtime`` in seconds, and ``sha256`` of its
        first and last MiB. Of a folder, ``sha256`` is of its files' names and sizes. What is in memory has only a
        name; the rest of it is None.
    """
    return [_identity(name, path) for name, path in dict.fromkeys(_places(counts))]


def _places(counts: Counts) -> Iterator[tuple[str, Path | None]]:
    for source in counts.sources:
        base = getattr(source, "base", None)  # of a view, what it looks at
        if base is not None:
            yield from _places(base)
        else:
            yield source.name, source.path


def _identity(name: str, path: Path | None) -> dict[str, Any]:
    if path is None:
        return {"name": name, "size": None, "mtime": None, "sha256": None}
    try:
        stat = path.stat()
        digest, size = _folder_digest(path) if path.is_dir() else (_ends_digest(path, stat.st_size), stat.st_size)
    except OSError as error:
        raise SourceError(f"{name}: cannot be read ({error.strerror or error}); check that it is still there") from None
    return {"name": path.name, "size": size, "mtime": stat.st_mtime, "sha256": digest}


def _ends_digest(path: Path, size: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        digest.update(file.read(END_BYTES))
        if size > END_BYTES:
            file.seek(max(END_BYTES, size - END_BYTES))
            digest.update(file.read(END_BYTES))
    return digest.hexdigest()


def _folder_digest(path: Path) -> tuple[str, int]:
    files = sorted((str(file.relative_to(path)), file.stat().st_size) for file in path.rglob("*") if file.is_file())
    text = "\n".join(f"{name} {size}" for name, size in files)
    return hashlib.sha256(text.encode()).hexdigest(), sum(size for _, size in files)
