"""The same data set with other links: rows, manifest and card change together or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpuscle.corpus.pairs._archive_hash import archive_files
from corpuscle.corpus.pairs.card import render_card
from corpuscle.corpus.pairs.manifest import PairsManifest, write_pairs_manifest
from corpuscle.errors import OutputError, SourceError

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

__all__ = ["relinked"]


def relinked(folder: Path, manifest: PairsManifest, links: dict[str, str]) -> PairsManifest:
    """Replace links in the rows, the manifest and the card of a data set; return the new manifest.

    A copy is made beside the folder, in which everything that stays is the same file on disk, and takes the folder's name when it
    is whole.

    Parameters
    ----------
    folder
        The data set.
    manifest
        Its manifest.
    links
        New link by file of the archive.

    Raises
    ------
    SourceError
        The rows cannot be read or have a link that the manifest does not have.
    OutputError
        The copy cannot be written.
    """
    moved = manifest.with_links(links)
    if moved == manifest:
        return manifest
    new_by_old = {old.link: new.link for old, new in zip(manifest.archives, moved.archives, strict=True)}
    folder = folder.resolve()
    try:
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise OutputError(f"{folder.parent}: cannot be written to ({error.strerror}); check the folder") from None
    try:
        rows = _with_links(folder, new_by_old)
        example = next(iter(rows.values()))[0]
        with _quiet():
            rows.save_to_disk(str(work / "new"))
        del rows
        _link_rest(folder, work / "new", set(moved.splits) | {"dataset_dict.json", "manifest.json", "README.md"})
        write_pairs_manifest(work / "new", moved)
        (work / "new" / "README.md").write_text(render_card(moved, example), encoding="utf-8")
        shutil.copystat(folder, work / "new")
        folder.rename(work / "old")
        try:
            (work / "new").rename(folder)
        except BaseException:
            (work / "old").rename(folder)
            raise
    except OSError as error:
        raise OutputError(
            f"{folder}: links cannot be rewritten ({error.strerror or error}); free space and try again"
        ) from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return moved


def _with_links(folder: Path, new_by_old: dict[str, str]) -> DatasetDict:
    from datasets import DatasetDict, load_from_disk

    try:
        rows = load_from_disk(str(folder))
    except Exception as error:  # the library raises many kinds for a folder that is none
        raise SourceError(f"{folder}: its rows cannot be read ({error}); build the data set again") from None
    if not isinstance(rows, DatasetDict) or not any(len(split) for split in rows.values()):
        raise SourceError(f"{folder}: has no splits with rows; give a folder that corpus pair made")
    return DatasetDict({name: _replaced(folder, split, new_by_old) for name, split in rows.items()})


def _replaced(folder: Path, split: Dataset, new_by_old: dict[str, str]) -> Dataset:
    """The split with its column of links replaced; every other value is taken over as it lies in memory or on disk."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from datasets.table import InMemoryTable

    from datasets import Dataset

    if split._indices is not None:
        split = split.flatten_indices()
    table: Any = split.data.table
    place = table.column_names.index("adata_link")
    distinct = table.column(place).unique()
    unknown = [old for old in distinct.to_pylist() if old not in new_by_old]
    if unknown:
        raise SourceError(
            f"{folder}: rows link to {unknown[0]!r}, which the manifest does not list; build the data set again"
        )
    news = pa.array([new_by_old[old] for old in distinct.to_pylist()], type=distinct.type)
    which = pc.index_in(table.column(place), value_set=distinct)
    column = pa.chunked_array([news.take(chunk) for chunk in which.chunks], type=distinct.type)
    table = table.set_column(place, table.schema.field(place), column)
    known = "\n".join([split._fingerprint, *sorted(f"{old} {new}" for old, new in new_by_old.items())])
    fingerprint = hashlib.sha256(known.encode()).hexdigest()[:16]
    return Dataset(InMemoryTable(table), info=split.info, split=split.split, fingerprint=fingerprint)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the library's progress bars: what is reported is ours to say."""
    from datasets.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    shown = not are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            enable_progress_bars()


def _link_rest(folder: Path, work: Path, written: set[str]) -> None:
    for name, path in archive_files(folder):
        if name.split("/", 1)[0] in written:
            continue
        target = work / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, target)
        except OSError:  # file systems without hard links
            shutil.copy2(path, target)
