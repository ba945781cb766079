"""How the cells of an AnnData were named, before and after refinement, as plain arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from corpuscle.annotate._certainty import margins
from corpuscle.annotate._changes import ERASED, LEAST_CELLS, LEAST_SHARE
from corpuscle.errors import OptionError

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["Naming", "naming_of"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Naming:
    """Types of n cells before and after refinement.

    Attributes
    ----------
    types
        K names.
    before_n, after_n
        (n,) type of each cell as a place in ``types``; -1 where it was left unassigned.
    margin_n, margin_before_n
        (n,) highest score minus the second highest, after and before; empty where not known.
    cl_ids
        K Cell Ontology ids, or None.
    source
        What made the scores.
    about
        What the scorer says of itself.
    refined
        What the refinement says of itself; empty where there was none.
    """

    types: tuple[str, ...]
    before_n: Array
    after_n: Array
    margin_n: Array = field(default_factory=lambda: np.empty(0))
    margin_before_n: Array = field(default_factory=lambda: np.empty(0))
    cl_ids: tuple[str | None, ...] = ()
    source: str = "scores"
    about: Mapping[str, Any] = field(default_factory=dict)
    refined: Mapping[str, Any] = field(default_factory=dict)

    @property
    def changed_n(self) -> Array:
        """(n,) whether a cell's type is another one than before."""
        changed: Array = self.before_n != self.after_n
        return changed

    @property
    def flows_kk(self) -> Array:
        """(K, K) cells by type before (rows) and after (columns); unassigned ones are left out."""
        named = (self.before_n >= 0) & (self.after_n >= 0)
        k = len(self.types)
        flat = self.before_n[named].astype(np.int64) * k + self.after_n[named]
        return np.bincount(flat, minlength=k * k).reshape(k, k)

    def counts(self, codes: Array) -> Array:
        """(K,) cells of each type."""
        return np.bincount(codes[codes >= 0], minlength=len(self.types))

    @property
    def erased_k(self) -> Array:
        """(K,) types that had cells enough and lost more than four in five of them."""
        before_k, after_k = self.counts(self.before_n), self.counts(self.after_n)
        enough = before_k >= max(LEAST_CELLS, LEAST_SHARE * self.before_n.size)
        erased: Array = enough & (before_k - after_k > ERASED * before_k)
        return erased


def naming_of(adata: AnnData, key: str = "refined", *, scores_key: str | None = None) -> Naming:
    """Read what :func:`~corpuscle.annotate.refine_logits` or :func:`~corpuscle.annotate.run.annotate` wrote.

    Parameters
    ----------
    adata
        With ``obsm[scores_key]``, and ``obs[key + "_label"]`` where the scores were refined.
    key
        Name of the refinement.
    scores_key
        Of the scores as they came; the one that the refinement names, else ``"annotation_scores"``.

    Raises
    ------
    OptionError
        There are no such scores.
    """
    from corpuscle.annotate._door import read_scores_of

    refined = dict(adata.uns.get(key, {})) if f"{key}_label" in adata.obs else {}
    scores_key = scores_key or _scores_key(refined)
    if scores_key not in adata.obsm:
        known = ", ".join(adata.obsm) or "none"
        raise OptionError(f"obsm has no {scores_key!r} to name cells by; it has: {known}")
    scores = read_scores_of(adata, scores_key)
    before_n, margin_before_n = scores.best_n(), margins(scores.values_nk)
    after_n, margin_n = before_n, margin_before_n
    if refined:
        place = {name: k for k, name in enumerate(scores.types)}
        labels = adata.obs[f"{key}_label"].astype("category").cat
        place_k = np.array(
            [*(place.get(str(name), -1) for name in labels.categories), -1]
        )  # the last is a missing label
        after_n = place_k[labels.codes.to_numpy()]
        margin_n = adata.obs[f"{key}_margin"].to_numpy(float)
    return Naming(
        types=tuple(scores.types),
        before_n=before_n,
        after_n=after_n,
        margin_n=margin_n,
        margin_before_n=margin_before_n,
        cl_ids=tuple(scores.cl_ids),
        source=scores.source,
        about=scores.about,
        refined=refined,
    )


def _scores_key(refined: Mapping[str, Any]) -> str:
    params = refined.get("params", {})
    found = refined.get("logits_key") or (params.get("logits_key") if isinstance(params, Mapping) else None)
    return str(found or "annotation_scores")
