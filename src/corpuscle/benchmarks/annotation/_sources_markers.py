"""Scores from marker genes of the candidate types: of the bundled ASCT+B tables, or of a user's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from corpuscle.benchmarks._marker_candidates import candidate_markers
from corpuscle.benchmarks.annotation._draw import Draw
from corpuscle.benchmarks.annotation.sources import Scored, by_name

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
        cells = draw.cells
        organs = self.organs.split("+") if self.organs else draw.organs
        ids = dict(zip(cells.types, cells.cl_ids, strict=True))
        return candidate_markers(cells.name, ids, organs=organs, table=self.table)


@dataclass
class UCell(MarkerScores):
    """The same markers, scored by the ranks of a cell's genes."""

    scoring: str = "ucell"
    name = "ucell"
