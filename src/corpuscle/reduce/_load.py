"""Values with missing entries from files: any source of counts, and tables of numbers with gaps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from corpuscle.counts import open_counts
from corpuscle.errors import OptionError, SourceError

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["is_table", "load_layer", "load_values"]

TABLES = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
#: Share of stored entries above which a dense array is the smaller form.
DENSE_SHARE = 0.4


def is_table(source: Any) -> bool:
    """Whether the source is a plain table: text, or an array of NumPy."""
    return isinstance(source, str | Path) and str(source).lower().endswith((*TABLES, ".npy"))


def load_values(source: Any, layer: str | None = None, *, counts: bool = False) -> AnnData:
    """All values of a source, sparse where that is smaller; NaN stays.

    Parameters
    ----------
    source
        What :func:`corpuscle.open_counts` opens. A table as text (names first, a row a sample) or an ``.npy`` array may have
        gaps, unless it is to be counts.
    layer
        Matrix to read instead of the main one.
    counts
        Insist on raw counts.

    Raises
    ------
    SourceError
        A source cannot be read, or its values are not numbers.
    NotCountsError
        The values were to be counts and are not.
    """
    from anndata import AnnData

    if is_table(source) and not counts:
        if layer is not None:
            raise OptionError(f"{source}: a table has no layers; leave --layer out")
        return _table(Path(source).expanduser())
    with open_counts(source, layer, check=counts) as opened:
        blocks = opened.blocks() if counts else opened.raw_blocks()
        x_nd = sparse.vstack([block.x_ng for block in blocks], format="csr") if opened.n_obs else None
        if x_nd is None or not opened.n_vars:
            raise SourceError(f"{opened.name}: it has no values; give cells x genes")
        obs, var = pd.DataFrame(index=opened.obs.index), pd.DataFrame(index=opened.var.index)
    dense = not counts and x_nd.nnz > DENSE_SHARE * x_nd.shape[0] * x_nd.shape[1]
    return AnnData(X=x_nd.toarray() if dense else x_nd, obs=obs, var=var)


def load_layer(source: Any, name: str) -> sparse.csr_matrix:
    """A layer as CSR, whatever its values are.

    Raises
    ------
    SourceError
        There is no such layer.
    """
    with open_counts(source, name, check=False) as opened:
        return sparse.vstack([block.x_ng for block in opened.raw_blocks()], format="csr")


def _table(path: Path) -> AnnData:
    from anndata import AnnData

    if not path.is_file():
        raise SourceError(f"{path}: there is no such file; check the path")
    try:
        if path.suffix == ".npy":
            frame = pd.DataFrame(np.load(path, allow_pickle=False))
        else:
            separator = "," if ".csv" in path.name.lower() else "\t"
            frame = pd.read_csv(path, sep=separator, index_col=0)
        x_nd = frame.to_numpy(dtype=np.float64)
    except (OSError, ValueError, TypeError, EOFError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise SourceError(
            f"{path}: not a table of numbers ({reason}); a row a sample, names first, gaps empty"
        ) from None
    if not x_nd.size:
        raise SourceError(f"{path}: it has no values; give a row a sample, names first")
    names = (pd.Index(axis.astype(str)) for axis in (frame.index, frame.columns))
    return AnnData(X=x_nd, obs=pd.DataFrame(index=next(names)), var=pd.DataFrame(index=next(names)))
