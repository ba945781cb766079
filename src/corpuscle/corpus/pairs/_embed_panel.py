"""Panels of genes: read from a file, or chosen from the expression of tissues."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from corpuscle.errors import GeneError, OptionError, SourceError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PANEL_BIOTYPES", "panel_from_expression", "read_panel"]

Array = np.ndarray[Any, Any]

#: A list of 200,000 genes has less.
MOST_BYTES = 20_000_000
#: Kinds of genes that the panel takes where the kinds are known.
PANEL_BIOTYPES = ("protein_coding", "lincRNA", "antisense", "processed_transcript")
#: Weights of the variance over tissues, of how specific a gene is (Tau), and of its mean.
WEIGHTS = (0.5, 0.4, 0.1)


def read_panel(path: str | Path) -> tuple[str, ...]:
    """Read a list of genes: the first column of a text file, lines that are empty or start with ``#`` left out.

    Raises
    ------
    SourceError
        It is missing, larger than 20 MB, or no text.
    """
    path = Path(path).expanduser()
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise SourceError(f"{path}: the list of genes cannot be read ({error.strerror}); check the path") from None
    if len(data) > MOST_BYTES:
        raise SourceError(f"{path}: larger than {MOST_BYTES // 10**6} MB, so no list of genes; give one name a line")
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise SourceError(f"{path}: is no text; give a list of genes, one name a line") from None
    names = (line.replace(",", "\t").partition("\t")[0].strip() for line in lines if not line.startswith("#"))
    return tuple(name for name in names if name)


def panel_from_expression(
    table: pd.DataFrame,
    *,
    n_genes: int = 10_000,
    forced: Sequence[str] = (),
    biotypes: Mapping[str, str] | None = None,
    allowed_biotypes: Collection[str] = PANEL_BIOTYPES,
    min_tpm: float = 1.0,
    min_tissues: int = 5,
) -> tuple[str, ...]:
    """Choose genes that tell tissues apart.

    A gene is scored by 0.5 z(variance) + 0.4 z(Tau) + 0.1 z(mean) over the tissues, where
    Tau = sum_t (1 - x_t / max x) / (T - 1) is 0 for a gene expressed alike in all and 1 for one of a single tissue.

    Parameters
    ----------
    table
        Genes x tissues, normalised transcripts per million (nTPM); the index holds the names.
    n_genes
        Genes to choose; fewer if fewer pass.
    forced
        Genes of the table that come first whatever their score, in this order; those it lacks are left out.
    biotypes
        Gene -> kind; genes of no allowed kind do not compete. None: kinds are not looked at.
    allowed_biotypes
        The kinds that compete.
    min_tpm, min_tissues
        A gene competes if it has ``min_tpm`` in so many tissues.

    Returns
    -------
    tuple of str
        The forced genes, then the others by falling score, ties by name.

    Raises
    ------
    OptionError
        ``n_genes`` or ``min_tissues`` is less than 1, or more genes are forced than asked for.
    GeneError
        A gene is there twice, or none passes.
    SourceError
        The table has fewer than 2 tissues, or a value that is no number of 0 or more.
    """
    if n_genes < 1 or min_tissues < 1:
        raise OptionError(f"a panel of {n_genes} genes seen in {min_tissues} tissues: ask for 1 or more of each")
    names, x_gt = _checked(table)
    there = set(names)
    first = list(dict.fromkeys(gene for gene in forced if gene in there))
    if len(first) > n_genes:
        raise OptionError(f"{len(first):,} genes are forced into a panel of {n_genes:,}; ask for a larger panel")
    competes_g = (x_gt >= min_tpm).sum(axis=1) >= min_tissues
    if biotypes is not None:
        competes_g &= np.array([biotypes.get(gene) in allowed_biotypes for gene in names])
    index = np.flatnonzero(competes_g)
    if index.size == 0:
        raise GeneError(f"no gene reaches {min_tpm:g} nTPM in {min_tissues} tissues; lower min_tpm or min_tissues")
    score = _scores(x_gt[index])
    taken = set(first)
    ranked = (names[i] for _, _, i in sorted(zip(-score, (names[i] for i in index), index, strict=True)))
    return (*first, *[gene for gene in ranked if gene not in taken][: n_genes - len(first)])


def _checked(table: pd.DataFrame) -> tuple[list[str], Array]:
    names = [str(gene) for gene in table.index]
    if len(set(names)) < len(names):
        twice = table.index[table.index.duplicated()][0]
        raise GeneError(f"gene {twice} has several rows in the table of expression; keep one")
    if table.shape[1] < 2:
        raise SourceError(f"the table of expression has {table.shape[1]} tissues; give genes x tissues, 2 or more")
    try:
        x_gt = table.to_numpy(np.float64)
    except (TypeError, ValueError):
        raise SourceError("the table of expression holds words; give genes x tissues of numbers") from None
    bad = ~(np.isfinite(x_gt) & (x_gt >= 0)).all(axis=1)
    if bad.any():
        raise SourceError(f"gene {names[int(np.argmax(bad))]} has a value that is missing or negative; mend the table")
    return names, x_gt


def _scores(x_gt: Array) -> Array:
    top_g = x_gt.max(axis=1)
    # A gene of zeros, which only min_tpm=0 lets in, is alike everywhere.
    share_gt = np.divide(x_gt, top_g[:, None], out=np.ones_like(x_gt), where=top_g[:, None] > 0)
    tau_g = (1 - share_gt).sum(axis=1) / (x_gt.shape[1] - 1)
    parts = (x_gt.var(axis=1), tau_g, x_gt.mean(axis=1))
    return np.asarray(sum(weight * _z(part) for weight, part in zip(WEIGHTS, parts, strict=True)))


def _z(x_g: Array) -> Array:
    sd = x_g.std()
    return (x_g - x_g.mean()) / (sd if sd > 0 else 1.0)
