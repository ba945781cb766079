"""``corpuscle labels``: what the samples of a collection are, and how it is known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from corpuscle.cli._app import app, console, emit_json
from corpuscle.cli._labels_view import print_summary, view_of
from corpuscle.cli._named import JSON, note
from corpuscle.cli._progress import steps
from corpuscle.errors import OptionError, OutputError

if TYPE_CHECKING:
    from corpuscle.bulk.labels import Labels, LabelSummary
    from corpuscle.counts import Counts

__all__ = ["labels"]

labels = typer.Typer(help="Label samples, and see how far the labels can be trusted.", no_args_is_help=True)
app.add_typer(labels, name="labels")

Replace = Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")]


@labels.command("build", epilog="Example: corpuscle labels build human_gene.h5 --rules default -o labels.npz")
def build(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="The matrix whose samples are labelled; its counts are not read.")
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="FILE.npz", help="The file to write.", show_default=False)
    ],
    folders: Annotated[
        Path | None, typer.Option("--folders", metavar="DIR", help="Label by folders: DIR/[KIND/]LABEL/*.tsv.")
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option("--table", metavar="FILE", help="Label by a table: sample, label[, kind, parent, id]."),
    ] = None,
    column: Annotated[str | None, typer.Option("--column", metavar="NAME", help="Label by a column of obs.")] = None,
    rules: Annotated[
        str | None,
        typer.Option(
            "--rules",
            metavar="FILE|default",
            help="Label by expressions: a tab-separated table field, pattern, label[, kind, parent, id], or default.",
        ),
    ] = None,
    synonyms: Annotated[
        Path | None,
        typer.Option(
            "--synonyms",
            metavar="FILE",
            help="Label by terms, in place of the default ones: a tab-separated table term, label[, kind, ...].",
        ),
    ] = None,
    field: Annotated[
        list[str] | None,
        typer.Option("--field", metavar="FIELD", help="Look for terms in this column or COLUMN:KEY; may be repeated."),
    ] = None,
    conflict: Annotated[
        str, typer.Option("--conflict", help="Several labels of one kind: multi, ambiguous (then none) or first.")
    ] = "ambiguous",
    force: Replace = False,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Label the samples of SOURCE from folders, a table, a column, or rules over their metadata.

    Rules and terms look at what submitters wrote; FILE keeps which rule gave each label, and on what text. A label is as
    good as that text: look at some with labels show --label.
    """
    ways = {"--folders": folders, "--table": table, "--column": column, "--rules": rules or synonyms}
    given = [name for name, value in ways.items() if value is not None]
    if len(given) != 1:
        raise OptionError(
            f"labels come from one place, and {', '.join(given) or 'none'} was given; choose one of --folders, --table, "
            "--column, or --rules and --synonyms"
        )
    if field and given[0] != "--rules":
        raise OptionError("--field is of use with --rules or --synonyms; leave it out")
    _check_out(out, force)
    from corpuscle import open_counts

    with open_counts(source, check=False) as counts:
        if given[0] == "--rules":
            made, notes = _by_rules(counts, rules, synonyms, field, conflict)
        else:
            made, notes = _as_given(counts, folders, table, column)
    made.save(out)
    for line in notes:
        note(line)
    summary = made.summary()
    if as_json:
        emit_json({**view_of(summary, []), "notes": notes, "file": str(out)})
        return
    print_summary(summary)
    console.print(f"labels: {out}", markup=False, highlight=False, soft_wrap=True)


@labels.command("show", epilog="Example: corpuscle labels show labels.npz --source human_gene.h5 --label liver")
def show(
    file: Annotated[Path, typer.Argument(metavar="FILE.npz", help="What labels build wrote.")],
    source: Annotated[
        str | None, typer.Option("--source", metavar="FILE", help="The matrix, for the series of its samples.")
    ] = None,
    series: Annotated[
        str, typer.Option("--series", metavar="COLUMN", help="obs column of --source with the series.")
    ] = "series_id",
    label: Annotated[
        str | None, typer.Option("--label", metavar="NAME", help="Also show what gave samples this label.")
    ] = None,
    rows: Annotated[int, typer.Option("--rows", min=1, help="How many findings of --label to show.")] = 20,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Also write a page.")] = None,
    force: Replace = False,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Show labels: how many samples and series each has, which go together, and what cannot be judged with them."""
    if html is not None:
        _check_out(html, force)
    from corpuscle.bulk.labels import Labels

    found = Labels.load(file)
    if label is not None and label not in found.names:
        raise OptionError(f"{file}: has no label {label!r}; it has: {_listed(found.names)}")
    summary, notes = _summary(found, source, series)
    notes += summary.warnings()
    evidence = found.evidence[found.evidence["label"] == label].head(rows) if label is not None else None
    if html is not None:
        _write_page(html, found, summary, notes)
    for line in notes:
        note(line)
    if as_json:
        emit_json(view_of(summary, notes, found, evidence))
        return
    print_summary(summary, found, evidence)
    if html is not None:
        console.print(f"page: {html}", markup=False, highlight=False, soft_wrap=True)


def _by_rules(
    counts: Counts, rules: str | None, synonyms: Path | None, field: list[str] | None, conflict: str
) -> tuple[Labels, list[str]]:
    from dataclasses import replace

    from corpuscle.bulk.labels import Rules, default_rules, labels_by_rules, read_rules, read_terms
    from corpuscle.bulk.labels._metadata import spelling
    from corpuscle.bulk.labels._provenance import provenance

    made = default_rules() if rules == "default" else Rules(read_rules(Path(rules)) if rules is not None else ())
    if synonyms is not None:
        made = replace(made, terms=read_terms(synonyms))
    if field:
        made = replace(made, fields=tuple(spelling(name) for name in field))
    files = [Path(rules)] if rules not in {None, "default"} and rules else []
    options = {"rules": rules, "conflict": conflict, "fields": list(made.fields)}
    info = provenance(counts, "rules", [*files, *([synonyms] if synonyms else [])], options)
    with steps("labels") as progress:
        return labels_by_rules(counts.obs, made, conflict=conflict, name=counts.name, info=info, progress=progress)


def _as_given(counts: Counts, folders: Path | None, table: Path | None, column: str | None) -> tuple[Labels, list[str]]:
    from dataclasses import replace

    from corpuscle.bulk.labels import Labels, labels_from_folders, labels_from_table
    from corpuscle.bulk.labels._provenance import provenance

    samples = counts.obs.index
    if folders is not None:
        return labels_from_folders(folders, samples, info=provenance(counts, "folders", [], {"folder": folders.name}))
    if table is not None:
        return labels_from_table(table, samples, info=provenance(counts, "table", [table], {}))
    made = Labels.from_obs(counts, str(column))
    unlabelled = len(made.samples) - made.n_labelled
    notes = [f"{unlabelled:,} samples have no label"] if unlabelled else []
    return replace(made, info=provenance(counts, "column", [], {"column": column})), notes


def _summary(found: Labels, source: str | None, series: str) -> tuple[LabelSummary, list[str]]:
    """Counts of the labels, over series where the matrix that has them is given."""
    if source is None:
        return found.summary(), ["series are not counted; give the matrix with --source"]
    from corpuscle import open_counts
    from corpuscle.bulk.series import series_groups

    with open_counts(source, check=False) as counts:
        code_n, notes = series_groups(counts.obs, series)
        fitted, more = found.for_samples(counts.obs.index)
    return fitted.summary(code_n), notes + more


def _write_page(path: Path, found: Labels, summary: LabelSummary, notes: list[str]) -> None:
    from corpuscle.normalize._patient_file import complete_or_absent
    from corpuscle.report.labels_page import labels_page

    page = labels_page(found, summary, notes).encode("utf-8", "replace")
    with complete_or_absent(path) as patient:
        patient.write(page)
        patient.check()


def _check_out(path: Path, force: bool) -> None:
    """Refuse a file that cannot be written or would be lost, before any work is done."""
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; name a file")
    if path.exists() and not force:
        raise OutputError(f"{path}: is there already; name another file, or --force to replace it")
    if not path.absolute().parent.is_dir():
        raise OutputError(f"{path}: there is no folder {path.parent}; make it, or name another file")


def _listed(names: tuple[str, ...], most: int = 20) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
