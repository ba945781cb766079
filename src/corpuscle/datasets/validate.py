"""Is a file fit for the coregulation benchmark? Every fault by its id, with the cells and genes it concerns."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from corpuscle.counts import Counts, open_counts
from corpuscle.datasets._check_genes import GeneFinder, check_ensembl_versions, check_names
from corpuscle.datasets._issue import CHECKS, EXAMPLES, Issue
from corpuscle.datasets._scan import Scan, scan
from corpuscle.datasets.schema import DESCRIPTION_FIELDS, Pair, read_pairs, text
from corpuscle.errors import CorpuscleError, OptionError, SourceError

__all__ = ["CHECKS", "MIN_CELLS", "MIN_SHARE", "Issue", "underpowered", "validate", "validate_many"]

Array = np.ndarray[Any, Any]

#: A pair is underpowered if a gene of it is detected in fewer cells, or a smaller share of cells, than this.
MIN_CELLS, MIN_SHARE = 10, 0.001
FEW_CELLS, LOW_DEPTH = 200, 500
#: A reporter detected nearly everywhere, or tied to depth like hardly any gene, is likely ambient or read-through.
EVERYWHERE, DEPTH_TOP, DEPTH_POOL = 0.9, 0.99, 100


def underpowered(cells_a: int, cells_b: int, n_obs: int) -> str:
    """Why a pair cannot be judged in this many cells, or ``""`` if it can.

    Parameters
    ----------
    cells_a, cells_b
        Cells in which each gene of the pair is detected.
    n_obs
        All cells.
    """
    least = min(cells_a, cells_b)
    if least >= MIN_CELLS and least >= MIN_SHARE * n_obs:
        return ""
    return f"detected in {least:,} of {n_obs:,} cells, fewer than {MIN_CELLS} or {MIN_SHARE:.1%}"


def validate(source: Any, *, layer: str | None = None) -> list[Issue]:
    """Check one file or AnnData against the schema of the coregulation benchmark.

    The matrix is read once, in blocks, and is never held whole. The ids are listed in
    :data:`corpuscle.datasets.validate.CHECKS`.

    Parameters
    ----------
    source
        Path or AnnData.
    layer
        Layer that holds the counts; None for ``X``.

    Returns
    -------
    list of Issue
        Errors first; empty if there is nothing to say.

    Raises
    ------
    SourceError
        The file cannot be read.
    OptionError
        ``source`` is several files.
    """
    return _validate(source, layer)[0]


def validate_many(paths: Iterable[str | os.PathLike[str]], *, layer: str | None = None) -> dict[str, list[Issue]]:
    """Check several files, and that files of one species have the same genes in the same order (W3).

    Returns
    -------
    dict of str to list of Issue
        By path, in the order given. A file that cannot be read has the one issue E0.
    """
    issues: dict[str, list[Issue]] = {}
    siblings: dict[str, list[tuple[str, pd.Index]]] = {}
    for path in map(str, paths):
        try:
            issues[path], species, genes = _validate(path, layer)
        except CorpuscleError as error:
            issues[path] = [Issue("E0", "error", str(error), path)]
        else:
            siblings.setdefault(species.casefold(), []).append((path, genes))
    for group in siblings.values():
        for issue in _differ(group):
            issues[issue.where].append(issue)
    return issues


def _validate(source: Any, layer: str | None) -> tuple[list[Issue], str, pd.Index]:
    with open_counts(source, layer=layer, check=False) as counts:
        if len(counts.sources) > 1:
            raise OptionError(
                f"{source}: {len(counts.sources)} sources; validate one at a time, or list them for validate_many"
            )
        finder = GeneFinder(counts)
        try:
            pairs, faults = read_pairs(counts.uns), []
        except SourceError as error:
            pairs, faults = [], [Issue("E3", "error", str(error), counts.name)]
        chosen = np.array(sorted({i for pair in pairs for i in finder.places(pair)}), np.int64)
        seen = scan(counts, chosen)
        issues = [*faults, *_check_values(counts, seen), *_check_truth(counts, pairs, bool(faults))]
        issues += [issue for pair in pairs for issue in finder.check(pair)]
        issues += [*check_names(counts, pairs, finder), *check_ensembl_versions(counts, pairs, finder)]
        issues += _check_description(counts)
        if seen.is_counts:
            issues += [*_check_totals(counts, seen, pairs, finder, chosen), *_check_cells(counts, seen)]
            issues += [issue for pair in pairs for issue in _check_power(counts, seen, pair, finder)]
        reporters = {pair.gene_a for pair in pairs if pair.kind == "reporter"}
        genes = counts.var_names[~counts.var_names.isin(reporters)]
        species = _described(counts, "species")
    order = list(CHECKS)
    return sorted(issues, key=lambda issue: (issue.severity != "error", order.index(issue.id))), species, genes


def _check_values(counts: Counts, seen: Scan) -> Iterator[Issue]:
    def issue(severity: Literal["error", "warning"], message: str, bad: bool = False) -> Issue:
        rows = [str(counts.obs.index[i]) for i in seen.bad_cells] if bad else []
        columns = [str(counts.var_names[i]) for i in seen.bad_genes] if bad else []
        return Issue("E1", severity, message, counts.name, tuple(rows), tuple(columns))

    source = counts.sources[0]
    if source.layout.upper() != "CSR":
        yield issue("error", f"X is stored as {source.layout}, not as CSR; store scipy.sparse.csr_matrix(X)")
    if seen.n_not_finite:
        yield issue("error", f"X holds {seen.n_not_finite:,} values that are NaN or infinite; count again", bad=True)
    if seen.n_negative:
        yield issue(
            "error", f"X holds {seen.n_negative:,} negative values (least {seen.smallest:.6g}); give raw counts", True
        )
    if seen.n_fractional:
        share = seen.n_fractional / seen.n_stored
        spread = f"max {seen.largest:.6g}, min {seen.smallest:.6g}, {share:.1%} of stored values not whole"
        yield issue("error", f"X looks normalised ({spread}); give raw counts", bad=True)
    elif seen.is_counts and source.dtype.kind == "f":
        yield issue("warning", f"X holds whole numbers as {source.dtype}; read as int32, better stored so")
    elif seen.is_counts and source.dtype != np.int32:
        yield issue("warning", f"X is {source.dtype}; the schema has int32")
    if source.layout.upper() != "CSR":
        return
    if seen.n_zero:
        yield issue("warning", f"X stores {seen.n_zero:,} zeros; drop them with X.eliminate_zeros()")
    if not seen.sorted_rows:
        yield issue("warning", "X has unsorted or repeated column indices; mend with X.sum_duplicates()")


def _check_truth(counts: Counts, pairs: Sequence[Pair], told: bool) -> Iterator[Issue]:
    if not pairs and not told:
        message = (
            "no pair: uns['reporters'] and uns['exclusion_pairs'] are both absent or empty; import it with its pair"
        )
        yield Issue("E3", "error", message, counts.name)
    for pair in pairs:
        if pair.gene_a == pair.gene_b:
            message = f"pair {pair.name}: both genes are {pair.gene_a}, whose correlation with itself is 1"
            yield Issue("W6", "warning", message, counts.name, (), (pair.gene_a,))


def _described(counts: Counts, key: str) -> str:
    try:
        return text(counts.uns.get(key)).strip()
    except SourceError:
        return ""


def _check_description(counts: Counts) -> Iterator[Issue]:
    lacking = [key for key in DESCRIPTION_FIELDS if not _described(counts, key)]
    if lacking:
        yield Issue("W8", "warning", f"uns lacks {', '.join(lacking)}; add them as strings", counts.name)


def _check_totals(
    counts: Counts, seen: Scan, pairs: Sequence[Pair], finder: GeneFinder, chosen: Array
) -> Iterator[Issue]:
    reporters = sorted({i for pair in pairs if pair.kind == "reporter" for i in finder.places(pair)[:1]})
    of_reporters_nk = seen.chosen_nk[:, np.searchsorted(chosen, reporters)]
    for column, true_n, of_reporters_n in (
        ("total_counts", seen.depth_n, of_reporters_nk.sum(axis=1)),
        ("n_genes", seen.genes_n, (of_reporters_nk > 0).sum(axis=1)),
    ):
        if column not in counts.obs:
            yield Issue("E5", "error", f"obs lacks {column}; add it, over all genes", counts.name, (), (column,))
            continue
        stated_n = pd.to_numeric(counts.obs[column], errors="coerce").to_numpy(np.float64)
        off = np.flatnonzero(stated_n != true_n)
        if not off.size:
            continue
        message = (
            f"obs[{column!r}] disagrees with X in {off.size:,} of {counts.n_obs:,} cells "
            f"(first: {stated_n[off[0]]:.6g} stated, {true_n[off[0]]:.6g} in X)"
        )
        if reporters and np.array_equal(stated_n, true_n - of_reporters_n):
            message += ", by exactly the reporter: it was computed before the reporter was added"
        rows = tuple(str(cell) for cell in counts.obs.index[off[:EXAMPLES]])
        yield Issue("E5", "error", f"{message}; compute it again from X", counts.name, rows, (column,))


def _check_cells(counts: Counts, seen: Scan) -> Iterator[Issue]:
    empty = np.flatnonzero(seen.depth_n == 0)
    if empty.size:
        rows = tuple(str(cell) for cell in counts.obs.index[empty[:EXAMPLES]])
        yield Issue("E6", "error", f"{empty.size:,} cells have no count; remove them", counts.name, rows)
    if counts.n_obs < FEW_CELLS:
        yield Issue("W2", "warning", f"{counts.n_obs:,} cells, fewer than {FEW_CELLS}", counts.name)
    if counts.n_obs and (median := float(np.median(seen.depth_n))) < LOW_DEPTH:
        why = "; empty droplets may be included" if median < 100 else ""
        yield Issue("W5", "warning", f"median of {median:,.0f} UMI a cell, below {LOW_DEPTH}{why}", counts.name)


def _check_power(counts: Counts, seen: Scan, pair: Pair, finder: GeneFinder) -> Iterator[Issue]:
    places = finder.places(pair)
    if len(places) != 2:
        return
    a, b = places
    if why := underpowered(int(seen.cells_g[a]), int(seen.cells_g[b]), counts.n_obs):
        rarer = pair.gene_a if seen.cells_g[a] <= seen.cells_g[b] else pair.gene_b
        if pair.kind == "reporter" and seen.cells_g[b] == 0:
            why += "; a knock-in may have replaced the transcript"
        message = f"pair {pair.name} is underpowered: {rarer} is {why}; it is run and left out of the aggregate"
        yield Issue("W1", "warning", message, counts.name, (), (rarer,))
    if pair.kind != "reporter" or not counts.n_obs:
        return
    share = seen.cells_g[a] / counts.n_obs
    if share > EVERYWHERE:
        message = f"reporter {pair.gene_a} is detected in {share:.0%} of cells: it may be ambient or read-through"
        yield Issue("W7", "warning", message, counts.name, (), (pair.gene_a,))
    pool = seen.cells_g >= max(MIN_CELLS, 0.01 * counts.n_obs)
    r_g = seen.depth_correlation_g()
    pool &= np.isfinite(r_g)
    if pool[a] and pool.sum() > DEPTH_POOL and np.mean(r_g[pool] < r_g[a]) > DEPTH_TOP:
        message = (
            f"the share of reporter {pair.gene_a} follows depth (r {r_g[a]:.2f}) more than {DEPTH_TOP:.0%} of genes do"
        )
        yield Issue("W7", "warning", f"{message}: it may be ambient or read-through", counts.name, (), (pair.gene_a,))


def _differ(group: Sequence[tuple[str, pd.Index]]) -> Iterator[Issue]:
    """Files whose genes, reporters left out, are not those that most of the group have."""
    keys = {path: hash(tuple(genes)) for path, genes in group}
    usual = Counter(keys.values()).most_common(1)[0][0]
    like_path, like = next((path, genes) for path, genes in group if keys[path] == usual)
    for path, genes in group:
        if keys[path] == usual:
            continue
        extra, lacking = genes.difference(like), like.difference(genes)
        how = (
            f"{len(extra):,} more and {len(lacking):,} fewer"
            if len(extra) or len(lacking)
            else "the same in another order"
        )
        message = f"genes differ from {Path(like_path).name} of the same species: {how}"
        yield Issue("W3", "warning", message, path, (), tuple(map(str, [*extra[:5], *lacking[:5]])))
