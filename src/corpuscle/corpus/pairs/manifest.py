"""What a data set of transcriptome-text pairs is made of, and how: ``manifest.json`` beside its rows.

The card, the checks and the loaders read it and nothing else. It holds no times and no paths of the machine that built it,
so the same build gives the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from corpuscle.corpus.manifest import MANIFEST, write_atomic
from corpuscle.corpus.pairs._manifest_json import dump, parse
from corpuscle.corpus.pairs._manifest_problems import problems
from corpuscle.errors import SourceError

__all__ = [
    "SCHEMA",
    "ArchiveEntry",
    "CaptionEntry",
    "EmbedderEntry",
    "NegativesEntry",
    "PairsManifest",
    "SourceEntry",
    "SplitEntry",
    "StepEntry",
    "read_pairs_manifest",
    "write_pairs_manifest",
]

SCHEMA = "corpuscle-pairs/1"


@dataclass(frozen=True)
class ArchiveEntry:
    """One archive of cells and the link by which rows name it.

    Attributes
    ----------
    link
        The value of ``adata_link`` in the rows.
    file
        Its place below the data set's folder, with forward slashes.
    split
        ``"train"``, ``"validation"`` or ``"test"``.
    format
        ``"zarr.zip"``, ``"zarr"`` or ``"h5ad"``.
    sha256, bytes
        Of the archive.
    n_obs
        Cells in it.
    obsm
        Width and type of every embedding, by key.
    obs_hash
        SHA-256 of the cells' names in order.
    sources
        Names of the sources that its cells are from.
    """

    link: str
    file: str
    split: str
    format: str
    sha256: str
    bytes: int
    n_obs: int
    obsm: dict[str, tuple[int, str]]
    obs_hash: str
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class SourceEntry:
    """One source of cells: its short name, cells in and kept, what its counts were judged to be, and its terms of use."""

    name: str
    cells_in: int
    cells_kept: int
    verdict: str
    sha256: str | None = None
    licence: str | None = None
    citation: str | None = None
    url: str | None = None


@dataclass(frozen=True)
class SplitEntry:
    """One split: rows, cells behind them, and groups; None where cells were not split by group."""

    rows: int
    cells: int
    groups: int | None = None


@dataclass(frozen=True)
class StepEntry:
    """What one step of the preparation took away from one source."""

    source: str
    step: str
    unit: str
    came_in: int
    dropped: int
    why: str


@dataclass(frozen=True)
class EmbedderEntry:
    """One initial embedding: key of ``obsm``, width, file that rebuilds it, and what it was fitted on."""

    name: str
    key: str
    width: int
    file: str
    sha256: str
    fitted_on: str
    fitted_cells: int
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CaptionEntry:
    """Where captions come from: column or template, how many differ, and how many cells had none."""

    source: str
    distinct: int
    missing: int


@dataclass(frozen=True)
class NegativesEntry:
    """How negatives were drawn: kind of each, in order, and what the draw reported."""

    n: int
    kinds: tuple[str, ...]
    prefer_same_batch: bool
    seed: int
    resolved: bool
    report: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PairsManifest:
    """Everything that is known of a data set.

    Attributes
    ----------
    schema
        ``"corpuscle-pairs/1"``.
    name
        Title of the data set.
    row_format
        ``"single"``, ``"pairs"`` or ``"multiplets"``.
    columns
        Columns of the rows in order.
    splits
        Rows and cells by split.
    split_by
        Column whose groups stay on one side; None: cells were split at random, or not at all.
    seed
        Seed of every random choice.
    archives, sources, steps, embedders
        What is in the folder, where it came from, and what was taken away on the way.
    captions
        Where captions come from; None: there are none.
    negatives
        How negatives were drawn; None: there are none.
    sentence_genes
        Most genes in a cell sentence; 0: there are no sentences.
    licence
        Identifier of the licence that the data set is given under, e.g. ``"cc-by-4.0"``; None: not stated.
    notes
        Warnings that a reader must see, e.g. of counts that look like an imitation.
    parameters
        All options of the build.
    versions
        Versions of the packages that made the numbers.
    """

    name: str
    row_format: str
    columns: tuple[str, ...]
    splits: dict[str, SplitEntry]
    split_by: str | None
    seed: int
    archives: tuple[ArchiveEntry, ...]
    sources: tuple[SourceEntry, ...]
    steps: tuple[StepEntry, ...]
    embedders: tuple[EmbedderEntry, ...]
    captions: CaptionEntry | None
    negatives: NegativesEntry | None
    sentence_genes: int
    licence: str | None = None
    notes: tuple[str, ...] = ()
    parameters: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    schema: str = SCHEMA

    def to_json(self) -> str:
        """JSON text, the same for the same content.

        Raises
        ------
        SourceError
            It would not be accepted when read again.
        """
        text = dump(self)
        PairsManifest.from_json(text)
        return text

    @classmethod
    def from_json(cls, text: str, where: str = MANIFEST) -> PairsManifest:
        """Read JSON text that may come from anyone.

        Raises
        ------
        SourceError
            Not of this form: the message names the field and what is wrong with it.
        """
        manifest = parse(cls, text, where)
        problem = next(problems(manifest), None) if manifest.schema == SCHEMA else f"its schema is not {SCHEMA!r}"
        if problem:
            raise SourceError(f"{where}: {problem}; build or get the data set again")
        return manifest

    def with_links(self, links: dict[str, str]) -> PairsManifest:
        """The same data set with other links, by file of the archive; files that are not named keep theirs."""
        moved = tuple(replace(entry, link=links.get(entry.file, entry.link)) for entry in self.archives)
        return replace(self, archives=moved)


def write_pairs_manifest(folder: str | Path, manifest: PairsManifest) -> str:
    """Write ``manifest.json`` into a data set, whole or not at all; return its SHA-256."""
    return write_atomic(Path(folder) / MANIFEST, manifest.to_json().encode())


def read_pairs_manifest(folder: str | Path) -> PairsManifest:
    """Read ``manifest.json`` of a data set.

    Raises
    ------
    SourceError
        There is none, or it is not of the form that it must have.
    """
    path = Path(folder) / MANIFEST
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SourceError(f"{folder}: there is no {MANIFEST} in it; give a folder that corpus pair made") from None
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: cannot be read ({error}); build or get the data set again") from None
    return PairsManifest.from_json(text, str(path))
