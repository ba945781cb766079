"""Scores from marker genes of the candidate types: of the bundled ASCT+B tables, or of a user's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from corpuscle.benchmarks.annotation._draw import Draw
from corpuscle.benchmarks.annotation.sources import Scored, by_name
from corpuscle.errors import MethodError

if TYPE_CHECKING:
    from corpuscle.annotate.sources.marker_table import Markers

__all__ = ["MarkerScores", "UCell"]


@dataclass
class MarkerScores:
    """Marker scores of the types that are present, by their Cell Ontology ids.

    Parameters
    ----------
    scoring
        ``"sctype"``, ``"ucell"``, ``"ulm"`` or ``"mean"``.
    organs
        Organs whose tables are read, with ``+`` between them; None is what the run says, and that is all by default.
    table
        File of markers to use instead; its types bear the candidates' names or their Cell Ontology ids.
    """

    scoring: str = "sctype"
    organs: str | None = None
    table: str | None = None
    name = "markers"
    told = "the types"
    needs_labels = False

    def __call__(self, draw: Draw, seed: int) -> Scored:
        """Score the cells; a type without a marker in the data has no column, and is never found."""
        from corpuscle.annotate.sources.markers import marker_scores

        markers, notes = self.markers(draw)
        scores = marker_scores(draw.counts, markers, scoring=self.scoring)
        lacking = [name for name in draw.cells.types if name not in scores.types]
        if lacking:
            notes = (*notes, f"{draw.cells.name}: without markers, so never found: {', '.join(lacking)}")
        return Scored(scores, by_name(scores.types, draw.cells), notes=notes)

    def markers(self, draw: Draw) -> tuple[Markers, tuple[str, ...]]:
        """Markers of the candidates under the candidates' names, and notes on what was not found."""
        from corpuscle.annotate.sources.marker_table import asctb_markers, read_markers

        cells, ids = draw.cells, _current_ids(draw)
        if self.table is not None:
            given = read_markers(self.table)
        elif ids:
            organs = self.organs.split("+") if self.organs else list(draw.organs)
            given = asctb_markers(organs or None, list(ids))
        else:
            raise MethodError(f"{cells.name}: no type has a Cell Ontology id, so none has markers; give --label-map")
        named = {ids.get(one.cl_id or "", name): one for name, one in given.sets.items()}
        named = {name: one for name, one in named.items() if name in cells.types}
        if not named:
            raise MethodError(f"{cells.name}: {given.source} has no markers of {', '.join(cells.types[:3])}, ...")
        return replace(given, sets=named), tuple(f"{cells.name}: {note}" for note in given.notes)


def _current_ids(draw: Draw) -> dict[str, str]:
    """Valid Cell Ontology id -> candidate; of candidates that share one, the first."""
    from corpuscle.annotate.ontology import cell_ontology

    ontology, out = cell_ontology(), dict[str, str]()
    for name, cl_id in zip(draw.cells.types, draw.cells.cl_ids, strict=True):
        valid = ontology.current(cl_id) if cl_id is not None and cl_id in ontology else None
        if valid is not None:
            out.setdefault(valid, name)
    return out


@dataclass
class UCell(MarkerScores):
    """The same markers, scored by the ranks of a cell's genes."""

    scoring: str = "ucell"
    name = "ucell"
