"""The page of named cells: who was named what, what refinement changed, and what to look at before using it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from markupsafe import Markup

from corpuscle.annotate._naming import Naming, naming_of
from corpuscle.errors import MethodError, OptionError, SourceError
from corpuscle.report._annotation_figures import flows_figure, maps_figure, shares_figure
from corpuscle.report._annotation_tables import markers_table, numbers_table, path_table, types_table
from corpuscle.report._annotation_words import WORDS, entries, headline, learnt, look_first, notes_of, unsaid
from corpuscle.report._files import write_together
from corpuscle.report._page import Page, Section, prose, render, terms
from corpuscle.report._table import Cell, Column, table
from corpuscle.report._templates import piece
from corpuscle.report.format import count, defined

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["annotation_page", "save_annotation_page"]

#: Cells on a map of the page.
DRAWN = 8_000


def save_annotation_page(
    cells: AnnData | str | Path, out: str | Path, *, key: str = "refined", seed: int = 0, command: str = ""
) -> Path:
    """Write the page of an annotated or refined AnnData.

    Parameters
    ----------
    cells
        The AnnData, or the ``.h5ad`` file that has it, of which only what the page shows is read.
    out
        The file to write.
    key
        Name of the refinement.
    seed
        Of the map, and of the cells that are drawn.
    command
        Shown on the page.

    Returns
    -------
    pathlib.Path
        Where it is.

    Raises
    ------
    OptionError
        The cells have no scores.
    SourceError
        The file cannot be read.
    OutputError
        The page cannot be written.
    """
    out = Path(out)
    adata = _read(cells, key) if isinstance(cells, str | Path) else cells
    html = render(annotation_page(adata, key=key, seed=seed, command=command)).encode("utf-8", "replace")

    def write(file: BinaryIO) -> None:
        file.write(html)

    write_together(out.parent, {out.name: write})
    return out


def _read(path: str | Path, key: str) -> AnnData:
    from corpuscle.annotate._light import h5ad_of, members, read_light

    file = h5ad_of(path)
    if file is None:
        raise SourceError(f"{path}: is no .h5ad file")
    have = members(file)
    columns = [name for name in have["obs"] if name.startswith((f"{key}_", "annotation", "rolled_up"))]
    known = [name for name in have["uns"] if name in have["obsm"] or name in (key, "annotation", "rolled_up")]
    obsm = [
        name for name in have["obsm"] if name in have["uns"] or name in ("X_umap", "X_pca") or name.endswith("_pca")
    ]
    light = read_light(file, obs=columns, uns=known, obsm=obsm)
    params = light.uns.get(key, {})
    scores = params.get("logits_key") if isinstance(params, Mapping) else None
    if isinstance(scores, str) and scores not in light.obsm:
        light.obsm.update(dict(read_light(file, obsm=[scores]).obsm))
    return light


def annotation_page(cells: AnnData, *, key: str = "refined", seed: int = 0, command: str = "") -> Page:
    """Everything a reader needs, from what stands out to how it was run.

    Parameters
    ----------
    cells
        Annotated by :func:`~corpuscle.annotate.run.annotate`, or refined by
        :func:`~corpuscle.annotate.refine_logits`.
    key, seed, command
        As for :func:`save_annotation_page`.

    Raises
    ------
    OptionError
        The cells have no scores.
    """
    naming = naming_of(cells, key)
    changed = [Section("flows", "What became what", "Flows", flows_figure(naming))] if naming.refined else []
    sections = [
        *_first_section(naming),
        Section("map", "Where the cells lie", "Map", _map(cells, naming, seed)),
        *changed,
        Section("shares", "How many of each type", "Shares", shares_figure(naming)),
        Section("types", "Every type", "Types", types_table(naming) + markers_table(naming)),
        *_numbers_section(naming),
        *_rolled_section(cells),
        Section("run", "How it was made", "Made", _made(cells, naming, command)),
        Section("words", "What the numbers mean", "Words", terms(WORDS)),
    ]
    return Page(
        title="Named cells",
        kicker="What are these cells, and how sure are the names?",
        headline=headline(naming, cells.n_obs),
        learnt=learnt(naming),
        unsaid=unsaid(naming),
        facts=_facts(cells, naming),
        sections=sections,
    )


def _facts(cells: AnnData, naming: Naming) -> list[tuple[str, str]]:
    facts = [
        ("cells", count(cells.n_obs)),
        ("types to choose from", count(len(naming.types))),
        ("scores", naming.source),
    ]
    for name, title in (("lam", "lambda"), ("laplacian", "Laplacian")):
        value = naming.refined.get(name)
        if value is None and isinstance(naming.refined.get("params"), Mapping):
            value = naming.refined["params"].get(name)
        if value is not None:
            facts.append((title, f"{float(value):g}" if defined(value) else str(value)))
    return facts


def _first_section(naming: Naming) -> list[Section]:
    found = look_first(naming)
    if not found:
        return []
    body = _lines("warnings-table", "What to look at before the names are used", found)
    return [Section("warnings", "To look at first", "Warnings", body)]


def _lines(id: str, caption: str, found: list[tuple[str, str]]) -> Markup:
    columns = [Column("where", "where", numeric=False), Column("what", "what", numeric=False)]
    return table(id, caption, columns, [[Cell(where), Cell(what)] for where, what in found], sortable=False)


def _map(cells: AnnData, naming: Naming, seed: int) -> Markup:
    from corpuscle.annotate.plots import umap_of_cells

    try:
        drawn, xy_m2 = umap_of_cells(cells, naming, seed=seed, drawn=DRAWN)
    except (OptionError, MethodError, ImportError) as error:
        return prose(f"There is no map of these cells. {str(error)[:1].upper()}{str(error)[1:]}.")
    return maps_figure(naming, drawn, xy_m2, cells.n_obs)


def _numbers_section(naming: Naming) -> list[Section]:
    body, notes = numbers_table(naming) + path_table(naming), notes_of(naming)
    if notes:
        body += Markup("<h3>Notes</h3>") + _lines("notes-table", "What else was noted", notes)
    return [Section("diagnosis", "Scores and graph", "Diagnosis", body)] if body else []


def _rolled_section(cells: AnnData) -> list[Section]:
    about = cells.uns.get("rolled_up")
    if not isinstance(about, Mapping) or "rolled_up" not in cells.obs:
        return []
    counts = cells.obs["rolled_up"].value_counts()
    columns = [Column("term", "kind of cell", numeric=False), Column("cells", "cells")]
    rows = [[Cell(str(name), str(name)), Cell(count(n), float(n))] for name, n in counts.items() if n]
    body = table(
        "rolled-table", "Cells by kind, at the level asked for", columns, rows, sorted_by="cells", descending=True
    )
    out = [str(name) for name in np.ravel(about.get("left_out", []))]
    if out:
        missing = int(cells.obs["rolled_up"].isna().sum())
        body += prose(f"Of no kind at this level, or without a known id: {', '.join(out)} ({count(missing)} cells).")
    return [Section("level", "At a level of the Cell Ontology", "Level", body)]


def _made(cells: AnnData, naming: Naming, command: str) -> Markup:
    named = cells.uns.get("annotation")
    params = naming.refined.get("params", {})
    groups = [
        ("Scores", entries(named.get("params", {})) if isinstance(named, Mapping) else [("source", naming.source)]),
        ("Scorer", entries(naming.about, skip=("notes",))),
        ("Refinement", entries(params) if isinstance(params, Mapping) else []),
        ("Versions", entries(naming.refined.get("versions", {})) if naming.refined else []),
    ]
    return piece("run.html", command=command, groups=[group for group in groups if group[1]])
