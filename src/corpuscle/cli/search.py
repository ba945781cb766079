"""``corpuscle search``: the cells that are like some words, or like a cell."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from corpuscle.cli._app import app, console, emit_json
from corpuscle.cli._named import JSON, Seed, note
from corpuscle.cli._notes import model_notes
from corpuscle.cli._search_files import check_files, pictures, save_scores, write_csv
from corpuscle.errors import MethodError, OptionError, SourceError

__all__ = ["search"]

#: Columns that name cell types in most files, the likeliest first.
TYPES = (
    "cell_type", "celltype", "cell_type_label", "cell_ontology_class", "annotation", "refined_label", "bulk_labels",
    "cluster_label", "labels", "label", "leiden", "louvain", "cluster",
)  # fmt: skip


@app.command("search", epilog='Example: corpuscle search study.model new.h5ad "activated B cells" "monocytes" -o found')
def search(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Folder that train cell-text wrote.")],
    data: Annotated[str, typer.Argument(metavar="DATA", help="Raw counts: file or quoted glob; or a folder of pairs.")],
    words: Annotated[list[str] | None, typer.Argument(metavar="WORDS", help="Each query in quotes.")] = None,
    cell: Annotated[
        list[str] | None, typer.Option("--cell", metavar="ID", help="Also find cells like this one; may be repeated.")
    ] = None,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Folder for scores and page.")] = Path(
        "search-report"
    ),
    top: Annotated[int, typer.Option("--top", help="How many best cells to look at.")] = 50,
    layer: Annotated[str | None, typer.Option("--layer", help="Layer with the counts ('raw' for .raw).")] = None,
    precomputed: Annotated[
        bool, typer.Option("--precomputed", help="Take the file's obsm vectors of the model's key as they are.")
    ] = False,
    declared_counts: Annotated[
        bool, typer.Option("--declared-counts", help="Take whole numbers for raw counts whatever they look like.")
    ] = False,
    by: Annotated[
        str | None, typer.Option("--by", metavar="COLUMN", help="obs column whose groups to count; a cell type if any.")
    ] = None,
    basis: Annotated[
        str, typer.Option("--basis", metavar="KEY", help="obsm key of a map; made if missing.")
    ] = "X_umap",
    write: Annotated[
        Path | None, typer.Option("--write", metavar="FILE", help="Also write the cells with their scores, .h5ad.")
    ] = None,
    seed: Seed = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Score all cells of DATA against words, show where the best ones are, and say what of it the model can know.

    DIR gets scores.csv, report.html and the map. Words that nothing in training was like are named as such: their scores order
    the cells too, but may mean nothing.
    """
    check_files(out, write, data, force=force)
    if not words and not cell:
        raise OptionError('nothing to search for; give some words in quotes, such as "activated B cells", or --cell ID')
    if not model.is_dir():
        raise SourceError(f"{model}: there is no such folder; give one that train cell-text wrote")
    with model_notes():
        from corpuscle.models.celltext.model import CellText
        from corpuscle.models.celltext.search import search as find

        found = find(
            CellText.load(model), data, words or [], cells=cell or [], layer=layer, precomputed=precomputed, top=top,
            basis=basis, declared_counts=declared_counts,
        )  # fmt: skip
    column = _group_column(found, by)
    made = _write(found, out, column, seed, {"data": data, "seed": seed, "basis": basis})
    if write is not None:
        save_scores(found, data, write, force=force)
        made["cells"] = str(write)
    _show(found, column, made, as_json)


def _group_column(found: Any, by: str | None) -> str | None:
    if by is not None and by not in found.obs:
        raise OptionError(
            f"--by {by!r} is no column of obs; it has: {', '.join(map(str, found.obs.columns)) or 'none'}"
        )
    return by or next((name for name in TYPES if name in found.obs), None)


def _write(found: Any, out: Path, by: str | None, seed: int, about: dict[str, Any]) -> dict[str, str]:
    """Write everything of one search together; what each file is called by what it is."""
    from corpuscle.models.celltext._search_plots import map_places
    from corpuscle.report._files import write_together
    from corpuscle.report.search_page import search_page

    places, no_map = None, ""
    try:
        places = map_places(found, seed=seed)
    except (MethodError, ImportError) as error:
        no_map = f"{str(error)[:1].upper()}{str(error)[1:]}."
    command = shlex.join(["corpuscle", *sys.argv[1:]])
    page = search_page(found, by=by, places=places, no_map=no_map, command=command, about=about)
    html = page.encode("utf-8", "replace")
    writers: dict[str, Any] = {"scores.csv": lambda file: write_csv(found, file)}
    writers |= pictures(found, *places) if places else {}
    writers["report.html"] = lambda file: file.write(html)
    write_together(out, writers)
    return {name.replace("report.html", "page").replace(".csv", ""): str(out / name) for name in writers}


def _show(found: Any, by: str | None, made: dict[str, str], as_json: bool) -> None:
    """Print the short table, or all of it as JSON."""
    groups = None if by is None else found.enrichment(by)
    queries = [_summary(found, groups, query) for query in found.queries]
    if as_json:
        emit_json({"cells": len(found.scores), "by": by, "queries": queries, "notes": list(found.notes), "files": made})
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    view = Table(box=None, header_style="bold", pad_edge=False)
    headings = (
        "query",
        "closest in training",
        "best score",
        *(() if by is None else (f"{found.top:,} best cells, by {by}",)),
    )
    for heading in headings:
        view.add_column(escape(heading), justify="right" if heading == "best score" else "left")
    for one in queries:
        near = one["closest"][0] if one["closest"] else None
        row = [
            one["query"],
            "" if near is None else f"{near['label']} ({near['cosine']:.2f})",
            f"{one['best'][0]['score']:.3f}",
        ]
        if by is not None:
            row.append(
                ", ".join(f"{g['group']} {g['among_top']:,} ({g['share_all']:.1%} of all)" for g in one["groups"][:3])
            )
        view.add_row(*map(escape, row))
    for line in found.notes:
        note(line)
    Console(width=None if console.is_terminal else 160, stderr=True).print(view)
    for name, path in made.items():
        console.print(f"{name}: {path}", markup=False, highlight=False, soft_wrap=True)


def _summary(found: Any, groups: Any, query: Any) -> dict[str, Any]:
    best = found.best(query.column)
    rows = [] if groups is None else groups[groups["query"] == query.column].drop(columns="query").to_dict("records")
    near = found.closest[found.closest["query"] == query.column].drop(columns="query").to_dict("records")
    return {
        "query": query.column, "text": query.text, "cell": query.cell,
        "best": [{"cell": str(id), "score": float(score)} for id, score in best.items()], "groups": rows, "closest": near,
    }  # fmt: skip
