"""Sources of raw counts made ready for pairs: quality control, genes, batches, categories and names, with a report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.corpus._units import SourceSpec
from corpuscle.corpus.pairs._prepare_names import (
    check_unique,
    named_sources,
    renamed_columns,
    sample_ids,
    unique_names,
)
from corpuscle.corpus.pairs._prepare_passes import Measured, Progress, check_verdict, detect, measure
from corpuscle.corpus.pairs._prepare_rules import QCRules, judge, reason_texts
from corpuscle.corpus.pairs._prepare_tables import Account, check_columns, consolidate
from corpuscle.corpus.pairs._prepared import Prepared, PreparedSource
from corpuscle.errors import GeneError, SourceError

__all__ = ["Prepared", "QCRules", "prepare"]

Array = np.ndarray[Any, Any]
DEFAULT_RULES = QCRules()


def prepare(
    sources: Any,
    *,
    layer: str | None = None,
    batch: str | None = None,
    group: str | None = None,
    categories: Sequence[str] = (),
    rules: QCRules | None = DEFAULT_RULES,
    allow_imitation: bool = False,
    declared_counts: bool = False,
    namespace: bool = False,
    progress: Progress | None = None,
) -> Prepared:
    """Judge cells and genes in two passes over the sources; :meth:`Prepared.blocks` then streams what is kept.

    Cells are judged against the medians of their source, on all of its genes. Then genes that too few kept cells of the whole data
    set detect are dropped from every source, so that a gene is there in all sources that measured it or in none; then weak batches.
    Values are normalised once, by the total over the kept genes, and from counts only: a matrix that holds logarithms is refused.

    Parameters
    ----------
    sources
        A path, a glob, an AnnData, a list of them, or a mapping from names to them. Names are parts of file names; without a
        mapping they are made from those of the files.
    layer
        Matrix with the raw counts, instead of the main one.
    batch
        Column of ``obs``: batches that detect too few genes are dropped.
    group
        Column of ``obs`` that is never to be divided, such as the donor: cells without a value are dropped. It may be
        ``"source"``.
    categories
        Columns whose rare values become ``"remaining <column>"``, counted over the whole data set.
    rules
        Limits; None keeps all cells but empty ones, and all genes, batches and categories.
    allow_imitation
        Use whole numbers that were normalised and rounded all the same.
    declared_counts
        Take whole numbers for raw counts whatever they look like.
    namespace
        Call cells ``<source>:<name>``, for sources that share names.
    progress
        Called with cells read of a source, its cells, and which source and pass it is.

    Raises
    ------
    SourceError
        A source cannot be read, has two cells of one name, or shares a cell's name with another; or no cell is left.
    NotCountsError
        A source is not raw counts.
    GeneError
        No gene is left, or sources have none in common.
    OptionError
        A column is missing.
    """
    named = named_sources(sources, layer)
    work = [_Work(name, spec) for name, spec in named.items()]
    account = Account(reason_texts(rules))
    for one in work:
        _look(one, account, rules, (batch, group, *categories), allow_imitation, declared_counts, progress)
    ids = sample_ids({one.name: one.obs.index for one in work}, namespace=namespace)
    for one in work:
        _judge_cells(one, ids[one.name], account, rules, group)
    _choose_genes(work, account, rules, batch, progress)
    if rules is not None and rules.category_threshold:
        frames = {one.name: one.kept_obs() for one in work}
        account.categories(consolidate(frames, categories, rules.category_threshold))
        for one in work:
            one.final_obs = frames[one.name]
    return _finish(work, account)


@dataclass(eq=False)
class _Work:
    """A source while it is being prepared."""

    name: str
    spec: SourceSpec
    measured: Measured | None = None
    obs: pd.DataFrame = field(default_factory=pd.DataFrame)
    genes: list[str] = field(default_factory=list)
    keep_n: Array = field(default_factory=lambda: np.zeros(0, bool))
    keep_g: Array = field(default_factory=lambda: np.zeros(0, bool))
    final_obs: pd.DataFrame | None = None

    @property
    def seen(self) -> Measured:
        """What the first pass found."""
        assert self.measured is not None
        return self.measured

    def kept_obs(self) -> pd.DataFrame:
        """Table of the kept cells."""
        return self.obs.iloc[np.flatnonzero(self.keep_n)]


Tick = Callable[[int, int], None]


def _tick(progress: Progress | None, what: str) -> Tick:
    def tick(done: int, total: int) -> None:
        if progress is not None:
            progress(done, total, what)

    return tick


def _look(
    one: _Work,
    account: Account,
    rules: QCRules | None,
    columns: Sequence[str | None],
    allow_imitation: bool,
    declared: bool,
    progress: Progress | None,
) -> None:
    """First pass over a source, and its tables."""
    n_top = (rules or DEFAULT_RULES).top_genes
    one.measured = measure(one.spec, n_top, _tick(progress, f"{one.name}: cells"))
    note = check_verdict(one.seen.verdict, one.spec.name, allow_imitation=allow_imitation, declared=declared)
    account.note(note)
    if rules is not None and one.seen.figures.mito_n is None:
        account.note(f"{one.name}: no mitochondrial gene is known by name or id, so that rule judged nobody")
    one.obs, clash = renamed_columns(one.seen.obs)
    for column in clash:
        account.note(f"{one.name}: its column {column!r} is kept as '{column}_given'")
    check_unique(one.obs.index, one.spec.name)
    one.genes = unique_names([str(name) for name in one.seen.var.index])
    repeated = sum(new != str(old) for new, old in zip(one.genes, one.seen.var.index, strict=True))
    if repeated:
        account.note(f"{one.name}: {repeated:,} genes bear the name of another and are numbered")
    check_columns(one.obs, [column for column in columns if column and column != "source"], one.spec.name)


def _judge_cells(one: _Work, ids: Array, account: Account, rules: QCRules | None, group: str | None) -> None:
    """Which cells are kept, and the names that are ours."""
    failed = judge(one.seen.figures, rules)
    one.obs = one.obs.assign(source=one.name, sample_idx=ids)
    if group is not None:
        account.texts.setdefault("no_group", f"no value of {group}")
        failed["no_group"] = one.obs[group].isna().to_numpy()
    one.keep_n = account.cells(one.name, one.obs.index, failed)


def _choose_genes(
    work: Sequence[_Work], account: Account, rules: QCRules | None, batch: str | None, progress: Progress | None
) -> None:
    """Second pass: genes that enough kept cells of all sources detect; then batches that detect too few of them."""
    for one in work:
        one.keep_g = np.ones(len(one.genes), bool)
    if rules is not None:
        batches = [_batch_codes(one, batch) for one in work]
        found = []
        for one, (code_k, _) in zip(work, batches, strict=True):
            row_k = np.flatnonzero(one.keep_n)
            tick = _tick(progress, f"{one.name}: genes")
            found.append(detect(one.spec, row_k, code_k, len(one.genes), tick))
        names = pd.Index(np.concatenate([np.asarray(one.genes, object) for one in work]))
        cells = pd.Series(np.concatenate([each.cells_g for each in found]), index=names)
        total = cells.groupby(level=0, sort=False).sum()
        for one, each, (code_k, labels) in zip(work, found, batches, strict=True):
            one.keep_g = (total.loc[one.genes] >= rules.min_cells).to_numpy()
            weak_b = each.seen_bg[:, one.keep_g].sum(1) < rules.min_batch_genes
            if batch is not None and weak_b.any():
                text = f"batch of fewer than {rules.min_batch_genes} detected genes"
                _drop_batches(one, account, weak_b, code_k, labels, text)
        account.genes({one.name: one.keep_g for one in work}, f"detected in fewer than {rules.min_cells} kept cells")
    _check_genes(work, rules)


def _batch_codes(one: _Work, batch: str | None) -> tuple[Array, pd.Index]:
    """Number of the batch of each kept cell, -1 for none, and what the batches are called."""
    if batch is None:
        return np.full(int(one.keep_n.sum()), -1), pd.Index([])
    codes, labels = pd.factorize(one.kept_obs()[batch])
    return codes, pd.Index(labels)


def _drop_batches(one: _Work, account: Account, weak_b: Array, code_k: Array, labels: pd.Index, text: str) -> None:
    weak_k = (code_k >= 0) & weak_b[code_k]
    weak_n = np.zeros(one.keep_n.size, bool)
    weak_n[np.flatnonzero(one.keep_n)[weak_k]] = True
    account.texts["weak_batch"] = text
    named = ", ".join(str(label) for label in labels[weak_b][:8])
    account.note(f"{one.name}: {int(weak_b.sum())} batches dropped, each a {text}: {named}")
    one.keep_n &= account.cells(one.name, one.obs.index, {"weak_batch": weak_n}, among=one.keep_n)


def _check_genes(work: Sequence[_Work], rules: QCRules | None) -> None:
    first: set[str] = set()
    for one in work:
        kept = {gene for gene, keep in zip(one.genes, one.keep_g, strict=True) if keep}
        if not kept and one.keep_n.any():
            least = rules.min_cells if rules else 0
            raise GeneError(f"{one.spec.name}: no gene is detected in {least} kept cells; lower min_cells")
        first = first or kept
        if kept and not first & kept:
            raise GeneError(
                f"{one.spec.name}: no gene in common with {work[0].spec.name}; use the same identifiers in all sources"
            )


def _finish(work: Sequence[_Work], account: Account) -> Prepared:
    kept = []
    for one in work:
        row_n, keep_g = np.flatnonzero(one.keep_n), one.keep_g
        place_g = np.where(keep_g, np.cumsum(keep_g) - 1, -1).astype(np.int32)
        names = pd.Index(one.genes, dtype=object)[keep_g]
        var = one.seen.var[keep_g].set_axis(names, axis=0)
        obs = one.kept_obs() if one.final_obs is None else one.final_obs
        values_n = np.minimum(one.seen.figures.genes_n[row_n], int(keep_g.sum()))
        kept.append(PreparedSource(one.name, one.spec, one.seen.stat, row_n, place_g, obs, var, values_n))
    if not any(source.row_n.size for source in kept):
        why = account.worst()
        raise SourceError(f"{work[0].spec.name}: no cell is left after quality control ({why}); loosen the rules")
    obs = pd.concat([source.obs.assign(obs_name=source.obs.index) for source in kept])
    obs.index = pd.Index(obs["sample_idx"], dtype=object, name=None)
    verdicts = {one.name: one.seen.verdict for one in work}
    return Prepared(tuple(kept), obs, account.report(), account.removed(), verdicts, tuple(account.notes))
