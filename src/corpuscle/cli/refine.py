"""``corpuscle refine``: scores of cell types, smoothed on the cells' own neighbour graph."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from corpuscle.cli._app import app
from corpuscle.cli._named import (
    JSON,
    Force,
    Guard,
    Lam,
    Laplacian,
    Neighbors,
    ReportFolder,
    Seed,
    Transform,
    UseRep,
    check_report,
    insist_on_convergence,
    lam_of,
    notes,
    report_page,
    show,
)

__all__ = ["refine"]


@app.command("refine", epilog="Example: corpuscle refine scored.h5ad --logits X_scores --lam auto -o refined.h5ad")
def refine(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An .h5ad file with scores in obsm.")],
    logits: Annotated[
        str, typer.Option("--logits", metavar="KEY", help="obsm key of the scores, cells x types.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="The .h5ad to write.", show_default=False)],
    lam: Lam = None,
    laplacian: Laplacian = "unnormalized",
    neighbors: Neighbors = None,
    use_rep: UseRep = "X_pca",
    n_neighbors: Annotated[int, typer.Option("--n-neighbors", help="Neighbours of a cell, itself among them.")] = 15,
    transform: Transform = "none",
    temperature: Annotated[float, typer.Option("--temperature", help="Of the softmax.")] = 1.0,
    gate: Annotated[
        float | None, typer.Option("--gate", help="Refine only this share of the cells, the least certain ones.")
    ] = None,
    guard: Guard = True,
    unassigned: Annotated[
        float | None, typer.Option("--unassigned", help="Leave cells with a margin below this unnamed.")
    ] = None,
    layer: Annotated[
        str | None, typer.Option("--layer", help="Layer with the counts, if a graph has to be made.")
    ] = None,
    solver: Annotated[str, typer.Option("--solver", help="auto, pcg or direct.")] = "auto",
    tol: Annotated[float, typer.Option("--tol", help="Relative residual at which a solution will do.")] = 1e-4,
    max_iter: Annotated[int, typer.Option("--max-iter", help="Iterations before giving up.")] = 1000,
    key_added: Annotated[str, typer.Option("--key-added", metavar="KEY", help="Name of the result.")] = "refined",
    seed: Seed = 0,
    report: ReportFolder = None,
    force: Force = False,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Refine scores of FILE (GRIT, Hu et al. 2025) and write a copy of it with the result; the originals stay.

    The matrix is read only where a graph has to be made and the file has no representation to make it of. Nothing is
    written, and the exit code is 2, if the solution is not reached.
    """
    strength = lam_of(lam)
    from corpuscle.annotate._store import check_target, save_found
    from corpuscle.annotate.run import refine_file

    check_target(out, file, force=force)
    check_report(report, force)
    with notes() as said:
        found = refine_file(
            file, logits, layer=layer, lam=strength, laplacian=laplacian, neighbors_key=neighbors, use_rep=use_rep,
            n_neighbors=n_neighbors, transform=transform, temperature=temperature, gate=gate, guard=guard,
            unassigned=unassigned, solver=solver, tol=tol, max_iter=max_iter, key_added=key_added, seed=seed,
        )  # fmt: skip
        insist_on_convergence(found, key_added)
        save_found(found, file, out, layer=layer, force=force)
        command = shlex.join(["corpuscle", *sys.argv[1:]])
        page = report_page(found, report, key=key_added, seed=seed, command=command)
    show(found, out, key=key_added, said=said, page=page, as_json=as_json)
