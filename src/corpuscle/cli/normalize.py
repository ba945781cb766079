"""``corpuscle normalize``: normalised values of a whole matrix, in a file."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from corpuscle.cli._app import app, console, emit_json
from corpuscle.cli._progress import steps
from corpuscle.errors import OptionError

if TYPE_CHECKING:
    from corpuscle.normalize import Normalizer

__all__ = ["normalize"]

#: Dense output above this is announced before it is written.
LARGE_BYTES = 1e9


@app.command(
    "normalize", epilog="Example: corpuscle normalize pbmc.h5ad --method pearson_analytic --param theta=50 -o out.h5ad"
)
def normalize(
    source: Annotated[str | None, typer.Argument(metavar="SOURCE", help="File, folder or quoted glob.")] = None,
    method: Annotated[str, typer.Option("--method", "-m", help="Id of a method (--list), or module:Class.")] = "",
    out: Annotated[Path | None, typer.Option("-o", "--out", help="The .h5ad file to write.")] = None,
    param: Annotated[list[str] | None, typer.Option("--param", help="Parameter, NAME=VALUE; may be repeated.")] = None,
    layer: Annotated[str | None, typer.Option("--layer", help="Layer with the raw counts ('raw' for .raw).")] = None,
    as_layer: Annotated[
        str | None, typer.Option("--as-layer", help="Store values as this layer beside the counts in X.")
    ] = None,
    keep_counts: Annotated[bool, typer.Option("--counts/--no-counts", help="Keep counts, in layers['counts'].")] = True,
    compression: Annotated[str, typer.Option("--compression", help="none, gzip or lzf.")] = "none",
    force: Annotated[bool, typer.Option("--force", help="Replace OUT if it is there.")] = False,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of a method that draws at random.")] = None,
    list_methods: Annotated[bool, typer.Option("--list", help="Show all methods and leave.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")] = False,
) -> None:
    """Normalise the raw counts of SOURCE into an .h5ad file, as a stream.

    Values are float32 in X, with the raw counts in layers["counts"]; cells, genes and metadata are kept.
    """
    if list_methods:
        _show_methods(as_json)
        return
    if source is None or not method or out is None:
        raise OptionError("give SOURCE, --method and -o; corpuscle normalize --list shows the methods")
    made = _method(method, param or [], seed)
    if hasattr(made, "check_params"):
        made.check_params()  # before the first pass over the source, which may be long
    done = _run(source, made, out, layer, as_layer, keep_counts, compression, force)
    if as_json:
        emit_json(done)
    else:
        console.print(
            f"{done['method']} of {done['cells']:,} cells x {done['genes']:,} genes: {out}",
            markup=False,
            highlight=False,
        )


def _run(
    source: str,
    method: Normalizer,
    out: Path,
    layer: str | None,
    as_layer: str | None,
    keep_counts: bool,
    compression: str,
    force: bool,
) -> dict[str, Any]:
    from corpuscle.counts import open_counts
    from corpuscle.normalize import check_target, plan_write, write_normalized

    with open_counts(source, layer) as counts:
        check_target(counts, out, overwrite=force)
        plan = plan_write(counts, method, keep_counts=keep_counts, as_layer=as_layer)
        shape = f"{counts.n_obs:,} cells x {counts.n_vars:,} genes"
        if not plan.sparse and plan.n_bytes > LARGE_BYTES:
            console.print(
                f"note: {method.name} gives zeros a value, so {shape} are stored dense: {plan.n_bytes / 1e9:.1f} GB",
                style="yellow", highlight=False, markup=False,
            )  # fmt: skip
        held = counts.load() if method.needs == "matrix" else counts  # a pass for every batch of genes would be dear
        with steps(f"normalize: {method.name}") as progress:
            method.fit(held)
            write_normalized(held, method, out, plan, compression=compression, overwrite=force, progress=progress)
        return {
            "method": method.name,
            "params": method.get_params(deep=False),
            "out": str(out),
            "cells": counts.n_obs,
            "genes": counts.n_vars,
            "values": plan.values,
            "counts": plan.counts,
            "sparse": plan.sparse,
            "bytes": out.stat().st_size,
        }


def _method(name: str, given: list[str], seed: int | None) -> Normalizer:
    """Make the method with its parameters; ``--seed`` is its ``random_state``."""
    from corpuscle.normalize import normalizer_names, parse_method

    params = dict(_param(text) for text in given)
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


def _show_methods(as_json: bool) -> None:
    rows = _methods()
    if as_json:
        emit_json(rows)
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("method", "needs", "zeros", "formula", "parameters"):
        table.add_column(heading, no_wrap=heading == "method", overflow="fold")
    for row in rows:
        params = ", ".join(f"{key}={value!r}" for key, value in row["params"].items())
        zeros = "kept" if row["keeps_zeros"] else "filled"
        table.add_row(row["method"], row["needs"], zeros, escape(row["formula"]), escape(params))
    Console().print(table)


def _methods() -> list[dict[str, Any]]:
    """Every registered method: id, formula, needs, whether zeros stay zero, parameters and their defaults."""
    import inspect

    from corpuscle.normalize import normalizer_class, normalizer_names

    rows: list[dict[str, Any]] = []
    for name in normalizer_names():
        try:
            made = normalizer_class(name)
        except OptionError as error:
            rows.append({"method": name, "needs": "?", "keeps_zeros": None, "formula": str(error), "params": {}})
            continue
        params = {
            key: None if one.default is one.empty else one.default
            for key, one in inspect.signature(made).parameters.items()
        }
        rows.append({
            "method": name,
            "needs": getattr(made, "needs", "?"),
            "keeps_zeros": getattr(made, "keeps_zeros", None),
            "formula": getattr(made, "formula", ""),
            "params": params,
        })  # fmt: skip
    return rows
