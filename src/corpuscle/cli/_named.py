"""What ``corpuscle annotate`` and ``corpuscle refine`` share: options, notes, the short summary and the page."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import corpuscle
from corpuscle.cli._app import console, emit_json, output_folder
from corpuscle.errors import MethodError, OptionError, OutputError

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = [
    "JSON", "Force", "Guard", "Lam", "Laplacian", "Neighbors", "ReportFolder", "Seed", "Transform", "UseRep", "check_report",
    "insist_on_convergence", "lam_of", "listed", "notes", "report_page", "show",
]  # fmt: skip

#: Types shown in the terminal; more are in the file and on the page.
SHOWN = 25
JSON = typer.Option("--json", help="Print JSON to stdout.")
Lam = Annotated[
    str | None, typer.Option("--lam", help="Strength, or auto. Default: by need; 1 without guards.", show_default=False)
]
Laplacian = Annotated[str, typer.Option("--laplacian", help="unnormalized, symmetric or random_walk.")]
Transform = Annotated[
    str, typer.Option("--transform", help="Of the scores before: none, softmax, log, zscore, rank or center.")
]
Guard = Annotated[
    bool,
    typer.Option("--guard/--no-guard", help="Keep refinement from erasing types; --no-guard is as published."),
]
Neighbors = Annotated[str | None, typer.Option("--neighbors", metavar="KEY", help="uns key of a graph in the file.")]
UseRep = Annotated[str, typer.Option("--use-rep", metavar="KEY", help="obsm key to make a graph of.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of everything random.")]
ReportFolder = Annotated[Path | None, typer.Option("--report", metavar="DIR", help="Folder for a page with figures.")]
Force = Annotated[bool, typer.Option("--force", help="Replace FILE and the page if they are there.")]


def listed(text: str | None) -> list[str] | None:
    """``"a, b"`` as ["a", "b"]; None if nothing is named. With a semicolon, commas belong to names."""
    given = text or ""
    words = [word.strip() for word in given.split(";" if ";" in given else ",")]
    return [word for word in words if word] or None


def lam_of(text: str | None) -> float | str | None:
    """``--lam`` as a number, or "auto"; None where it was not given.

    Raises
    ------
    OptionError
        It is neither.
    """
    if text is None or text == "auto":
        return text
    try:
        return float(text)
    except ValueError:
        raise OptionError(f"--lam {text!r} is neither a number nor auto") from None


def check_report(folder: Path | None, force: bool) -> None:
    """Refuse a folder for the page that cannot be written, or would lose a page, before any work is done."""
    if folder is None:
        return
    if (folder / "report.html").exists() and not force:
        raise OutputError(f"{folder}: has a report.html already; give another folder, or --force to replace it")
    output_folder(folder)


@contextmanager
def notes() -> Iterator[list[str]]:
    """Show our own warnings as notes, each once, and drop those of libraries; yields what was said."""
    said: list[str] = []
    ours = str(Path(corpuscle.__file__).parent)

    def show_one(message: Warning | str, category: type[Warning], filename: str, *_: object, **__: object) -> None:
        line = " ".join(str(message).split())
        if category is UserWarning and filename.startswith(ours) and line not in said:
            said.append(line)
            note(line)

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show_one  # what leaving the block takes back
        yield said


def note(line: str) -> None:
    """One yellow line on stderr."""
    console.print(f"note: {line}", style="yellow", markup=False, highlight=False, soft_wrap=True)


def insist_on_convergence(adata: AnnData, key: str) -> None:
    """Leave before anything is written if the solver did not get there.

    Raises
    ------
    MethodError
        With the residual that was reached.
    """
    done = adata.uns.get(key, {})
    if done.get("converged", True):
        return
    worst = done.get("residual", float("nan"))
    raise MethodError(
        f"refinement stopped after {done.get('iterations', '?')} iterations at a relative residual of {worst:.1e}, above the "
        "tolerance; nothing was written: raise --max-iter, or --tol"
    )


def report_page(adata: AnnData, folder: Path | None, *, key: str, seed: int, command: str) -> Path | None:
    """Write the page, if one is wanted."""
    if folder is None:
        return None
    from corpuscle.report.annotation_page import save_annotation_page

    return save_annotation_page(adata, folder / "report.html", key=key, seed=seed, command=command)


def show(adata: AnnData, out: Path, *, key: str, said: list[str], page: Path | None, as_json: bool) -> None:
    """Print the short summary, or all of it as JSON."""
    from corpuscle.annotate._naming import naming_of

    naming = naming_of(adata, key)
    rows = _rows(naming)
    refined = naming.refined
    done = {
        "out": str(out), "cells": adata.n_obs, "source": naming.source, "types": rows,
        "refined": bool(refined), "changed": int(naming.changed_n.sum()), "notes": [*said, *_words(refined, said)],
        "report": None if page is None else str(page),
    }  # fmt: skip
    if refined:
        done |= {
            name: refined[name]
            for name in ("lam", "strength", "iterations", "n_components", "n_isolated")
            if name in refined
        }
    if as_json:
        emit_json(done)
        return
    _print_table(rows, refined=bool(refined))
    for line in _words(refined, said):
        note(line)
    changed = f", {done['changed']:,} changed by refinement" if refined else ""
    _plain(f"{adata.n_obs:,} cells named by {naming.source}{changed}: {out}")
    if page is not None:
        _plain(f"page: {page}")


def _plain(line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _words(refined: Mapping[str, Any], said: list[str]) -> list[str]:
    """What the guard did and what became of types, as far as it was not said yet; the page has the rest."""
    import numpy as np

    guard = refined.get("guard", {})
    lines = [str(line) for line in np.ravel(guard.get("words", [])) if isinstance(guard, Mapping)]
    lines += [str(line) for line in np.ravel(refined.get("warnings", [])) if not str(line).startswith("as published")]
    return [line for line in dict.fromkeys(lines) if line and line not in said]


def _rows(naming: Any) -> list[dict[str, Any]]:
    import numpy as np

    before_k, after_k = naming.counts(naming.before_n), naming.counts(naming.after_n)
    ids = naming.cl_ids or (None,) * len(naming.types)
    rows = []
    for k in np.argsort(-after_k, kind="stable"):
        margins = naming.margin_n[naming.after_n == k]
        row = {
            "type": naming.types[k], "cl_id": ids[k], "before": int(before_k[k]), "cells": int(after_k[k]),
            "margin": float(np.median(margins)) if margins.size else float("nan"), "erased": bool(naming.erased_k[k]),
        }  # fmt: skip
        rows.append(row)
    return rows


def _print_table(rows: list[dict[str, Any]], *, refined: bool) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    occur = [row for row in rows if row["cells"] or row["before"]]
    view = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("type", "Cell Ontology", *(("before",) if refined else ()), "cells", "margin", ""):
        view.add_column(heading, justify="left" if heading in ("type", "Cell Ontology", "") else "right", no_wrap=True)
    for row in occur[:SHOWN]:
        margin = "" if row["margin"] != row["margin"] else f"{row['margin']:.3g}"
        cells = [escape(row["type"]), row["cl_id"] or ""] + ([f"{row['before']:,}"] if refined else [])
        view.add_row(*cells, f"{row['cells']:,}", margin, "erased" if row["erased"] else "")
    if len(occur) > SHOWN:
        view.add_row(f"and {len(occur) - SHOWN} smaller types")
    Console(width=None if console.is_terminal else 140, stderr=True).print(view)
