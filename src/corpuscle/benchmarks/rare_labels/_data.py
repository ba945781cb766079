"""Sources to labelled samples with the series of each, drawn down to what a run can hold."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from corpuscle.benchmarks._choices import UNLABELLED
from corpuscle.benchmarks._provenance import sha256
from corpuscle.benchmarks._sources import Unread, each_data_set
from corpuscle.benchmarks.rare_labels.options import Options
from corpuscle.errors import OptionError, SourceError
from corpuscle.seeds import stream

if TYPE_CHECKING:
    from corpuscle.counts import Counts

__all__ = ["ALL", "SampleSource", "Samples", "sample_sources"]

Array = np.ndarray[Any, Any]
#: The name under which means over all data sets are in the tidy table.
ALL = "all"
#: From so many reads of the median sample on, genes of few reads are left out.
BULK_READS = 1e6


@dataclass(frozen=True)
class Samples:
    """Samples of known labels.

    Attributes
    ----------
    counts
        Their raw counts, in memory.
    code_n, names
        (n,) position of each sample's label, and the labels.
    groups_n
        (n,) series of each; without series each is its own.
    grouped
        Whether series are known.
    min_reads
        What a gene must have to be looked at.
    notes
        What was left out, a line each.
    """

    counts: Counts
    code_n: Array
    names: tuple[str, ...]
    groups_n: Array
    grouped: bool
    min_reads: float
    notes: tuple[str, ...]


@dataclass
class SampleSource:
    """A data set, read when it is first needed.

    Attributes
    ----------
    name, path, sha256
        Unique name, where it came from, and the checksum of the file or of what was read.
    """

    name: str
    path: str
    sha256: str
    source: Any = field(repr=False)
    options: Options = field(repr=False)
    _read: Samples | None = field(default=None, repr=False)

    def read(self) -> Samples:
        """Samples, labels and series; kept for the next call.

        Raises
        ------
        CorpuscleError
            Not counts, or no column of labels or series, or nothing to hold out.
        """
        if self._read is None:
            self._read = _opened(self.name, self.source, self.options)
        return self._read

    def release(self) -> None:
        """Forget the samples."""
        self._read = None

    @property
    def described(self) -> Mapping[str, Any]:
        """What a run on it depends on."""
        return {"sha256": self.sha256, **self.options.of_data}


def sample_sources(sources: Sequence[Any], options: Options) -> Iterator[SampleSource | Unread]:
    """Each file or AnnData in turn; one that cannot be found does not stop the others."""

    def opened(name: str, item: Any) -> SampleSource:
        if isinstance(item, Path):
            if not item.exists():
                raise SourceError(f"{item}: there is no such file or folder; check the path")
            return SampleSource(name, str(item), sha256(item), item, options)
        data = SampleSource(name, name, "", item, options)
        data.sha256 = _content(data.read())
        return data

    return each_data_set(sources, ALL, opened)


def _opened(name: str, source: Any, options: Options) -> Samples:
    from corpuscle.counts import open_counts

    with open_counts(source, options.layer) as counts:
        _need_columns(counts, options)
        notes: list[str] = []
        if options.pseudobulk:
            from corpuscle.bulk.pseudobulk import pseudobulk

            assert options.groups is not None
            made = pseudobulk(counts, (options.groups, options.labels), min_cells=options.min_cells)
            notes.append(f"{counts.n_obs:,} cells are {made.n_obs:,} pseudo-bulk samples by group and label")
            return _samples(name, open_counts(made), options, notes)
        return _samples(name, counts, options, notes)


def _need_columns(counts: Counts, options: Options) -> None:
    for what, column in (("labels", options.labels), ("groups", options.groups)):
        if column is not None and column not in counts.obs:
            have = ", ".join(map(str, counts.obs)) or "none"
            without = "; --groups none splits at random" if what == "groups" else ""
            raise OptionError(f"{counts.name}: no obs column {column!r} for {what}; it has: {have}{without}")


def _samples(name: str, counts: Counts, options: Options, notes: list[str]) -> Samples:
    label_n = counts.obs[options.labels].astype(object)
    text_n = label_n.where(label_n.notna(), "").astype(str).str.strip()
    labelled_n = ~text_n.str.lower().isin(UNLABELLED).to_numpy()
    kept = np.flatnonzero(labelled_n)
    if len(kept) < counts.n_obs:
        notes.append(f"{counts.n_obs - len(kept):,} of {counts.n_obs:,} samples have no label and were left out")
    kept = _drawn_down(text_n.to_numpy()[kept], kept, options.max_samples, notes)
    view = counts.view(cells=kept).load()
    total_n = np.asarray(view.to_csr().sum(axis=1)).ravel()
    if (total_n == 0).any():
        notes.append(f"{int((total_n == 0).sum()):,} samples have no count and were left out")
        view, kept = view.view(cells=np.flatnonzero(total_n > 0)).load(), kept[total_n > 0]
    names, code_n = np.unique(text_n.to_numpy()[kept].astype(str), return_inverse=True)
    if len(names) < 2:
        what = f"one label, {str(names[0])!r}" if len(names) else "no label"
        raise OptionError(f"{name}: its samples have {what}; a classifier takes two or more")
    groups_n = _groups(name, view.obs, options.groups, notes)
    min_reads = options.min_reads
    if min_reads is None:
        min_reads = 20.0 if np.median(total_n[total_n > 0]) >= BULK_READS else 0.0
    there = tuple(map(str, names))
    return Samples(view, code_n.ravel(), there, groups_n, options.groups is not None, min_reads, tuple(notes))


def _groups(name: str, obs: pd.DataFrame, column: str | None, notes: list[str]) -> Array:
    if column is None:
        notes.append("no series are known: samples are split at random, which makes every score too high")
        return np.arange(len(obs))
    from corpuscle.bulk.series import series_groups

    groups_n, said = series_groups(obs, column)
    notes += said
    if len(np.unique(groups_n)) < 2:
        raise OptionError(
            f"{name}: all {len(obs):,} samples are of one {column}, so no series can be held out; name another column, or "
            "--groups none for a random split"
        )
    return groups_n


def _drawn_down(text_k: Array, kept: Array, most: int, notes: list[str]) -> Array:
    """At most so many samples: all of the labels that are below a common bound, and that many of the others."""
    if len(kept) <= most:
        return kept
    _, at_k, size_l = np.unique(text_k.astype(str), return_inverse=True, return_counts=True)
    bound = int(max(b for b in range(1, most + 1) if np.minimum(size_l, b).sum() <= max(most, len(size_l))))
    rng = stream(0, "rare-labels", "samples")
    order = rng.permutation(len(kept))
    rank = pd.Series(at_k[order]).groupby(at_k[order]).cumcount().to_numpy()
    notes.append(
        f"{len(kept):,} samples were drawn down to {int(np.minimum(size_l, bound).sum()):,}, {bound:,} a label"
    )
    return kept[np.sort(order[rank < bound])]


def _content(samples: Samples) -> str:
    """SHA-256 of what was read of an object in memory."""
    words = [*map(str, samples.counts.var_names), *samples.names]
    digest = hashlib.sha256("\0".join(words).encode())
    x_ng = samples.counts.to_csr()
    for array in (x_ng.data, x_ng.indices, x_ng.indptr, samples.code_n, samples.groups_n):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
