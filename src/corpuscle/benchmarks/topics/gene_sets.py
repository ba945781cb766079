"""Gene sets from GMT files, and whether they speak of the genes at hand."""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from corpuscle.errors import GeneError, SourceError

__all__ = ["GeneSets", "Overlap", "read_gmt"]

#: Largest text that is read, also out of a small compressed file. All of MSigDB is 30 MB.
MAX_BYTES = 256 * 2**20
GZIP_MAGIC = b"\x1f\x8b"
#: Below either, the sets are of another species or the names of another kind.
MIN_SHARE = 0.05
MIN_GENES = 50


@dataclass(frozen=True)
class Overlap:
    """How many of some genes are in any set: ``n_known`` of ``n_genes``; ``share`` is NaN where there is no gene."""

    n_genes: int
    n_known: int
    n_known_any_case: int

    @property
    def share(self) -> float:
        """``n_known / n_genes``."""
        return self.n_known / self.n_genes if self.n_genes else float("nan")


@dataclass(frozen=True)
class GeneSets:
    """Named sets of genes, letters kept as they are in the file.

    Attributes
    ----------
    sets
        Name -> genes, each once.
    collection
        Name of a set -> name of the file that it came from, without its suffix.
    """

    sets: Mapping[str, tuple[str, ...]]
    collection: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.sets)

    @cached_property
    def genes(self) -> frozenset[str]:
        """Every gene of any set."""
        return frozenset(gene for genes in self.sets.values() for gene in genes)

    def overlap(self, names: Iterable[str]) -> Overlap:
        """Count the genes ``names`` that are in any set, exactly and whatever their case."""
        wanted = set(names)
        folded = {gene.casefold() for gene in self.genes}
        return Overlap(len(wanted), len(wanted & self.genes), sum(name.casefold() in folded for name in wanted))

    def require(
        self, names: Iterable[str], where: str, *, min_share: float = MIN_SHARE, min_genes: int = MIN_GENES
    ) -> Overlap:
        """Count as :meth:`overlap` does, and refuse sets that do not speak of these genes.

        Raises
        ------
        GeneError
            Fewer than ``min_genes`` of the genes, or less than ``min_share`` of them, are in any set.
        """
        found = self.overlap(names)
        if found.n_known >= min_genes and found.share >= min_share:
            return found
        said = f"{where}: only {found.n_known:,} of {found.n_genes:,} genes are in any of the {len(self):,} gene sets"
        if found.n_known_any_case > max(min_genes, 2 * found.n_known):
            raise GeneError(
                f"{said}, but {found.n_known_any_case:,} are if case is ignored: a species mismatch, such as mouse "
                "symbols (Actb) against human sets (ACTB); give the gene sets of the data's species"
            )
        raise GeneError(
            f"{said}; check that the species is the same (mouse symbols against human sets?) and that both use "
            "gene symbols"
        )


def read_gmt(paths: str | Path | Sequence[str | Path]) -> GeneSets:
    """Read one or several GMT files (``.gmt``, ``.gmt.gz``) as one collection.

    A line is a set: its name, a description, then its genes, separated by tabs. ``GENE,weight`` counts as ``GENE``. Of
    sets with one name in several files, each is called ``file:name``.

    Raises
    ------
    SourceError
        A file is missing, damaged, too large, not UTF-8 text, holds no set, or has a line that is no set.
    """
    files = [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]
    if not files:
        raise SourceError("no gene-set file was given; name a .gmt or .gmt.gz")
    read = [(_stem(path), _parse(path, _text(path))) for path in files]
    times = Counter(name for _, sets in read for name in sets)
    sets, collection = {}, {}
    for stem, of_file in read:
        for name, genes in of_file.items():
            label = f"{stem}:{name}" if times[name] > 1 else name
            if label in sets:
                raise SourceError(f"gene set {label} is in two files of one name; rename one of the files")
            sets[label], collection[label] = genes, stem
    return GeneSets(sets, collection)


def _stem(path: Path) -> str:
    name = path.name
    for suffix in (".gz", ".gmt"):
        name = name[: -len(suffix)] if name.lower().endswith(suffix) else name
    return name


def _text(path: Path) -> str:
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == GZIP_MAGIC
            raw.seek(0)
            with gzip.open(raw) if packed else raw as file:
                content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise SourceError(f"{path}: there is no such file; check the path of the gene sets") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SourceError(f"{path}: the compressed file is damaged ({error}); get it again") from None
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror or error}); give a GMT file") from None
    if len(content) > MAX_BYTES:
        raise SourceError(f"{path}: is larger than {MAX_BYTES >> 20} MiB of text, which no gene-set file is")
    if b"\0" in content:
        raise SourceError(f"{path}: is not text; give a GMT file (set, description, genes, separated by tabs)")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SourceError(f"{path}: line {line} is not UTF-8 text; save the file as UTF-8") from None


def _parse(path: Path, text: str) -> dict[str, tuple[str, ...]]:
    sets: dict[str, tuple[str, ...]] = {}
    line_of: dict[str, int] = {}
    for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        if not line.strip():
            continue
        columns = line.split("\t")
        name = columns[0].strip()
        if len(columns) < 3:
            raise SourceError(
                f"{path}: line {number} has {len(columns)} tab-separated column{'s' * (len(columns) > 1)}; a set is a "
                "name, a description and its genes"
            )
        if not name:
            raise SourceError(f"{path}: line {number} has no set name before its first tab")
        if name in line_of:
            raise SourceError(f"{path}: line {number} names the set {name} again, first on line {line_of[name]}")
        genes = (gene.partition(",")[0].strip() for gene in columns[2:])
        sets[name] = tuple(dict.fromkeys(gene for gene in genes if gene))
        line_of[name] = number
        if not sets[name]:
            raise SourceError(f"{path}: line {number}, set {name}, has no gene")
    if not sets:
        raise SourceError(f"{path}: holds no gene set; give a GMT file (set, description, genes, separated by tabs)")
    return sets
