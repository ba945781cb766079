"""What a build writes: fitted embeddings, archives, and rows."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from corpuscle.corpus.manifest import file_sha256
from corpuscle.corpus.pairs._archive_members import write_members
from corpuscle.corpus.pairs._block import CellBlock
from corpuscle.corpus.pairs._build_chunk import GatheredCells, gather
from corpuscle.corpus.pairs._build_options import BuildOptions
from corpuscle.corpus.pairs._build_plan import Chunk, Plan, cut_chunks, row_texts
from corpuscle.corpus.pairs._prepare_passes import Progress
from corpuscle.corpus.pairs._prepared import Prepared
from corpuscle.corpus.pairs.archives import write_archive
from corpuscle.corpus.pairs.captions import CaptionRule
from corpuscle.corpus.pairs.embedders import Embedder, embedder, fit_embedders, load_embedder, save_embedder
from corpuscle.corpus.pairs.manifest import ArchiveEntry, EmbedderEntry, SplitEntry, read_pairs_manifest
from corpuscle.corpus.pairs.rows import build_rows
from corpuscle.errors import OptionError

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["ARCHIVES", "EMBEDDERS", "ready_embedders", "write_archives", "write_embedders", "write_rows"]

Array = np.ndarray[Any, Any]
ARCHIVES, EMBEDDERS = "archives", "embedders"


@dataclass(frozen=True)
class Fitted:
    """Where embeddings that are not fitted here come from: name of the data set, and its cells by embedding."""

    on: str
    cells: dict[str, int]


def ready_embedders(
    words: Sequence[str | Embedder], other: str | os.PathLike[str] | None
) -> tuple[list[Embedder], Fitted | None]:
    """Embeddings to fit, or those of another data set.

    Raises
    ------
    OptionError
        A word names none, or the other data set has none of that name.
    SourceError
        The other data set cannot be read.
    """
    if isinstance(words, str):
        raise OptionError(f"embeddings are a list of words, not {words!r}")
    if other is None:
        return [embedder(word) for word in words], None
    manifest = read_pairs_manifest(Path(other))
    entries = {entry.name: entry for entry in manifest.embedders}
    loaded = []
    for word in words:
        name = word if isinstance(word, str) else word.name
        if name not in entries:
            raise OptionError(f"{other}: has no embedding {name!r}; it has: {', '.join(entries) or 'none'}")
        loaded.append(load_embedder(Path(other) / entries[name].file))
    cells = {name: entry.fitted_cells for name, entry in entries.items()}
    return loaded, Fitted(f"train of {manifest.name}", cells)


def write_embedders(
    made: Path,
    prepared: Prepared,
    plan: Plan,
    embedders: Sequence[Embedder],
    fitted: Fitted | None,
    progress: Progress | None,
) -> list[EmbedderEntry]:
    """Fit on the training cells, unless that was done before, and store.

    Raises
    ------
    OptionError
        There is no training split to fit on.
    """
    train = plan.cells("train")
    if fitted is None:
        learning = [one.name for one in embedders if one.kind not in ("panel", "geneformer")]
        if learning and not train.size:
            raise OptionError(
                f"{', '.join(learning)}: fitted on the training split, and there is none; take the embeddings of another data set "
                "(embedders_from=..., --embedders-from DIR)"
            )
        fit_embedders(embedders, lambda: _told(prepared.blocks(train), train.size, "embeddings", progress))
    (made / EMBEDDERS).mkdir()
    entries = []
    for one in embedders:
        file = f"{EMBEDDERS}/{one.name}.npz"
        path = save_embedder(one, made / file)
        fitted_on = ("train", int(train.size)) if fitted is None else (fitted.on, fitted.cells[one.name])
        plain = {key: value for key, value in one.to_arrays()[1].items() if isinstance(value, int | float | str)}
        entries.append(EmbedderEntry(one.name, f"X_{one.name}", one.width, file, file_sha256(path), *fitted_on, plain))
    return entries


def _told(blocks: Iterator[CellBlock], total: int, what: str, progress: Progress | None) -> Iterator[CellBlock]:
    done = 0
    for block in blocks:
        yield block
        done += block.n_obs
        if progress is not None:
            progress(done, total, what)


def write_archives(
    made: Path,
    prepared: Prepared,
    plan: Plan,
    embedders: Sequence[Embedder],
    options: BuildOptions,
    progress: Progress | None,
) -> tuple[list[ArchiveEntry], dict[str, pd.DataFrame]]:
    """Write archive after archive; return what they are and, by split, what rows must know of each cell."""
    (made / ARCHIVES).mkdir()
    entries: list[ArchiveEntry] = []
    parts: dict[str, list[pd.DataFrame]] = {}
    done, total = 0, int((plan.split_n != "").sum())
    for chunk in cut_chunks(prepared, plan.split_n, options.chunk_cells):
        var = prepared.var[chunk.source]
        cells = gather(prepared, chunk.cells, len(var), embedders, options.sentence_genes, options.sentence_allowed)
        entry = _write_one(made, chunk, cells, var, options)
        entries.append(entry)
        parts.setdefault(chunk.split, []).append(_facts(chunk, cells, entry, bool(options.sentence_genes)))
        done += chunk.cells.size
        if progress is not None:
            progress(done, total, "archives")
    return entries, {split: pd.concat(tables, ignore_index=True) for split, tables in parts.items()}


def _write_one(
    made: Path, chunk: Chunk, cells: GatheredCells, var: pd.DataFrame, options: BuildOptions
) -> ArchiveEntry:
    name = f"{chunk.name}.{options.archive}"
    file = f"{ARCHIVES}/{name}"
    obs = _named_as_rows(cells.obs)
    written = write_archive(made / file, cells.log_ng, cells.counts_ng, obs, var, cells.obsm, format=options.archive)
    if written.format == "zarr":
        write_members(made / file)
    link = file if options.link_base is None else f"{options.link_base.rstrip('/')}/{name}"
    return ArchiveEntry(
        link=link, file=file, split=chunk.split, format=written.format, sha256=written.sha256, bytes=written.bytes,
        n_obs=written.n_obs, obsm=written.obsm, obs_hash=written.obs_hash, sources=(chunk.source,),
    )  # fmt: skip


def _named_as_rows(obs: pd.DataFrame) -> pd.DataFrame:
    """The table by ``sample_idx``: readers that know nothing of ``obs_name`` look a row's cell up by that."""
    if list(obs.index) == list(obs["sample_idx"]):
        return obs
    return obs.assign(obs_name=obs.index).set_axis(pd.Index(obs["sample_idx"].to_numpy(object)), axis=0)


def _facts(chunk: Chunk, cells: GatheredCells, entry: ArchiveEntry, sentences: bool) -> pd.DataFrame:
    table = pd.DataFrame({"place": chunk.cells})
    if sentences:
        table["cell_sentence_2"] = np.asarray(cells.sentences, object)
    return table.assign(adata_link=entry.link, adata_sha256=entry.sha256, adata_format=entry.format)


def write_rows(
    made: Path,
    prepared: Prepared,
    plan: Plan,
    tables: dict[str, pd.DataFrame],
    rule: CaptionRule | None,
    options: BuildOptions,
) -> tuple[list[dict[str, Any]], dict[str, SplitEntry], tuple[str, ...]]:
    """Write rows that ``datasets`` reads; return an example, the splits, and the columns."""
    from datasets import DatasetDict

    rows: dict[str, Dataset] = {}
    splits: dict[str, SplitEntry] = {}
    for split in plan.splits:
        table = _row_table(prepared, plan, tables.pop(split), rule, options)
        drawn = plan.negatives.get(split)
        rows[split] = build_rows(table, format=options.format, negatives=drawn, resolve=options.resolve)
        groups = None if options.random_split or options.group is None else int(table["group"].nunique())
        splits[split] = SplitEntry(len(rows[split]), len(table), groups)
    with _quiet():
        DatasetDict(rows).save_to_disk(str(made))
    first = next(iter(rows.values()))
    return [first[0]], splits, tuple(first.column_names)


def _row_table(
    prepared: Prepared, plan: Plan, table: pd.DataFrame, rule: CaptionRule | None, options: BuildOptions
) -> pd.DataFrame:
    place = table.pop("place").to_numpy()
    obs = prepared.obs.iloc[place]
    ids = obs["sample_idx"].to_numpy(object)
    table = table.assign(sample_idx=ids, obs_name=ids, cell_sentence_1=ids)
    for column, of in (("batch", options.batch), ("group", options.group)):
        table[column] = None if of is None else row_texts(obs[of])
    if rule is not None:
        table = table.assign(caption=plan.caption_n[place], caption_source=rule.source)
    return table


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the progress bars of ``datasets``, which are the caller's to show."""
    from datasets.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    were_off = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not were_off:
            enable_progress_bars()
