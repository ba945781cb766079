"""``corpuscle embed``: what a trained model says of cells, in a file."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from corpuscle.cli._app import app, console, emit_json
from corpuscle.cli._notes import model_notes
from corpuscle.errors import OptionError, OutputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["embed"]

FORMATS = (".h5ad", ".csv", ".parquet")


@app.command("embed", epilog="Example: corpuscle embed pbmc.model new.h5ad -o new_topics.h5ad")
def embed(
    model_dir: Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="Folder that corpuscle train wrote.")],
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Cells: a file, folder or quoted glob.")],
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="FILE", help=".h5ad, .csv or .parquet.", show_default=False)
    ],
    layer: Annotated[str | None, typer.Option("--layer", help="Layer of the expression, if not the model's.")] = None,
    accelerator: Annotated[str, typer.Option("--accelerator", help="auto, cpu or gpu.")] = "auto",
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")] = False,
) -> None:
    """Write topic proportions and logits of SOURCE's cells, which need not be those the model was trained on.

    A table has columns topic_0, ... (proportions) and logit_0, ...; an .h5ad file has them as obsm["X_topics"] and
    obsm["X_topic_logits"] beside the cells' annotations, without expression.
    """
    _check_target(out, source, force)
    from corpuscle.models import SCE2TM

    with model_notes():
        model = SCE2TM.load(model_dir, accelerator=accelerator)
        with model.open_cells(source, layer) as counts:
            logits_nk = model.get_latent_representation(counts)
            obs = counts.obs
    _write(out, obs, logits_nk, model)
    done = {"out": str(out), "model": str(model_dir), "cells": len(obs), "topics": logits_nk.shape[1]}
    if as_json:
        emit_json(done)
    else:
        line = f"{done['topics']} topics of {done['cells']:,} cells: {out}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _check_target(out: Path, source: str, force: bool) -> None:
    if out.suffix not in FORMATS:
        raise OptionError(f"{out}: its name must end in one of: {', '.join(FORMATS)}")
    if out.is_dir() or not out.parent.is_dir():
        raise OutputError(
            f"{out}: {'is a folder' if out.is_dir() else f'there is no folder {out.parent}'}; give a file"
        )
    if out.exists() and Path(source).exists() and out.samefile(source):
        raise OutputError(f"{out}: is the source itself; give another name with -o")
    if out.exists() and not force:
        raise OutputError(f"{out}: is there already; give another name, or --force to replace it")


def _write(out: Path, obs: pd.DataFrame, logits_nk: Any, model: Any) -> None:
    """Write into a hidden folder beside ``out`` first, so that nothing half-written bears its name."""
    work = None
    try:
        work = Path(tempfile.mkdtemp(prefix=".writing-", dir=out.parent))
        part = work / out.name
        if out.suffix == ".h5ad":
            _write_h5ad(part, obs, logits_nk, model)
        else:
            table = _table(obs, logits_nk)
            table.to_csv(part) if out.suffix == ".csv" else table.to_parquet(part)
        part.replace(out)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise OutputError(f"cannot write {out}: {reason}; free space or choose another file with -o") from error
    finally:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)


def _table(obs: pd.DataFrame, logits_nk: Any) -> pd.DataFrame:
    import pandas as pd

    from corpuscle.models.sce2tm.perturb import softmax

    names = pd.Index(obs.index.astype(str), name="cell")
    topics = pd.DataFrame(softmax(logits_nk).astype("f4"), names).add_prefix("topic_")
    return pd.concat([topics, pd.DataFrame(logits_nk, names).add_prefix("logit_")], axis=1)


def _write_h5ad(path: Path, obs: pd.DataFrame, logits_nk: Any, model: Any) -> None:
    import anndata

    from corpuscle.models.sce2tm.perturb import softmax

    cells = anndata.AnnData(obs=obs.copy())
    cells.obsm["X_topics"], cells.obsm["X_topic_logits"] = softmax(logits_nk).astype("f4"), logits_nk
    cells.uns["topic_model"] = model.facts()
    try:
        cells.write_h5ad(path)
    except (TypeError, ValueError, NotImplementedError) as error:
        reason = " ".join(str(error).split())[:200]
        raise OutputError(f"obs cannot be stored as h5ad ({reason}); write .csv or .parquet") from error
