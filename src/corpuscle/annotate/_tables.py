"""Bundled tables of this room: where they lie and how a table of text is read."""

from __future__ import annotations

from functools import cache
from importlib.resources import as_file, files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["asctb_table", "bundled_bytes"]

CELL_ONTOLOGY = "cell_ontology.tsv.xz"
ASCTB = "asctb_markers.tsv.xz"


def asctb_table() -> pd.DataFrame:
    """Marker genes of cell types by organ, from the ASCT+B tables of the Human Reference Atlas.

    Returns
    -------
    pandas.DataFrame
        7,525 rows of text, a copy of one's own: ``organ``, ``table_version``, ``anatomical_structure``,
        ``anatomical_structure_id``, ``cell_type`` (as its author wrote it), ``cl_label``, ``cl_id``, ``gene`` (as its
        author wrote it: ``"CD34+"`` and ``"FLT4 (VEGFR-3)"`` occur), ``hgnc_id``. An empty text means unknown;
        ``cl_id`` may also be a provisional ``PCL:`` or ``LMHA:`` id.

    References
    ----------
    Börner K, et al. Anatomical structures, cell types and biomarkers of the Human Reference Atlas. Nat Cell Biol 23,
    1117-1128 (2021).
    """
    return _asctb().copy()


def bundled_bytes(name: str) -> bytes:
    """Bytes of a table of ``corpuscle/annotate/data``, as they are on disk."""
    return (files("corpuscle.annotate") / "data" / name).read_bytes()


@cache
def _asctb() -> pd.DataFrame:
    import csv

    import pandas as pd

    with as_file(files("corpuscle.annotate") / "data" / ASCTB) as path:
        return pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False, quoting=csv.QUOTE_NONE)
