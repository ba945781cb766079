"""Labels of samples in an AnnData, and where its counts are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd

from corpuscle.errors import MethodError, OptionError

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["LabelSetup", "label_codes"]

Array = np.ndarray[Any, Any]
#: Where in ``uns`` the setup is kept, so that it goes along when samples are copied or cut out.
KEY = "_corpuscle_expression"


@dataclass(frozen=True)
class LabelSetup:
    """Column of ``obs`` with the labels, and layer of the counts (None: ``X``)."""

    labels_key: str
    layer: str | None

    def write(self, adata: AnnData) -> None:
        """Note it in ``uns``.

        Raises
        ------
        OptionError
            There is no such column or layer, or samples have no label.
        """
        _column(adata.obs, self.labels_key)
        if self.layer is not None and self.layer not in adata.layers:
            raise OptionError(f"there is no layer {self.layer!r}; layers: {', '.join(adata.layers) or 'none'}")
        adata.uns[KEY] = {"labels_key": self.labels_key} | ({} if self.layer is None else {"layer": self.layer})

    @classmethod
    def of(cls, adata: AnnData, model: str) -> Self:
        """Read it from ``uns``.

        Raises
        ------
        OptionError
            It is not there.
        """
        noted = adata.uns.get(KEY)
        if not isinstance(noted, dict) or "labels_key" not in noted:
            raise OptionError(f"the AnnData is not set up; call {model}.setup_anndata(adata, labels_key=...) first")
        return cls(str(noted["labels_key"]), noted.get("layer"))


def _column(obs: pd.DataFrame, key: str) -> pd.Series[Any]:
    if key not in obs:
        raise OptionError(
            f"obs has no column {key!r} for the labels; it has: {', '.join(map(str, obs.columns)) or 'none'}"
        )
    column = obs[key]
    empty_n = (column.isna() | (column.astype(str).str.strip() == "")).to_numpy()
    if empty_n.any():
        raise OptionError(
            f"{int(empty_n.sum()):,} of {len(column):,} samples have no label in obs[{key!r}], first "
            f"{obs.index[int(np.argmax(empty_n))]}; drop them or name them"
        )
    return column


def label_codes(obs: pd.DataFrame, key: str, labels: list[str] | None = None) -> tuple[list[str], Array]:
    """Labels, sorted, and the number of each sample's label.

    Parameters
    ----------
    obs, key
        Table of the samples and its column of labels.
    labels
        Labels that are known; by default those that occur, which then need 2 samples each.

    Raises
    ------
    OptionError
        Samples have no label, or one that is not known.
    MethodError
        A label has fewer than 2 samples.
    """
    name_n = _column(obs, key).astype(str).to_numpy(dtype=object)
    if labels is not None:
        code_n = pd.Index(labels).get_indexer(name_n)
        if (code_n < 0).any():
            raise OptionError(
                f"label {name_n[int(np.argmax(code_n < 0))]!r} is not one the model knows; drop its samples"
            )
        return labels, code_n.astype(np.int64)
    known, code_n, size_l = np.unique(name_n.astype(str), return_inverse=True, return_counts=True)
    rare = [str(label) for label, size in zip(known, size_l, strict=True) if size < 2]
    if rare:
        raise MethodError(
            f"{len(rare):,} of {known.size:,} labels have one sample, such as {rare[0]!r}, and a generator needs 2 or "
            f"more; drop those samples"
        )
    return [str(label) for label in known], code_n.astype(np.int64)
