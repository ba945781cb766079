"""``corpuscle genes``: which genes stand out over many samples, and how alike the samples are where they do."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from corpuscle.cli._app import app, console, emit_json, output_folder
from corpuscle.cli._named import JSON, Seed, note, notes
from corpuscle.cli._progress import steps
from corpuscle.errors import OptionError, OutputError, SourceError

if TYPE_CHECKING:
    import pandas as pd

    from corpuscle.counts import Counts

__all__ = ["genes"]

FILES = ("gene_metrics.parquet", "gene_metrics.csv", "run.json", "report.html")
#: Genes shown in the terminal.
SHOWN = 10


@app.command(
    "genes",
    epilog="Example: corpuscle genes samples.h5 --cosine centred --series series_id --labels labels.npz -o genes",
)
def genes(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="File, folder or quoted glob with raw counts.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Folder to write.", show_default=False)],
    normalizer: Annotated[str, typer.Option("--normalizer", "-n", help="Id of a normalisation.")] = "log_cpm",
    percentile: Annotated[float, typer.Option("--percentile", help="The upper percentile.")] = 95.0,
    cosine: Annotated[
        str | None,
        typer.Option(
            "--cosine", help="How alike samples at the percentile are: centred, uncentred or pcs.", show_default=False
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", "--window", help="Samples around the percentile.")] = 100,
    labels: Annotated[
        str | None,
        typer.Option("--labels", metavar="FILE|obs:COLUMN", help="Labels of samples, for tau.", show_default=False),
    ] = None,
    series: Annotated[
        str | None, typer.Option("--series", metavar="COLUMN", help="obs column with the study.", show_default=False)
    ] = None,
    only: Annotated[
        Path | None, typer.Option("--genes", metavar="FILE", help="Genes to report, one a line.", show_default=False)
    ] = None,
    repo_formula: Annotated[
        bool, typer.Option("--repo-formula", help="Window and scale of the cosine as in the reference repository.")
    ] = False,
    sketch: Annotated[
        bool, typer.Option("--sketch", help="Percentiles from histograms in one pass, within a stated error.")
    ] = False,
    layer: Annotated[str | None, typer.Option("--layer", help="Layer with the raw counts ('raw' for .raw).")] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            "--scheduler", metavar="ADDRESS", help="Dask scheduler, such as tcp://host:8786.", show_default=False
        ),
    ] = None,
    seed: Seed = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace what is in DIR.")] = False,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Percentiles, signal ratio, Gini, tau and mean cosine of every gene of SOURCE, over normalised samples.

    Writes gene_metrics.parquet, gene_metrics.csv, run.json and report.html. Of several genes with one symbol, the one with most
    counts is kept.
    """
    _check_folder(out, force)
    from corpuscle.bulk.genes import gene_metrics
    from corpuscle.counts import open_counts
    from corpuscle.counts._identity import identities

    with open_counts(source, layer) as opened, notes() as said, steps("genes") as progress:
        counts = _one_a_symbol(opened.on(scheduler), said, progress)
        frame = gene_metrics(
            counts, normalizer=normalizer, percentile=percentile, cosine=cosine,
            k=k, labels=labels, series=series, genes=None if only is None else _listed(only), repo_formula=repo_formula,
            percentiles="sketch" if sketch else "exact", seed=seed, progress=progress,
        )  # fmt: skip
        sources = identities(opened)
    about = _about(frame, sources, said)
    _save(frame, out, about)
    _show(frame, out, about, as_json=as_json)


def _check_folder(out: Path, force: bool) -> None:
    there = [name for name in FILES if (out / name).exists()]
    if there and not force:
        raise OutputError(f"{out}: has {there[0]} already; give another folder, or --force to replace it")
    output_folder(out)


def _one_a_symbol(counts: Counts, said: list[str], progress: Any) -> Counts:
    from corpuscle.counts._duplicates import one_per_symbol

    index, lines = one_per_symbol(counts, progress)
    for line in lines:
        said.append(line)
        note(line)
    return counts.view(genes=index) if lines else counts


def _listed(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is not UTF-8 text"
        raise SourceError(f"{path}: {reason}; give a text file with one gene a line") from None
    found = [line.strip() for line in lines if line.strip()]
    if not found:
        raise OptionError(f"{path}: names no gene; give one a line")
    return found


def _about(frame: pd.DataFrame, sources: list[dict[str, Any]], said: list[str]) -> dict[str, Any]:
    from corpuscle import __version__
    from corpuscle._versions import installed

    settings = {name: value for name, value in frame.attrs.items() if name != "notes"}
    for line in frame.attrs["notes"]:
        note(line)
    return {
        "command": shlex.join(["corpuscle", *sys.argv[1:]]),
        "sources": sources,
        **settings,
        "genes": len(frame),
        "notes": [*said, *frame.attrs["notes"]],
        "versions": {"corpuscle": __version__, **installed(["numpy", "scipy", "pandas", "anndata", "h5py"])},
    }


def _save(frame: pd.DataFrame, out: Path, about: dict[str, Any]) -> None:
    import json

    from corpuscle.report._files import write_together
    from corpuscle.report.genes_page import genes_page

    html = genes_page(frame, command=about["command"], sources=about["sources"], notes=about["notes"])
    run = json.dumps(about, indent=2, default=str) + "\n"
    write_together(
        out,
        {
            FILES[0]: lambda file: frame.to_parquet(file, index=False),
            FILES[1]: lambda file: frame.to_csv(file, index=False, float_format="%.8g"),
            FILES[2]: lambda file: _put(file, run),
            FILES[3]: lambda file: _put(file, html),
        },
    )


def _put(file: Any, text: str) -> None:
    file.write(text.encode("utf-8", "replace"))


def _show(frame: pd.DataFrame, out: Path, about: dict[str, Any], *, as_json: bool) -> None:
    top = frame.nlargest(SHOWN, "signal_ratio")
    if as_json:
        emit_json({"out": str(out), **about, "top": top.to_dict("records")})
        return
    for row in top.to_dict("records"):
        alike = "" if row["cosine"] != row["cosine"] else f", cosine {row['cosine']:.3f} (z {row['cosine_z']:.1f})"
        line = f"{row['gene']}: signal ratio {row['signal_ratio']:.3g}, mean {row['mean']:.3g}{alike}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    line = f"{len(frame):,} genes over {about['n']:,} samples: {out}"
    console.print(line, markup=False, highlight=False, soft_wrap=True)
