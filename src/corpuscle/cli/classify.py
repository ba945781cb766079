"""``corpuscle classify``: teach a classifier of samples, use it, and find out how far it can be trusted."""

from __future__ import annotations

import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from corpuscle.cli._app import app, console, emit_json
from corpuscle.cli._classify_files import (
    EVALUATION,
    PREDICTION,
    check_out,
    given_labels,
    given_series,
    plain,
    write_evaluation,
    write_predictions,
)
from corpuscle.cli._named import JSON, Seed, listed, note, notes
from corpuscle.cli._progress import steps
from corpuscle.errors import OutputError

if TYPE_CHECKING:
    from corpuscle.bulk import Features

__all__ = ["classify"]

classify = typer.Typer(help="Tell what samples are, and how far the answers can be trusted.", no_args_is_help=True)
app.add_typer(classify, name="classify")

Source = Annotated[str, typer.Argument(metavar="SOURCE", help="Raw counts: file or quoted glob.")]
LabelsFrom = Annotated[
    str,
    typer.Option("--labels", metavar="FILE.npz|obs:COLUMN", help="What samples are: labels build's, or obs.",
                 show_default=False),
]  # fmt: skip
Series = Annotated[
    str, typer.Option("--series", metavar="COLUMN", help="obs column of the series (study, donor), or none.")
]
Method = Annotated[str, typer.Option("--normalizer", help="Normalisation.")]
Genes = Annotated[int, typer.Option("--n-genes", help="Most variable genes to use.")]
Axes = Annotated[int, typer.Option("--n-pcs", help="Principal components to use.")]
Reads = Annotated[float, typer.Option("--min-reads", help="A gene needs more reads in 2% of samples.")]
Folds = Annotated[int, typer.Option("--folds", help="Folds of series that are held out in turn.")]
Boot = Annotated[int, typer.Option("--n-boot", help="Resamples of the series, for intervals.")]
Layer = Annotated[str | None, typer.Option("--layer", help="Layer with the raw counts ('raw' for .raw).")]
Scheduler = Annotated[str | None, typer.Option("--scheduler", help="Address or file of a Dask scheduler.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there.")]


@classify.command("train", epilog="Example: corpuscle classify train human_gene.h5 --labels labels.npz -o tissue-model")
def train(
    source: Source,
    labels: LabelsFrom,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Folder to write.", show_default=False)],
    series: Series = "series_id",
    model: Annotated[
        str, typer.Option("--model", help="logistic, random_forest, knn, boosting, mlp or majority.")
    ] = "logistic",
    normalizer: Method = "log_cpm",
    n_genes: Genes = 5000,
    n_pcs: Axes = 200,
    min_reads: Reads = 20,
    folds: Folds = 5,
    n_boot: Boot = 1000,
    layer: Layer = None,
    scheduler: Scheduler = None,
    seed: Seed = 0,
    force: Force = False,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Teach a classifier all labelled samples; its card has the scores on series that were held out."""
    if out.exists() and (out.is_file() or any(out.iterdir())) and not force:
        raise OutputError(f"{out}: is there already; give another folder with -o, or --force to replace a classifier")
    from corpuscle.bulk.classify import SampleClassifier
    from corpuscle.counts import open_counts

    with notes() as said, open_counts(source, layer=layer).on(scheduler) as counts, steps("classify") as advance:
        features = _features(normalizer, n_genes, n_pcs, min_reads, seed)
        made = SampleClassifier(model, features=features, folds=folds, seed=seed, n_boot=n_boot)
        found = given_labels(counts, labels)
        codes, lines = given_series(counts, series, needed=True)
        made.fit(counts, found, codes, advance)
        made.save(out)
    lines = [line for line in [*lines, *made.card_["notes"]] if line not in said]
    for line in lines:
        note(line)
    if as_json:
        emit_json(plain({**made.card_, "notes": [*said, *lines], "folder": str(out)}))
        return
    scores = made.card_["scores"]
    if scores:
        value, low, high = scores["macro_f1"]
        held = "series" if codes is not None else "samples"
        _plain(f"macro-F1 on held-out {held}: {_number(value)} ({_number(low)} to {_number(high)})")
    _plain(f"{len(made.labels_)} labels, {made.card_['n_samples']:,} samples: {out}")


@classify.command("predict", epilog="Example: corpuscle classify predict tissue-model mine.h5ad -o predictions.csv")
def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Folder that classify train wrote.")],
    source: Source,
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="DIR|FILE.csv", help="Where to write.", show_default=False)
    ],
    abstain: Annotated[
        float | None,
        typer.Option(
            "--abstain",
            help="Probability below which a sample gets no label.  [default: the model's]",
            show_default=False,
        ),
    ] = None,
    layer: Layer = None,
    scheduler: Scheduler = None,
    force: Force = False,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Tell the labels of samples; where the model does not know, it says so.

    Genes are found by name and must all be there, since a missing one would shift the normalisation of the others.
    """
    check_out(out, force=force, files=PREDICTION)
    from corpuscle.bulk.classify import SampleClassifier
    from corpuscle.counts import open_counts
    from corpuscle.counts._identity import identities

    with notes() as said, steps("classify") as advance:
        loaded = SampleClassifier.load(model)
        with open_counts(source, layer=layer).on(scheduler) as counts:
            table = loaded.predict(counts, abstain, advance)
            about = {
                "model": str(model), "source": source, "n_samples": len(table), "abstained": int(table["abstained"].sum()),
                "threshold": loaded.threshold_ if abstain is None else abstain, "labels": list(loaded.labels_),
                "sources": identities(counts), "command": _command(),
            }  # fmt: skip
    lines = [line for line in table.attrs["notes"] if line not in said]
    for line in lines:
        note(line)
    files = write_predictions(out, table, {**about, "notes": [*said, *lines]})
    if as_json:
        emit_json(plain({**about, "notes": [*said, *lines], "files": files, "predictions": table.to_dict("records")}))
        return
    _plain(f"{about['n_samples']:,} samples, {about['abstained']:,} without a label (probability below "
           f"{about['threshold']:.3g}): {files['predictions']}")  # fmt: skip


@classify.command(
    "evaluate",
    epilog="Example: corpuscle classify evaluate human_gene.h5 --labels labels.npz --models logistic,knn,majority -o judged",
)
def evaluate_models(
    source: Source,
    labels: LabelsFrom,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Folder to write.", show_default=False)],
    series: Series = "series_id",
    models: Annotated[
        str,
        typer.Option(
            "--models", metavar="A,B", help="Models to judge; reference is the published way, for comparison."
        ),
    ] = "logistic,majority",
    split: Annotated[
        str, typer.Option("--split", help="series, or random: then a study may be on both sides.")
    ] = "series",
    compare: Annotated[bool, typer.Option("--compare/--no-compare", help="Also split at random, for the gap.")] = True,
    folds: Folds = 5,
    seeds: Annotated[int, typer.Option("--seeds", help="How often folds are drawn.")] = 1,
    normalizer: Method = "log_cpm",
    n_genes: Genes = 5000,
    n_pcs: Axes = 200,
    min_reads: Reads = 20,
    n_boot: Boot = 1000,
    layer: Layer = None,
    scheduler: Scheduler = None,
    seed: Seed = 0,
    force: Force = False,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Judge models on series that they have not seen, beside the score of a random split, which is too high."""
    check_out(out, force=force, files=EVALUATION)
    from corpuscle.bulk.classify import evaluate
    from corpuscle.counts import open_counts

    with notes() as said, open_counts(source, layer=layer).on(scheduler) as counts, steps("classify") as advance:
        codes, lines = given_series(counts, series, needed=split == "series")
        if codes is None and split == "series":
            split = "random"
            lines = ["series are not known: the split is random, and the scores are too high"]
        made = evaluate(
            counts, given_labels(counts, labels), codes, models=listed(models) or [], split=split, compare=compare,
            folds=folds, seeds=seeds, seed=seed, features=_features(normalizer, n_genes, n_pcs, min_reads, seed),
            n_boot=n_boot, progress=advance,
        )  # fmt: skip
    lines = [line for line in [*lines, *made.notes, *made.failures["reason"]] if line not in said]
    for line in lines:
        note(line)
    files = write_evaluation(out, made, [*said, *lines], _command())
    if as_json:
        answer = {name: getattr(made, name).to_dict("records") for name in ("overall", "gaps", "by_label", "left_out")}
        emit_json(plain({**answer, "notes": [*said, *lines], "files": files}))
        return
    _show(made.overall)
    for name, path in files.items():
        _plain(f"{name}: {path}")


def _features(normalizer: str, n_genes: int, n_pcs: int, min_reads: float, seed: int) -> Features:
    from corpuscle.bulk import Features

    return Features(normalizer, n_genes=n_genes, n_pcs=n_pcs, min_reads=min_reads, random_state=seed)


def _command() -> str:
    return shlex.join(["corpuscle", *sys.argv[1:]])


def _plain(line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _number(value: Any) -> str:
    return "not defined" if value is None or value != value else f"{value:.3f}"


def _show(overall: Any) -> None:
    """Print the main numbers, one row a model and split."""
    from rich.console import Console
    from rich.table import Table

    shown = ("macro_f1", "micro_f1", "samples_f1", "balanced_accuracy", "macro_auprc", "ece")
    view = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("model", "split", *(name.replace("_", " ") for name in shown)):
        view.add_column(column, justify="left" if column in ("model", "split") else "right")
    for (model, split), rows in overall.groupby(["model", "split"], sort=False):
        value = rows.groupby("metric")["value"].mean()
        view.add_row(model, split, *(_number(value[name]) if name in value else "" for name in shown))
    with suppress(BrokenPipeError):
        Console(width=None if console.is_terminal else 140).print(view)
