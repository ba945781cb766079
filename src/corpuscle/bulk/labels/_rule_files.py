"""Files of rules and of terms: tables separated by tabs, with lines of remarks that start with ``#``."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from pathlib import Path

from corpuscle.bulk.labels._metadata import spelling
from corpuscle.bulk.labels._patterns import compiled
from corpuscle.bulk.labels._text import name_of
from corpuscle.bulk.labels.terms import NOTHING, Label, Term, Terms
from corpuscle.errors import SourceError

__all__ = ["ANY_FIELD", "TERM_FIELDS", "Rule", "Rules", "default_rules", "read_rules", "read_terms"]

#: Where terms are looked for; of each kind of label, the first field that has a term decides.
TERM_FIELDS = (
    "characteristics_ch1:tissue", "characteristics_ch1:tissue type", "characteristics_ch1:tissue source",
    "characteristics_ch1:organ", "characteristics_ch1:organism part", "characteristics_ch1:body site",
    "characteristics_ch1:cell line", "characteristics_ch1:cell type", "source_name_ch1", "title",
)  # fmt: skip
#: Field of a rule that is tried on all of those.
ANY_FIELD = "*"
#: Bytes, lines and characters a cell of such a file.
LARGEST, MOST_LINES, LONGEST_CELL = 50 * 2**20, 200_000, 10_000


@dataclass(frozen=True)
class Rule:
    """A regular expression that gives a label where it matches a field; ``name`` is what evidence calls it."""

    field: str
    pattern: re.Pattern[str]
    label: Label
    name: str


@dataclass(frozen=True)
class Rules:
    """What gives labels: expressions in their order, then terms in their fields."""

    rules: tuple[Rule, ...] = ()
    terms: Terms = field(default_factory=lambda: Terms(()))
    fields: tuple[str, ...] = TERM_FIELDS


def read_rules(path: Path) -> tuple[Rule, ...]:
    """Ordered regular expressions from a table with the columns field, pattern, label, and if wanted kind, parent, id.

    ``field`` is a column of the metadata, ``COLUMN:KEY`` for one attribute of it (``characteristics_ch1:cell line``), or
    ``*`` for every field that terms are looked for in. A column ``order`` (whole numbers) overrides the order of lines.

    Raises
    ------
    SourceError
        The file cannot be read, or a column is missing.
    OptionError
        A pattern is not one that can be used.
    """
    found: list[tuple[int, Rule]] = []
    for line, row in _rows(path, ("field", "pattern", "label")):
        where = f"{path.name}:{line}"
        order = row.get("order") or "0"
        if not re.fullmatch(r"-?\d{1,9}", order):
            raise SourceError(f"{where}: order {order[:40]!r} is no whole number; correct it")
        if name_of(row["label"]) == NOTHING:
            raise SourceError(f"{where}: only a term can mean nothing; write a label")
        rule = Rule(spelling(row["field"]), compiled(row["pattern"], where), _label(row, where), where)
        found.append((int(order), rule))
    found.sort(key=lambda one: one[0])
    return tuple(rule for _, rule in found)


def read_terms(path: Path) -> Terms:
    """Terms and what they mean, from a table with the columns term and label, and if wanted kind, parent, id.

    Several terms of one label can be in one line with ``|`` between them. Terms of the label ``-`` mean none: they keep
    shorter terms from being found in them.

    Raises
    ------
    SourceError
        The file cannot be read, or a column is missing.
    OptionError
        A term means two labels, or has no word.
    """
    found = []
    for line, row in _rows(path, ("term", "label")):
        where = f"{path.name}:{line}"
        label = _label(row, where)
        found += [Term(term.strip(), label, where) for term in row["term"].split("|")]
    return Terms(found)


def default_rules() -> Rules:
    """Rules and terms for common human tissues, organs and cell lines; our own work, made for text in English."""
    folder = files("corpuscle.bulk.labels") / "data"
    with as_file(folder / "rules.tsv") as rules, as_file(folder / "terms.tsv") as terms:
        return Rules(read_rules(rules), read_terms(terms))


def _label(row: dict[str, str], where: str) -> Label:
    name = name_of(row["label"])
    if not name:
        raise SourceError(f"{where}: there is no label; write one")
    return Label(name, *(name_of(row.get(column) or "") for column in ("kind", "parent", "id")))


def _rows(path: Path, needed: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, column -> text) of each line; the first that is no remark names the columns."""
    heading: list[str] = []
    for line, cells in _lines(path):
        if not heading:
            heading = [cell.strip().casefold() for cell in cells]
            missing = [column for column in needed if column not in heading]
            if missing or len(set(heading)) < len(heading):
                raise SourceError(
                    f"{path}: line {line} must name the columns {', '.join(needed)}, each once, with tabs between them"
                )
            continue
        if len(cells) > len(heading):
            raise SourceError(f"{path}: line {line} has {len(cells)} cells for {len(heading)} columns; correct it")
        row = dict(zip(heading, (*cells, *([""] * (len(heading) - len(cells)))), strict=True))
        empty = next((column for column in needed if not row[column].strip()), None)
        if empty is not None:
            raise SourceError(f"{path}: line {line} has no {empty}; write one, or remove the line")
        yield line, row
    if not heading:
        raise SourceError(f"{path}: is empty; write a first line that names the columns {', '.join(needed)}")


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        if path.stat().st_size > LARGEST:
            raise SourceError(f"{path}: is larger than {LARGEST // 2**20} MiB; give a file of rules or terms")
        with path.open(encoding="utf-8-sig", newline="") as file:
            for line, cells in enumerate(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE), 1):
                if line > MOST_LINES or any(len(cell) > LONGEST_CELL for cell in cells):
                    raise SourceError(
                        f"{path}: line {line:,} is too long or one too many; give a file of rules or terms"
                    )
                if any(cell.strip() for cell in cells) and not cells[0].startswith("#"):
                    yield line, cells
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(
            f"{path}: cannot be read as text ({error}); give a table separated by tabs, in UTF-8"
        ) from None
