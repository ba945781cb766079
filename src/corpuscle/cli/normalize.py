"""``corpuscle normalize``: normalised values of a whole matrix, in a file."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from corpuscle.cli._app import app, console, emit_json
from corpuscle.cli._normalize_fit import Choice, chosen_counts, fitted, frozen, note
from corpuscle.cli._normalize_list import show_methods
from corpuscle.cli._progress import steps
from corpuscle.errors import OptionError

if TYPE_CHECKING:
    from corpuscle.counts import Counts
    from corpuscle.normalize import Normalizer

__all__ = ["normalize"]

#: Dense output above this is announced before it is written.
LARGE_BYTES = 1e9


@app.command(
    "normalize",
    epilog="Examples: corpuscle normalize pbmc.h5ad --method pearson_analytic --param theta=50 -o out.h5ad; "
    "corpuscle normalize human_gene_v2.5.h5 --method log2_qn --train train.txt --save-fit target.npz",
)
def normalize(
    source: Annotated[str | None, typer.Argument(metavar="SOURCE", help="File, folder or quoted glob.")] = None,
    method: Annotated[str, typer.Option("--method", "-m", help="Id of a method (--list), or module:Class.")] = "",
    out: Annotated[Path | None, typer.Option("-o", "--out", help="The .h5ad file to write.")] = None,
    param: Annotated[list[str] | None, typer.Option("--param", help="Parameter, NAME=VALUE; may be repeated.")] = None,
    length: Annotated[Path | None, typer.Option("--length", help="Gene lengths: a table, or GTF/GFF.")] = None,
    layer: Annotated[str | None, typer.Option("--layer", help="Layer with the raw counts ('raw' for .raw).")] = None,
    train: Annotated[Path | None, typer.Option("--train", help="Names of the samples to fit on, one a line.")] = None,
    save_fit: Annotated[Path | None, typer.Option("--save-fit", help="Save what was learnt, as .npz.")] = None,
    fit: Annotated[Path | None, typer.Option("--fit", help="Apply what --save-fit saved; nothing is fitted.")] = None,
    drop_flagged: Annotated[
        bool, typer.Option("--drop-flagged", help="Leave out single-cell-like, shallow and poor samples.")
    ] = False,
    one_per_symbol: Annotated[
        bool, typer.Option("--one-per-symbol", help="Of genes with one symbol keep the one with most counts.")
    ] = False,
    scheduler: Annotated[str | None, typer.Option("--scheduler", help="Address or file of a Dask scheduler.")] = None,
    as_layer: Annotated[
        str | None, typer.Option("--as-layer", help="Store values as this layer beside the counts in X.")
    ] = None,
    keep_counts: Annotated[bool, typer.Option("--counts/--no-counts", help="Keep counts, in layers['counts'].")] = True,
    dtype: Annotated[str, typer.Option("--dtype", help="float32, or float16 for bulk samples.")] = "float32",
    compression: Annotated[str, typer.Option("--compression", help="none, gzip or lzf.")] = "none",
    force: Annotated[bool, typer.Option("--force", help="Replace OUT if it is there.")] = False,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of a method that draws at random.")] = None,
    list_methods: Annotated[bool, typer.Option("--list", help="Show all methods and leave.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")] = False,
) -> None:
    """Normalise the raw counts of SOURCE into an .h5ad file, as a stream.

    Values are float32 in X, with the raw counts in layers["counts"]; cells, genes and metadata are kept. With
    --save-fit and without -o only what the method learns is written. A run that was stopped while it wrote the
    values of bulk samples does not fit again.
    """
    if list_methods:
        show_methods(as_json)
        return
    if source is None or not (method or fit) or (out is None and save_fit is None):
        raise OptionError("give SOURCE, --method and -o; corpuscle normalize --list shows the methods")
    if fit is not None and (param or length or train or save_fit):
        raise OptionError("--fit applies what was saved; leave --param, --length, --train and --save-fit out")
    made, info = (_method(method, param or [], length, seed), None) if fit is None else frozen(fit, method)
    if hasattr(made, "check_params"):
        made.check_params()  # before the first pass over the source, which may be long
    choice = Choice(layer, train, save_fit, info, drop_flagged, one_per_symbol, scheduler)
    done = _run(source, made, choice, out, as_layer, keep_counts, dtype, compression, force)
    if as_json:
        emit_json(done)
    else:
        console.print(
            f"{done['method']} of {done['cells']:,} cells x {done['genes']:,} genes: {out or save_fit}",
            markup=False,
            highlight=False,
        )


def _run(
    source: str,
    method: Normalizer,
    choice: Choice,
    out: Path | None,
    as_layer: str | None,
    keep_counts: bool,
    dtype: str,
    compression: str,
    force: bool,
) -> dict[str, Any]:
    from corpuscle.counts import open_counts
    from corpuscle.normalize import check_target, plan_write, write_normalized

    with open_counts(source, choice.layer) as opened, steps(f"normalize: {method.name}") as progress:
        for target in (out, choice.save_fit):
            if target is not None:
                check_target(opened, target, overwrite=force)
        counts, notes = chosen_counts(opened, choice, method)
        plan = None
        if out is not None:
            plan = plan_write(counts, method, keep_counts=keep_counts, as_layer=as_layer, dtype=dtype)
        if plan and not plan.sparse and plan.n_bytes > LARGE_BYTES:
            shape = f"{counts.n_obs:,} cells x {counts.n_vars:,} genes"
            note(f"{method.name} gives zeros a value, so {shape} are stored dense: {plan.n_bytes / 1e9:.1f} GB")
        held = counts.load() if method.needs == "matrix" else counts  # a pass for every batch of genes would be dear
        learnt = fitted(held, method, choice, out, progress)
        done = _described(held, method, learnt | {"notes": notes + learnt["notes"]})
        if out is None or plan is None:
            return done
        write_normalized(held, method, out, plan, compression=compression, overwrite=force, progress=progress)
        if learnt["kept"] is not None:
            learnt["kept"].unlink(missing_ok=True)
        return done | {
            "out": str(out),
            "values": plan.values,
            "counts": plan.counts,
            "sparse": plan.sparse,
            "bytes": out.stat().st_size,
        }


def _described(counts: Counts, method: Normalizer, learnt: dict[str, Any]) -> dict[str, Any]:
    given = getattr(method, "given_genes_", None)
    return {
        "method": method.name,
        "params": method.get_params(deep=False),
        "out": None,
        "cells": counts.n_obs,
        "genes": counts.n_vars if given is None else len(given),
        "fit": learnt["path"],
        "fitted_on": learnt["n"],
        "notes": learnt["notes"],
    }


def _method(name: str, given: list[str], length: Path | None, seed: int | None) -> Normalizer:
    """Make the method with its parameters; ``--seed`` is its ``random_state``, ``--length`` its ``lengths``."""
    from corpuscle.normalize import normalizer_names, parse_method

    params = dict(_param(text) for text in given)
    if length is not None:
        params["lengths"] = str(length)
    if name in normalizer_names():
        from corpuscle.normalize import normalizer

        made = normalizer(name, **params)
    else:
        made = parse_method(name)
        known = made.get_params(deep=False)
        for one in params:
            if one not in known:
                raise OptionError(f"method {name} has no parameter {one!r}; it has: {', '.join(known) or 'none'}")
        made.set_params(**params)
    if seed is not None and "random_state" in made.get_params(deep=False) and "random_state" not in params:
        made.set_params(random_state=seed)
    return made


def _param(text: str) -> tuple[str, Any]:
    """``theta=50`` as ("theta", 50): a Python number, None, True or the like, else the text itself."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise OptionError(f"--param {text!r} is not of the form NAME=VALUE")
    if value.lower() in {"inf", "none", "true", "false"}:
        return name, {"inf": float("inf"), "none": None, "true": True, "false": False}[value.lower()]
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value
