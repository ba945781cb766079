"""The files of ``corpuscle search``: scores as a table, pictures of the map, and cells with their scores."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from corpuscle.cli._whole_file import write_whole
from corpuscle.errors import OutputError

__all__ = ["check_files", "pictures", "save_scores", "write_csv"]

FILES = ("scores.csv", "map.png", "map.svg", "report.html")


def check_files(out: Path, write: Path | None, data: str, *, force: bool) -> None:
    """Refuse what would be lost or cannot be written, before any work is done.

    Raises
    ------
    OutputError, OptionError
        A file is there already, or the name of ``write`` will not do.
    """
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: is a file; give a folder with -o")
    parent = next(one for one in (out.absolute(), *out.absolute().parents) if one.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise OutputError(f"{out}: cannot be written in {parent}; choose another folder with -o")
    there = next((name for name in FILES if (out / name).exists()), None)
    if there is not None and not force:
        raise OutputError(f"{out}: has a {there} already; give another folder with -o, or --force to replace it")
    if write is not None:
        from corpuscle.annotate._store import check_target

        check_target(write, data, force=force)


def write_csv(found: Any, file: BinaryIO) -> None:
    """A row a cell: its name, and score and rank under each query."""
    ranks = found.ranks()
    table = found.scores.copy()
    for place, column in enumerate(found.scores):
        table.insert(2 * place + 1, f"rank: {column}", ranks[column], allow_duplicates=True)
    table.to_csv(
        file,
        mode="wb",
        encoding="utf-8",
        errors="replace",
        index_label="cell",
        float_format="%.6g",
        lineterminator="\n",
    )


def pictures(found: Any, cells: Any, xy_m2: Any) -> dict[str, Callable[[BinaryIO], None]]:
    """Writers of the map by file name; the same search gives the same bytes."""
    from matplotlib import rc_context

    from corpuscle.models.celltext._search_plots import score_map

    figure = score_map(found, cells, xy_m2)

    def png(file: BinaryIO) -> None:
        figure.savefig(file, format="png", dpi=160, metadata={"Software": None})

    def svg(file: BinaryIO) -> None:
        with rc_context({"svg.hashsalt": "corpuscle", "svg.fonttype": "path"}):
            figure.savefig(file, format="svg", dpi=160, metadata={"Date": None})

    return {"map.png": png, "map.svg": svg}


def save_scores(found: Any, data: str, out: Path, *, force: bool) -> None:
    """Write cells with their scores: a copy of an ``.h5ad`` source with them added, else obs and scores without a matrix.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    from corpuscle.annotate._light import h5ad_of, read_light
    from corpuscle.annotate._store import save_found
    from corpuscle.models.celltext.search import write_scores

    path = h5ad_of(data)
    if path is not None:
        save_found(write_scores(read_light(path), found), data, out, force=force)
        return
    from anndata import AnnData

    write_whole(write_scores(AnnData(obs=found.obs.copy()), found), out)
