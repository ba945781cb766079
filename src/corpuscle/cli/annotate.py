"""``corpuscle annotate``: cells named, and how sure the names are."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

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
    listed,
    notes,
    report_page,
    show,
)
from corpuscle.errors import OptionError

__all__ = ["annotate"]


@app.command(
    "annotate",
    epilog="Example: corpuscle annotate pbmc.h5ad --scores markers --organs blood --refine -o named.h5ad --report named",
)
def annotate(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Raw counts: a file, folder or quoted glob.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="The .h5ad to write.", show_default=False)],
    scores: Annotated[
        str,
        typer.Option("--scores", help="What names the cells: markers, celltypist, reference, text, cell-text or file."),
    ] = "markers",
    markers: Annotated[
        Path | None,
        typer.Option("--markers", metavar="TABLE", help="Markers (.csv, .tsv, .gmt, .xlsx); ASCT+B if none."),
    ] = None,
    organs: Annotated[str | None, typer.Option("--organs", help="Organs of the ASCT+B tables, with commas.")] = None,
    types: Annotated[
        str | None,
        typer.Option("--types", help="Types to choose from: Cell Ontology ids or labels, with commas or semicolons."),
    ] = None,
    tissue: Annotated[
        str | None, typer.Option("--tissue", help="Tissue to take of a ScType spreadsheet of markers.")
    ] = None,
    scoring: Annotated[str, typer.Option("--scoring", help="Of markers: sctype, ucell, ulm or mean.")] = "sctype",
    model: Annotated[
        Path | None,
        typer.Option("--model", help="Of celltypist: its file. Of cell-text: the folder of a trained model."),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(
            "--template", metavar="TEXT", help="Of cell-text: caption of a type, such as 'This is a {type} cell.'"
        ),
    ] = None,
    kind: Annotated[str, typer.Option("--kind", help="Of CellTypist: decision or probability.")] = "decision",
    reference: Annotated[
        str | None, typer.Option("--reference", metavar="FILE", help="Labelled raw counts to learn from.")
    ] = None,
    labels: Annotated[str | None, typer.Option("--labels", help="obs column of the reference's labels.")] = None,
    matrix: Annotated[
        Path | None,
        typer.Option("--matrix", metavar="FILE", help="Scores made elsewhere (.csv, .tsv, .parquet, .npz, .h5ad)."),
    ] = None,
    orientation: Annotated[
        str, typer.Option("--orientation", help="Rows of the matrix: auto, cells or texts.")
    ] = "auto",
    matrix_key: Annotated[
        str | None, typer.Option("--matrix-key", metavar="KEY", help="Array of an .npz, or obsm key of an .h5ad.")
    ] = None,
    layer: Annotated[str | None, typer.Option("--layer", help="Layer to read ('raw' for .raw).")] = None,
    logged: Annotated[bool, typer.Option("--logged", help="Values are log-normalised already.")] = False,
    refine: Annotated[bool, typer.Option("--refine", help="Smooth the scores on the cells' neighbour graph.")] = False,
    lam: Lam = None,
    laplacian: Laplacian = "unnormalized",
    transform: Transform = "none",
    guard: Guard = True,
    neighbors: Neighbors = None,
    use_rep: UseRep = "X_pca",
    level: Annotated[
        str | None, typer.Option("--level", help="Also roll labels up: broad, immune, or Cell Ontology ids.")
    ] = None,
    seed: Seed = 0,
    report: ReportFolder = None,
    force: Force = False,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Name the cells of SOURCE and write them, with the scores of every type, beside everything the source has.

    obs gets annotation (the type), annotation_margin and annotation_cl_id; with --refine also refined_label,
    refined_confidence, refined_margin and refined_changed; with --level rolled_up. Scores are in obsm["annotation_scores"].
    """
    given: dict[str, Any] = {
        "markers": markers, "organs": listed(organs), "tissue": tissue, "types": listed(types), "scoring": scoring, "model": model,
        "kind": kind, "template": template, "reference": reference, "labels": labels, "matrix": matrix, "orientation": orientation,
        "matrix_key": matrix_key, "layer": layer, "logged": logged, "seed": seed,
    }  # fmt: skip
    plain = {
        "lam": None,
        "laplacian": "unnormalized",
        "transform": "none",
        "guard": True,
        "neighbors_key": None,
        "use_rep": "X_pca",
    }
    options = {
        "lam": lam_of(lam), "laplacian": laplacian, "transform": transform, "guard": guard, "neighbors_key": neighbors,
        "use_rep": use_rep,
    }  # fmt: skip
    if not refine and options != plain:
        raise OptionError(
            "--lam, --laplacian, --transform, --no-guard, --neighbors and --use-rep are of a refinement: add --refine"
        )
    from corpuscle.annotate._store import check_target, save_found
    from corpuscle.annotate.run import annotate as name_cells

    check_target(out, source, force=force)
    check_report(report, force)
    words = listed(level)
    chosen_level: Any = words[0] if words and len(words) == 1 and not words[0].startswith("CL:") else words
    with notes() as said:
        found = name_cells(source, scores, **given, refine=options if refine else False, level=chosen_level)
        insist_on_convergence(found, "refined")
        command = shlex.join(["corpuscle", *sys.argv[1:]])
        save_found(found, source, out, layer=layer, logged=logged, force=force)
        page = report_page(found, report, key="refined", seed=seed, command=command)
    show(found, out, key="refined", said=said, page=page, as_json=as_json)
