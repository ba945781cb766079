"""Marker genes of the types of a data set, found by the types' Cell Ontology ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from corpuscle.errors import MethodError

if TYPE_CHECKING:
    from corpuscle.annotate.sources.marker_table import Markers

__all__ = ["candidate_markers"]


def candidate_markers(
    where: str, cl_ids: Mapping[str, str | None], *, organs: Sequence[str] = (), table: str | None = None
) -> tuple[Markers, tuple[str, ...]]:
    """Markers of types under the data set's own names for them, and notes on what was not found.

    Parameters
    ----------
    where
        What messages call the data set.
    cl_ids
        Type -> its Cell Ontology id, or None; of types that share one, the first has the markers.
    organs
        Organs whose bundled ASCT+B tables are read; none for all.
    table
        File of markers to use instead; its types bear the data set's names or their Cell Ontology ids.

    Raises
    ------
    MethodError
        No type has a valid id, or there are no markers of any.
    """
    from corpuscle.annotate.sources.marker_table import asctb_markers, read_markers

    ids = _current_ids(cl_ids)
    if table is not None:
        given = read_markers(table)
    elif ids:
        given = asctb_markers(list(organs) or None, list(ids))
    else:
        raise MethodError(f"{where}: no type has a Cell Ontology id, so none has markers; give --label-map")
    named = {ids.get(one.cl_id or "", name): one for name, one in given.sets.items()}
    named = {name: one for name, one in named.items() if name in cl_ids}
    if not named:
        raise MethodError(f"{where}: {given.source} has no markers of {', '.join(list(cl_ids)[:3])}, ...")
    return replace(given, sets=named), tuple(f"{where}: {note}" for note in given.notes)


def _current_ids(cl_ids: Mapping[str, str | None]) -> dict[str, str]:
    """Valid Cell Ontology id -> type; of types that share one, the first."""
    from corpuscle.annotate.ontology import cell_ontology

    ontology, out = cell_ontology(), dict[str, str]()
    for name, cl_id in cl_ids.items():
        valid = ontology.current(cl_id) if cl_id is not None and cl_id in ontology else None
        if valid is not None:
            out.setdefault(valid, name)
    return out
