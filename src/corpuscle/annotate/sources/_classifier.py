"""A trained classifier of cell types: what it knows, how it scores cells, and how it is kept in a file."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import scipy.sparse as sp

from corpuscle.annotate._expression import expression_of
from corpuscle.annotate.scores import Scores
from corpuscle.annotate.sources import _reference_file as files
from corpuscle.annotate.sources._reference_genes import matched_columns, panel_blocks
from corpuscle.errors import GeneError, OptionError, SourceError

if TYPE_CHECKING:
    from corpuscle.annotate._expression import Expression

__all__ = ["KINDS", "LEAST_GENES", "ReferenceClassifier", "check_kind", "standardised"]

Array = np.ndarray[Any, Any]
KINDS = ("probability", "decision")
#: With fewer genes in common nothing that is said of a cell can be relied on.
LEAST_GENES = 20
#: Below this share of the genes that it learned from, a classifier warns.
LEAST_SHARE = 0.5
#: Standardised expression is cut here, so that one gene never decides alone.
CLIP = 10.0
FORMAT = 1
FORMS = {
    "types": ("U", 1),
    "cl_ids": ("U", 1),
    "cells_k": ("i", 1),
    "genes": ("U", 1),
    "level_u": ("f", 1),
    "chosen_v": ("i", 1),
    "mean_v": ("f", 1),
    "sd_v": ("f", 1),
    "weights_kv": ("f", 2),
    "intercept_k": ("f", 1),
    "about": ("U", 0),
}


@dataclass(frozen=True)
class ReferenceClassifier:
    """A multinomial logistic regression that names cells by what it learned from labelled ones.

    Made by :func:`~corpuscle.annotate.sources.reference.train_reference` or :meth:`load`.

    Attributes
    ----------
    types, cl_ids
        K names, and their Cell Ontology ids where known.
    cells_k
        (K,) labelled cells of each type that it learned from.
    genes
        u symbols over which expression is scaled.
    level_u
        (u,) mean expression of each in the reference, per 10,000.
    chosen_v
        (v,) places in ``genes`` of those that it learned from.
    mean_v, sd_v
        (v,) mean and standard deviation of their log expression in the reference.
    weights_kv, intercept_k
        (K, v) and (K,) of the regression, on standardised log expression.
    about
        Parameters, and ``notes``: what a user should know.
    """

    types: tuple[str, ...]
    cl_ids: tuple[str | None, ...]
    cells_k: Array
    genes: tuple[str, ...]
    level_u: Array
    chosen_v: Array
    mean_v: Array
    sd_v: Array
    weights_kv: Array
    intercept_k: Array
    about: Mapping[str, Any] = field(default_factory=dict)

    def scores(
        self, source: Any, *, layer: str | None = None, logged: bool = False, kind: str = "probability"
    ) -> Scores:
        """Score cells, a block at a time.

        Parameters
        ----------
        source
            A path, glob pattern, AnnData or open counts: raw counts, or log-normalised values with ``logged``.
        layer
            Matrix to use instead of the main one.
        logged
            The values are ``log(1 + x)`` of counts scaled to any one sum.
        kind
            ``"probability"``: softmax of the linear scores; rows sum to 1. ``"decision"``: the linear scores, centred over
            the types. The highest is the same.

        Returns
        -------
        Scores
            (n, K) float32.

        Raises
        ------
        GeneError
            Fewer than 20 of the genes that it learned from are there.
        MethodError
            A cell expresses none of the genes.

        Warns
        -----
        UserWarning
            Fewer than half of the genes that it learned from are there.

        Notes
        -----
        A gene that is missing counts as expressed at the reference's mean, not as absent.
        """
        check_kind(kind)
        with expression_of(source, layer=layer, logged=logged) as expression:
            column_u = matched_columns(expression, self.genes)
            notes = [*expression.notes, *self._judge(column_u, expression.name)]
            values_nk = self._linear(expression, column_u)
            cells = expression.cells
        if kind == "probability":
            values_nk = _softmax(values_nk)
        n_used = int((column_u[self.chosen_v] >= 0).sum())
        about = {**self.about, "kind": kind, "genes_used": n_used, "notes": [*self.about.get("notes", []), *notes]}
        return Scores(values_nk, self.types, self.cl_ids, "logistic regression on a reference", cells, about)

    def save(self, path: str | Path) -> None:
        """Write everything as one ``.npz`` of plain arrays, which appears when it is complete.

        Raises
        ------
        OutputError
            It cannot be written.
        """
        words = {
            "types": np.array(self.types),
            "cl_ids": np.array([cl_id or "" for cl_id in self.cl_ids]),
            "genes": np.array(self.genes),
            "about": np.array(json.dumps({**self.about, "format": FORMAT})),
        }
        files.write_arrays(Path(path), words | {name: getattr(self, name) for name in FORMS if name not in words})

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what :meth:`save` wrote; nothing in a file is run.

        Raises
        ------
        SourceError
            It is no such file, is damaged, or its parts do not fit together.
        """
        path = Path(path)
        arrays = files.read_arrays(path, FORMS)
        about = _about(path, arrays)
        _check_parts(path, arrays)
        parts: dict[str, Any] = arrays | {
            "types": tuple(map(str, arrays["types"])),
            "cl_ids": tuple(str(cl_id) or None for cl_id in arrays["cl_ids"]),
            "genes": tuple(map(str, arrays["genes"])),
            "about": about,
        }
        return cls(**parts)

    def _judge(self, column_u: Array, name: str) -> list[str]:
        """Refuse a source with too few of the genes, and say in a line when many are missing."""
        n_used, n_chosen = int((column_u[self.chosen_v] >= 0).sum()), self.chosen_v.size
        if n_used < LEAST_GENES:
            raise GeneError(
                f"{name}: only {n_used:,} of the {n_chosen:,} genes that the classifier learned from are there (it has "
                f"names like {self.genes[self.chosen_v[0]]}); give human or mouse symbols or Ensembl ids"
            )
        if n_used >= LEAST_SHARE * n_chosen:
            return []
        line = f"only {n_used:,} of the {n_chosen:,} genes that the classifier learned from are there"
        warnings.warn(f"{name}: {line}; train it on the genes that both have", UserWarning, stacklevel=3)
        return [line]

    def _linear(self, expression: Expression, column_u: Array) -> Array:
        """(n, K) float32 linear scores; a sparse product, since centring only adds a constant to each type."""
        present_u = np.flatnonzero(column_u >= 0)
        share = float(self.level_u[present_u].sum() / self.level_u.sum())
        place_u = np.full(len(self.genes), -1, np.int64)
        place_u[present_u] = np.arange(present_u.size)
        seen_v = np.flatnonzero(place_u[self.chosen_v] >= 0)
        columns = place_u[self.chosen_v[seen_v]]
        weights_kv = self.weights_kv[:, seen_v].astype(np.float64)
        zero_v = (self.mean_v / self.sd_v)[seen_v].astype(np.float64)
        constant_k = self.intercept_k - weights_kv @ zero_v
        values_nk = np.empty((expression.n_cells, len(self.types)), np.float32)
        for rows, _, log_nu in panel_blocks(expression, column_u[present_u], share):
            values_nk[rows] = standardised(log_nu[:, columns], self.sd_v[seen_v], zero_v) @ weights_kv.T + constant_k
        return values_nk


def standardised(log_nv: sp.csr_matrix, sd_v: Array, zero_v: Array) -> sp.csr_matrix:
    """Standardised log expression plus ``zero_v``, so that zeros stay zeros.

    Parameters
    ----------
    log_nv
        (n, v) log expression.
    sd_v, zero_v
        (v,) standard deviations, and means over them. A standardised value is cut at 10.
    """
    value = log_nv.data / sd_v[log_nv.indices]
    np.minimum(value, CLIP + zero_v[log_nv.indices], out=value, casting="same_kind")
    return sp.csr_matrix((value, log_nv.indices, log_nv.indptr), shape=log_nv.shape)


def check_kind(kind: str) -> None:
    """Refuse what is neither ``"probability"`` nor ``"decision"``."""
    if kind not in KINDS:
        raise OptionError(f"kind {kind!r} is none of {', '.join(KINDS)}")


def _softmax(values_nk: Array) -> Array:
    values_nk = np.exp(values_nk - values_nk.max(axis=1, keepdims=True), dtype=np.float32)
    values_nk /= values_nk.sum(axis=1, keepdims=True)
    return values_nk


def _about(path: Path, arrays: Mapping[str, Array]) -> dict[str, Any]:
    try:
        about = json.loads(str(arrays["about"]))
    except (ValueError, RecursionError):
        about = None
    if not isinstance(about, dict) or about.pop("format", None) != FORMAT:
        raise SourceError(f"{path}: is not a classifier of format {FORMAT}; update corpuscle, or train anew")
    return about


def _check_parts(path: Path, arrays: Mapping[str, Array]) -> None:
    """Refuse parts that do not fit together: they would score every cell wrongly without a word."""
    n_types, n_used = arrays["weights_kv"].shape
    n_genes = arrays["genes"].size
    sizes = {"types": n_types, "cl_ids": n_types, "cells_k": n_types, "intercept_k": n_types, "level_u": n_genes}
    sizes |= dict.fromkeys(("chosen_v", "mean_v", "sd_v"), n_used)
    chosen_v = arrays["chosen_v"]
    whole = (
        all(arrays[name].size == size for name, size in sizes.items())
        and n_types >= 2
        and n_used > 0
        and all(np.isfinite(array).all() for array in arrays.values() if array.dtype.kind == "f")
        and np.unique(chosen_v).size == n_used
        and chosen_v.min() >= 0
        and chosen_v.max() < n_genes
        and np.unique(arrays["genes"]).size == n_genes
        and (arrays["sd_v"] > 0).all()
        and (arrays["level_u"] >= 0).all()
        and arrays["level_u"].sum() > 0
    )
    if not whole:
        raise SourceError(f"{path}: the parts of the classifier do not fit together; {files.GET_AGAIN}")
