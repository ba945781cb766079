"""``corpuscle reduce``: principal components of cells of which entries are missing."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from corpuscle.cli._app import app, console, emit_json
from corpuscle.cli._named import JSON, Force, ReportFolder, Seed, check_report, notes
from corpuscle.errors import OptionError

if TYPE_CHECKING:
    from corpuscle.reduce.run import Reduced

__all__ = ["components_of", "reduce"]


@app.command("reduce", epilog="Example: corpuscle reduce pbmc.h5ad --mask zeros-consensus --hvg 2000 -o reduced.h5ad")
def reduce(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="Counts, or values with gaps: .h5ad and others, .csv, .tsv, .npy.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="The .h5ad to write.", show_default=False)],
    mask: Annotated[
        str, typer.Option("--mask", help="What is missing: nan, zeros-consensus, layer:NAME, or .npy, .npz, .mtx.")
    ] = "nan",
    marks: Annotated[
        str, typer.Option("--marks", help="What a 1 in a layer or file means: observed or missing.")
    ] = "observed",
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold", help="For zeros-consensus: share of zeros from which one is real.  [default: 0.85]"
        ),
    ] = None,
    n_components: Annotated[
        str, typer.Option("--n-components", help="A number, cng (scree test), all, or a share such as 0.9.")
    ] = "50",
    estimator: Annotated[str, typer.Option("--estimator", help="ratio, ht or pairwise.")] = "ratio",
    propensity: Annotated[str, typer.Option("--propensity", help="logit, rank1, rows, columns or constant.")] = "logit",
    center: Annotated[str, typer.Option("--center", help="observed, hajek or none.")] = "observed",
    solver: Annotated[str, typer.Option("--solver", help="auto, randomized, arpack or dense.")] = "auto",
    layer: Annotated[str | None, typer.Option("--layer", help="Layer with the values.")] = None,
    log: Annotated[
        bool | None,
        typer.Option(
            "--log/--no-log",
            help="log1p of counts per 10,000 before. Default: if values are counts.",
            show_default=False,
        ),
    ] = None,
    hvg: Annotated[
        int | None, typer.Option("--hvg", metavar="N", help="Use the N most variable genes.", show_default=False)
    ] = None,
    key_added: Annotated[str, typer.Option("--key-added", metavar="KEY", help="Name in obsm.")] = "X_unbiased_pca",
    seed: Seed = 0,
    report: ReportFolder = None,
    force: Force = False,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Principal components of SOURCE that do not bend with how much of each cell was observed (Ling et al. 2021).

    Entries are missing where values are NaN, or where --mask says so. With zeros-consensus they are dropouts, judged by a vote
    of clusterings; that loss depends on the value, which the correction does not undo.
    """
    wanted = components_of(n_components)
    from corpuscle.annotate._store import check_target
    from corpuscle.cli._reduce_files import save_page, save_reduced
    from corpuscle.reduce.run import reduce_file

    check_target(out, source, force=force)
    check_report(report, force)
    with notes() as said:
        reduced = reduce_file(
            source, mask=mask, marks=marks, threshold=threshold, layer=layer, log=log, hvg=hvg, n_comps=wanted, estimator=estimator,
            propensity=propensity, center=None if center == "none" else center, solver=solver, seed=seed,
            key_added=key_added, compare=report is not None,
        )  # fmt: skip
        save_reduced(reduced, source, out, layer=layer, force=force)
        page = save_page(reduced, report, command=shlex.join(["corpuscle", *sys.argv[1:]]), key=key_added)
    _show(reduced, out, key=key_added, said=said, page=page, as_json=as_json)


def components_of(text: str) -> int | float | str:
    """``--n-components`` as a number, a share below 1, or a rule.

    Raises
    ------
    OptionError
        It is none of these.
    """
    if text in ("cng", "all"):
        return text
    if text.isdecimal() and int(text) >= 1:
        return int(text)
    try:
        share = float(text)
    except ValueError:
        share = float("nan")
    if 0 < share < 1:
        return share
    raise OptionError(f"--n-components {text!r}: a number of 1 or more, a share between 0 and 1, cng or all")


def _show(reduced: Reduced, out: Path, *, key: str, said: list[str], page: Path | None, as_json: bool) -> None:
    """Print what was done in a few lines, or as JSON."""
    about: dict[str, Any] = reduced.cells.uns[key.removeprefix("X_")]
    n, k = reduced.cells.obsm[key].shape
    if as_json:
        import numpy as np

        listed = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in about.items()}
        done = {"out": str(out), "cells": n, "components": k, "key": key, **listed, "notes": said}
        emit_json({**done, "report": None if page is None else str(page)})
        return
    span = about["observed_share"]
    lines = [
        f"{about['missing_share']:.1%} of {n:,} x {about['params']['n_genes']:,} entries are missing; cells have "
        f"{span['min']:.1%} to {span['max']:.1%} of theirs",
        *(
            [f"{about['n_unobserved_genes']:,} genes were never observed and are left out"]
            if about["n_unobserved_genes"]
            else []
        ),
        f"{k} components of {n:,} cells in obsm[{key!r}]: {out}",
        *([f"page: {page}"] if page else []),
    ]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
