"""``corpuscle similar``: the samples of a collection that are most like a sample."""

from __future__ import annotations

import shlex
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from corpuscle.cli._app import app, console, emit_json
from corpuscle.cli._named import JSON, Seed, note, notes
from corpuscle.cli._progress import steps
from corpuscle.cli._similar_files import check_folder, sample_labels, write_found
from corpuscle.errors import OptionError

if TYPE_CHECKING:
    from corpuscle.bulk.similar import SampleIndex
    from corpuscle.counts import Counts

__all__ = ["similar"]

#: What says in words what a sample is, the likeliest first.
TITLES = ("title", "source_name_ch1", "Sample_title", "Sample_source_name_ch1")
#: Rows shown in the terminal.
SHOWN = 60


@app.command(
    "similar",
    epilog="Examples: corpuscle similar human_gene_v2.5.h5 --sample GSM1234 --index human-index; "
    "corpuscle similar collection.h5ad --query mine.h5ad --labels obs:tissue -o found",
)
def similar(
    collection: Annotated[str, typer.Argument(metavar="COLLECTION", help="Raw counts: file or quoted glob.")],
    sample: Annotated[
        list[str] | None, typer.Option("--sample", metavar="NAME", help="A sample of it; may be repeated.")
    ] = None,
    query: Annotated[
        str | None, typer.Option("--query", metavar="FILE", help="Raw counts of other samples to ask for.")
    ] = None,
    k: Annotated[int, typer.Option("-k", "--neighbors", help="Samples to find for each.")] = 10,
    labels: Annotated[
        str | None,
        typer.Option("--labels", metavar="FILE|obs:COLUMN", help="What samples are: labels build's, or obs."),
    ] = None,
    series: Annotated[
        str | None,
        typer.Option("--series", metavar="COLUMN", help="obs column of the series.  [default: series_id, if there]"),
    ] = None,
    same_series: Annotated[
        bool, typer.Option("--include-same-series", help="Also find samples of the same series.")
    ] = False,
    precision: Annotated[
        bool, typer.Option("--precision", help="Also measure how often neighbours have the label, over all samples.")
    ] = False,
    index: Annotated[
        Path | None, typer.Option("--index", metavar="DIR", help="Folder to keep what was learnt, or to take it from.")
    ] = None,
    method: Annotated[str, typer.Option("--method", "-m", help="Normalisation.")] = "log_cpm",
    n_genes: Annotated[int, typer.Option("--n-genes", help="Most variable genes to use.")] = 5000,
    n_pcs: Annotated[int, typer.Option("--n-pcs", help="Principal components to use.")] = 200,
    min_reads: Annotated[float, typer.Option("--min-reads", help="A gene needs more reads in 2% of samples.")] = 20,
    layer: Annotated[str | None, typer.Option("--layer", help="Layer with the raw counts ('raw' for .raw).")] = None,
    scheduler: Annotated[str | None, typer.Option("--scheduler", help="Address or file of a Dask scheduler.")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", metavar="DIR", help="Folder for table and page.")] = None,
    seed: Seed = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace what is in DIR of -o.")] = False,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Find the samples of COLLECTION that are most like some of it, or like those of another file.

    Likeness is the cosine of principal components of normalised genes. Samples of the same series are left out, since
    replicates are always alike. An index of a collection that has changed since is refused.
    """
    if bool(sample) == (query is not None):
        raise OptionError("give --sample NAME of the collection or --query FILE, one of the two")
    if precision and labels is None:
        raise OptionError("--precision needs --labels")
    check_folder(out, force=force)
    from corpuscle.bulk._features import Features
    from corpuscle.counts import open_counts

    with notes() as said, open_counts(collection, layer=layer).on(scheduler) as counts, steps("similar") as advance:
        features = Features(method, n_genes=n_genes, n_pcs=n_pcs, min_reads=min_reads, random_state=seed)
        column = _series_column(counts, series)
        label_n = None if labels is None else sample_labels(counts, labels)
        made = _index(counts, features, column, index, advance)
        if made.series_n is None and not same_series:
            _warn("series are not known, so samples of the same series may be among those found; see --series")
        leave_out = made.series_n is not None and not same_series
        found = _search(made, sample or [], query, k, column if leave_out else None, layer, advance)
        table = _described(found, counts, label_n)
        measured = None
        if precision and label_n is not None:
            from corpuscle.bulk.retrieval import retrieval_precision

            measured = retrieval_precision(made, label_n, k, leave_out, seed=seed)
    also = [line for line in made.features.notes_ if line not in said]
    about = {
        "collection": collection, "query": query, "samples": list(sample or []), "k": k, "same_series": not leave_out,
        "normalisation": made.features.normalizer, "genes": len(made.features.genes_), "components": made.features.n_dims,
        "n_samples": made.n_samples, "seed": seed, "sources": made.about["sources"],
    }  # fmt: skip
    files = (
        {}
        if out is None
        else write_found(out, table, measured, about, [*said, *also], shlex.join(["corpuscle", *sys.argv[1:]]))
    )
    for line in also:
        note(line)
    _show(table, measured, [*said, *also], files, as_json)


def _warn(line: str) -> None:
    """Say it on stderr, and among the notes of the result."""
    warnings.warn(line, UserWarning, stacklevel=1)


def _series_column(counts: Counts, given: str | None) -> str | None:
    if given is None:
        return "series_id" if "series_id" in counts.obs else None
    if given not in counts.obs:
        raise OptionError(
            f"--series {given!r} is no column of obs; it has: {', '.join(map(str, counts.obs.columns)) or 'none'}"
        )
    return given


def _index(counts: Counts, features: Any, series: str | None, folder: Path | None, advance: Any) -> SampleIndex:
    """Take the index from its folder if it is there, else make it and keep it if a folder is named."""
    from corpuscle.bulk.similar import SampleIndex

    if folder is not None and folder.exists():
        made = SampleIndex.load(folder)
        made.check_collection(counts)
        wanted = {name: getattr(features, name) for name in ("normalizer", "n_genes", "n_pcs", "min_reads")}
        differ = [name for name, value in wanted.items() if getattr(made.features, name) != value]
        if differ:
            raise OptionError(
                f"{folder}: was made with {differ[0]} {getattr(made.features, differ[0])}, not {wanted[differ[0]]}; give "
                "the same options, or another folder with --index"
            )
        return made.with_series(counts, series)
    made = SampleIndex.build(counts, features.fit(counts, advance), series=series, progress=advance)
    if folder is not None:
        made.save(folder)
    return made


def _search(
    index: SampleIndex,
    samples: list[str],
    query: str | None,
    k: int,
    series: str | None,
    layer: str | None,
    advance: Any,
) -> Any:
    if query is None:
        return index.search(samples, k, exclude_series=series is not None)
    from corpuscle.counts import open_counts

    with open_counts(query, layer=layer) as asked:
        there = series if series in asked.obs else None
        if series is not None and there is None:
            _warn(f"{query}: has no column {series!r}, so nothing is left out but samples of the same name")
        return index.search_counts(asked, k, series=there, progress=advance)


def _described(found: Any, counts: Counts, label_n: Any) -> Any:
    """The answers with their labels and titles."""
    place = counts.obs.index.astype(str).get_indexer_for(found["sample"]) if counts.obs.index.is_unique else None
    if place is None:
        return found
    if label_n is not None:
        found["label"] = label_n[place]
    for column in TITLES:
        if column in counts.obs:
            found["title"] = counts.obs[column].astype(object).to_numpy()[place]
            break
    return found


def _show(table: Any, measured: Any, said: list[str], files: dict[str, str], as_json: bool) -> None:
    """Print the short table, or all of it as JSON."""
    if as_json:
        summary = None
        if measured is not None:
            summary = {name: value for name, value in vars(measured).items() if name != "by_label"}
            summary["by_label"] = measured.by_label.to_dict("records")
        emit_json({"found": table.to_dict("records"), "precision": summary, "notes": said, "files": files})
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    view = Table(box=None, header_style="bold", pad_edge=False)
    for column in table.columns:
        view.add_column(escape(str(column)), justify="right" if column in ("rank", "similarity") else "left")
    for row in table.head(SHOWN).itertuples(index=False):
        view.add_row(*(escape(f"{one:.3f}" if isinstance(one, float) else str(one)) for one in row))
    with suppress(BrokenPipeError):
        Console(width=None if console.is_terminal else 160).print(view)
    if len(table) > SHOWN:
        note(f"{SHOWN} of {len(table):,} rows are shown; -o DIR writes all")
    if measured is not None:
        line = (
            f"precision at {measured.k}: {measured.precision:.3f} ({measured.ci_low:.3f} to {measured.ci_high:.3f}) over "
            f"{measured.n_queries:,} samples; by chance {measured.chance:.3f}"
        )
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    for name, path in files.items():
        console.print(f"{name}: {path}", markup=False, highlight=False, soft_wrap=True)
