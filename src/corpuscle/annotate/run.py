"""Cells of a source named in one call: scores, refinement on request, and labels at a level of the Cell Ontology."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from corpuscle.annotate._light import h5ad_of, members, read_light
from corpuscle.annotate._scorers import SCORERS, score_cells
from corpuscle.annotate.scores import Scores
from corpuscle.errors import MethodError, OptionError, SourceError

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["SCORERS", "annotate", "refine_file", "roll_up_labels"]

#: Where the scores go, and with a suffix what is read from them.
KEY = "annotation"


def annotate(
    source: Any,
    scores: str | Scores = "markers",
    *,
    markers: Any = None,
    organs: Sequence[str] | None = None,
    tissue: str | None = None,
    types: Sequence[str] | None = None,
    scoring: str = "sctype",
    model: Any = None,
    kind: str = "decision",
    template: str | None = None,
    reference: Any = None,
    labels: str | None = None,
    matrix: str | Path | None = None,
    orientation: str = "auto",
    matrix_key: str | None = None,
    layer: str | None = None,
    logged: bool = False,
    refine: bool | Mapping[str, Any] = False,
    level: str | Sequence[str] | None = None,
    seed: int = 0,
) -> AnnData:
    """Name the cells of a source.

    Parameters
    ----------
    source
        A path or glob pattern of raw counts, or an AnnData, to which everything found is added.
    scores
        What names the cells: ``"markers"``, ``"celltypist"``, ``"reference"``, ``"text"``, ``"cell-text"``, ``"file"``, or
        scores that are there already.
    markers
        For ``"markers"``: a table (path, or :class:`~corpuscle.annotate.sources.marker_table.Markers`); the ASCT+B
        tables if None.
    organs
        Organs of the ASCT+B tables to take markers from; all if None.
    tissue
        Of a spreadsheet of markers for many tissues.
    types
        Types to choose from, as Cell Ontology ids or labels; all that the scorer knows if None. ``"text"`` needs them;
        for ``"cell-text"`` all that training named.
    scoring
        For ``"markers"``: ``"sctype"``, ``"ucell"``, ``"ulm"`` or ``"mean"``.
    model, kind
        For ``"celltypist"``: a model file, and ``"decision"`` or ``"probability"``. For ``"cell-text"``: a model of cells and
        text, or its folder.
    template
        For ``"cell-text"``: caption of a type, with one name in braces; that of the training if None.
    reference, labels
        For ``"reference"``: labelled raw counts, and the obs column with their labels.
    matrix, orientation, matrix_key
        For ``"file"``: a table of scores, whether its rows are ``"cells"`` or ``"texts"``, and the array's name in a file
        of several.
    layer, logged
        Matrix to read, and whether it is log-normalised already.
    refine
        Smooth the scores on the cells' neighbour graph; True, or options of
        :func:`~corpuscle.annotate.refine_logits`.
    level
        ``"broad"``, ``"immune"``, or Cell Ontology ids or labels, that the labels are rolled up to.
    seed
        Of everything random.

    Returns
    -------
    anndata.AnnData
        ``obsm["annotation_scores"]``; ``obs`` columns ``annotation``, ``annotation_margin`` and, where known,
        ``annotation_cl_id``; with ``refine`` what :func:`~corpuscle.annotate.refine_logits` writes under ``refined``;
        with ``level`` the columns ``rolled_up`` and ``rolled_up_cl_id``. Of a path it has no expression;
        :func:`~corpuscle.annotate._store.save_found` adds that.

    Raises
    ------
    OptionError
        An option is unknown, or one that the scorer needs is missing.
    """
    given = {
        "markers": markers, "organs": organs, "tissue": tissue, "types": types, "scoring": scoring, "model": model, "kind": kind,
        "template": template, "reference": reference, "labels": labels, "matrix": matrix, "orientation": orientation,
        "matrix_key": matrix_key, "layer": layer, "logged": logged, "seed": seed,
    }  # fmt: skip
    targets = () if level is None else _members(level)  # a misspelt one is said before any work
    found = score_cells(source, scores, given) if isinstance(scores, str) else scores
    options = {} if refine is True else dict(refine or {})
    adata = _cells_of(source, found, options if refine is not False else None)
    _write_labels(adata, found, scores if isinstance(scores, str) else "scores", given)
    if refine is not False:
        _refine(adata, source, f"{KEY}_scores", layer, logged, {"seed": seed, **options})
    if targets:
        roll_up_labels(adata, targets, key=options.get("key_added", "refined") if refine is not False else KEY)
    return adata


def refine_file(path: str | Path, logits_key: str, *, layer: str | None = None, **options: Any) -> AnnData:
    """Refine scores of an ``.h5ad`` file and read no more of it than that takes.

    Parameters
    ----------
    path
        The file.
    logits_key
        ``obsm`` key of the scores.
    layer
        With the raw counts, which are read only if there is neither a graph nor a representation to make one of.
    options
        Of :func:`~corpuscle.annotate.refine_logits`.

    Returns
    -------
    anndata.AnnData
        Cells without expression, with the scores as they came and what the refinement wrote.

    Raises
    ------
    SourceError
        It is no AnnData file.
    OptionError
        It has no such scores, graph or representation.
    """
    file = h5ad_of(path)
    if file is None:
        raise SourceError(f"{path}: is no .h5ad file; corpuscle annotate takes other formats")
    have = members(file)["obsm"]
    if logits_key not in have:
        raise OptionError(f"{file}: obsm has no scores {logits_key!r}; it has: {', '.join(have) or 'none'}")
    adata = read_light(file, obsm=[logits_key, "X_umap"], uns=[logits_key])
    _bring(adata, file, options)
    _refine(adata, file, logits_key, layer, False, options)
    return adata


def roll_up_labels(adata: AnnData, level: str | Sequence[str], *, key: str = KEY) -> None:
    """Write the kind of each cell's type at a level of the Cell Ontology into ``obs["rolled_up"]``.

    Parameters
    ----------
    adata
        With labels in ``obs[key]`` or ``obs[key + "_label"]``. A label's id is what the scores say, else that of the term
        of this name.
    level
        ``"broad"``, ``"immune"``, or Cell Ontology ids or labels.
    key
        Of the annotation or refinement.

    Raises
    ------
    OptionError
        There are no such labels, or the level names no cell type.

    Notes
    -----
    A type that is no kind of any member, or has no known id, is left out: its cells get no value, and
    ``uns["rolled_up"]["left_out"]`` names it.
    """
    import pandas as pd

    from corpuscle.annotate._door import plain
    from corpuscle.annotate.ontology import cell_ontology

    column = key if key in adata.obs else f"{key}_label"
    if column not in adata.obs:
        raise OptionError(f"obs has neither {key!r} nor {column!r} to roll up")
    ontology, members = cell_ontology(), _members(level)
    labels = adata.obs[column].astype("category")
    names = [str(name) for name in labels.cat.categories]
    known = _cl_ids(adata, names)
    up = ontology.roll_up([known.get(name) for name in names], members)
    ids = [one for one in members if one in set(up)]
    place = {one: k for k, one in enumerate(ids)}
    place_k = np.array([*(place.get(one, -1) if one else -1 for one in up), -1])
    code_n = place_k[labels.cat.codes.to_numpy()]
    adata.obs["rolled_up_cl_id"] = pd.Categorical.from_codes(code_n, ids)
    adata.obs["rolled_up"] = pd.Categorical.from_codes(code_n, [ontology.label(one) for one in ids])
    left_out = [name for name, one in zip(names, up, strict=True) if one is None]
    adata.uns["rolled_up"] = plain({"of": column, "level": list(members), "left_out": left_out})


def _members(level: str | Sequence[str]) -> tuple[str, ...]:
    from corpuscle.annotate.ontology import cell_ontology

    return cell_ontology().members(level)


def _cl_ids(adata: AnnData, names: Sequence[str]) -> dict[str, str | None]:
    """Cell Ontology id of each label: what the scores say, else the term of that name."""
    from corpuscle.annotate.ontology import cell_ontology

    found = dict(cell_ontology().map_labels(names))
    for key in adata.obsm:
        about = adata.uns.get(key)
        if isinstance(about, Mapping) and {"classes", "cl_ids"} <= set(about):
            pairs = zip(np.ravel(about["classes"]), np.ravel(about["cl_ids"]), strict=False)
            found |= {str(name): str(one) for name, one in pairs if one and str(name) in found}
    return found


def _cells_of(source: Any, found: Scores, options: Mapping[str, Any] | None) -> AnnData:
    """The AnnData that the labels go to: the caller's own, or names and what a refinement needs of a file."""
    if hasattr(source, "obs_names") and hasattr(source, "obsm"):
        return source
    path = h5ad_of(source)
    if path is not None:
        adata = read_light(path, obsm=["X_umap"])
        if options is not None:
            _bring(adata, path, options)
        return adata
    import pandas as pd
    from anndata import AnnData

    from corpuscle.counts import open_counts

    with open_counts(source, check=False) as counts:
        return AnnData(obs=pd.DataFrame(index=counts.obs.index.astype(str)))


def _bring(adata: AnnData, path: Path, options: Mapping[str, Any]) -> None:
    """Read the graph or the representation that a refinement asks for, where the file has it."""
    rep, neighbors = options.get("use_rep", "X_pca"), options.get("neighbors_key")
    have = members(path)
    extra = read_light(path, obsm=[rep], uns=[neighbors] if neighbors else [])
    if neighbors and neighbors not in have["uns"]:
        raise OptionError(f"{path}: uns has no neighbours {neighbors!r}; it has: {', '.join(have['uns']) or 'nothing'}")
    if rep in extra.obsm:
        adata.obsm[rep] = extra.obsm[rep]
    elif rep != "X_pca" and not neighbors:
        raise OptionError(f"{path}: obsm has no representation {rep!r}; it has: {', '.join(have['obsm']) or 'none'}")
    if neighbors:
        about = extra.uns[neighbors]
        graph = about.get("connectivities_key", "connectivities") if isinstance(about, Mapping) else "connectivities"
        adata.uns[neighbors] = about
        adata.obsp.update(dict(read_light(path, obsp=[str(graph)]).obsp))


def _refine(
    adata: AnnData, source: Any, logits_key: str, layer: str | None, logged: bool, options: Mapping[str, Any]
) -> None:
    """Refine in place; where there is nothing to make a graph of, principal components are made of the counts."""
    from corpuscle.annotate.refine_logits import refine_logits

    chosen = dict(options)
    rep = chosen.get("use_rep", "X_pca")
    if adata is not source and not chosen.get("neighbors_key") and rep not in adata.obsm:
        if logged:
            raise MethodError(
                "a graph takes counts, or a representation (--use-rep) or graph (--neighbors) in the file"
            )
        from corpuscle.annotate.neighbours import default_representation

        chosen["use_rep"] = f"{chosen.get('key_added', 'refined')}_pca"
        adata.obsm[chosen["use_rep"]] = default_representation(source, layer=layer)
    refine_logits(adata, logits_key, **chosen)


def _write_labels(adata: AnnData, found: Scores, scorer: str, given: Mapping[str, Any]) -> None:
    import pandas as pd

    from corpuscle import __version__
    from corpuscle.annotate._certainty import margins
    from corpuscle.annotate._door import write_scores

    if found.n_cells != adata.n_obs:
        raise SourceError(
            f"{found.source}: scores of {found.n_cells:,} cells for {adata.n_obs:,} cells; drop cells without any count"
        )
    write_scores(adata, found, f"{KEY}_scores")
    best_n = found.best_n()
    adata.obs[KEY] = pd.Categorical.from_codes(best_n, list(found.types))
    adata.obs[f"{KEY}_margin"] = margins(found.values_nk).astype(np.float32)
    ids = list(dict.fromkeys(one for one in found.cl_ids if one))
    if ids:
        place_k = np.array([ids.index(one) if one else -1 for one in found.cl_ids])
        adata.obs[f"{KEY}_cl_id"] = pd.Categorical.from_codes(place_k[best_n], ids)
    said = {name: value for name, value in given.items() if value is not None}
    adata.uns[KEY] = {
        "scores": scorer, "source": found.source, "scores_key": f"{KEY}_scores", "corpuscle": __version__,
        "params": {name: value if isinstance(value, str | bool | int) else _words(value) for name, value in said.items()},
    }  # fmt: skip


def _words(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)[:200]
