"""``corpuscle train``: learned models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from corpuscle.cli._app import app, console, emit_json
from corpuscle.cli._notes import model_notes
from corpuscle.cli._progress import steps
from corpuscle.errors import OptionError

if TYPE_CHECKING:
    from anndata import AnnData

    from corpuscle.counts import Counts

__all__ = ["train"]

train = typer.Typer(name="train", help="Train a model on your cells.", no_args_is_help=True)
app.add_typer(train)


@train.command(
    "sce2tm", epilog="Example: corpuscle train sce2tm pbmc.h5ad --topics 50 --foundation X_scGPT -o pbmc.model"
)
def train_sce2tm(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Raw counts: a file, folder or quoted glob.")],
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="DIR", help="The model's folder to write.", show_default=False)
    ],
    topics: Annotated[int | None, typer.Option("--topics", help="Number of topics; 50, or the recipe's.")] = None,
    recipe: Annotated[str, typer.Option("--recipe", help="corpuscle, or authors (as published).")] = "corpuscle",
    layer: Annotated[str | None, typer.Option("--layer", help="Layer with the raw counts.")] = None,
    expression: Annotated[
        str, typer.Option("--expression", help="counts, or log: logged values, taken as they are.")
    ] = "counts",
    foundation: Annotated[
        str | None, typer.Option("--foundation", metavar="KEY", help="obsm key of a second view of the cells.")
    ] = None,
    batch: Annotated[str | None, typer.Option("--batch", metavar="KEY", help="obs column of the batches.")] = None,
    n_top_genes: Annotated[
        int | None, typer.Option("--n-top-genes", help="Highly variable genes the model sees; 2000, or the recipe's.")
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", help="Passes over the cells; the recipe's.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of everything random.")] = 0,
    accelerator: Annotated[str, typer.Option("--accelerator", help="auto, cpu or gpu.")] = "auto",
    force: Annotated[bool, typer.Option("--force", help="Replace a model that is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")] = False,
) -> None:
    """Learn topics of cells and genes: an embedding whose dimensions can be read as gene programs (scE2TM)."""
    from corpuscle.models import SCE2TM
    from corpuscle.models._storage import check_model_target

    check_model_target(out, overwrite=force)
    changes = {"n_topics": topics, "n_top_genes": n_top_genes}
    with model_notes():
        cells = _cells(source, layer, expression, foundation)
        SCE2TM.setup_anndata(cells, foundation_key=foundation, batch_key=batch, expression=expression)
        chosen = {name: value for name, value in changes.items() if value is not None}
        model = SCE2TM(cells, recipe, seed=seed, **chosen)
        with steps("train: sce2tm") as progress:
            model.train(max_epochs=epochs, accelerator=accelerator, progress=progress or False)
        model.save(out, overwrite=force)
    _report(model, cells.n_obs, out, as_json)


def _cells(source: str, layer: str | None, expression: str, foundation: str | None) -> AnnData:
    """Cells in memory: the matrix, names and, of one AnnData file, the second view."""
    from anndata import AnnData

    from corpuscle.counts import open_counts

    if expression not in ("counts", "log"):
        raise OptionError(f"--expression {expression!r} must be counts or log")
    with open_counts(source, layer, check=expression == "counts") as counts:
        if expression == "counts":
            x_ng = counts.to_csr()
        else:
            import scipy.sparse as sp

            x_ng = sp.vstack([block.x_ng for block in counts.blocks(fractional=True)], format="csr")
        view_ne = None if foundation is None else _second_view(counts, foundation)
        cells = AnnData(X=x_ng, obs=counts.obs.copy(), var=counts.var[[]].copy())
    if foundation is not None:
        cells.obsm[foundation] = view_ne
    return cells


def _second_view(counts: Counts, key: str) -> Any:
    """``obsm[key]`` of the AnnData file that holds the counts."""
    from anndata.io import read_elem

    from corpuscle.counts._store import Store, reading
    from corpuscle.models._cells import checked_view

    path = counts.sources[0].path
    if len(counts.sources) > 1 or path is None:
        raise OptionError(f"--foundation {key} needs one AnnData file, and there are {len(counts.sources)} sources")
    store = Store(path, "zarr" if path.is_dir() else "hdf5")
    try:
        have = store.members("obsm")
        if key not in have:
            raise OptionError(f"{path}: obsm has no {key!r} for the second view; it has: {', '.join(have) or 'none'}")
        with reading(f"{path}: obsm/{key}"):
            view = read_elem(store[f"obsm/{key}"])
    finally:
        store.close()
    return checked_view(view, counts.n_obs, key=key, cells=counts.obs.index)


def _report(model: Any, n_cells: int, out: Path, as_json: bool) -> None:
    last = {name: float(frame.iloc[-1, 0]) for name, frame in model.history.items() if len(frame)}
    done = {
        "model": "SCE2TM",
        "out": str(out),
        "cells": n_cells,
        "genes": len(model.genes_),
        "topics": model.recipe_.n_topics,
        "epochs": len(model.history["train_loss"]),
        "recipe": model.recipe_.to_dict(),
        "loss": {name: value for name, value in last.items() if value == value},
    }
    if as_json:
        emit_json(done)
        return
    console.print(
        f"{done['topics']} topics of {n_cells:,} cells x {done['genes']:,} genes, {done['epochs']} epochs: {out}",
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip
