"""What became of a data set's labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

__all__ = ["LabelMap"]


class _Ontology(Protocol):
    def label(self, cl_id: str) -> str: ...

    def candidates(self, text: str, n: int = 5) -> list[str]: ...


class LabelMap(dict[str, str | None]):
    """Label -> Cell Ontology id, None where no one type is meant; a plain dict otherwise.

    Parameters
    ----------
    found
        The pairs.
    ontology
        Where they were looked up.
    left_out
        Labels that are None because the user said so.
    """

    def __init__(
        self, found: Mapping[str, str | None], ontology: _Ontology, left_out: Iterable[str] = frozenset()
    ) -> None:
        super().__init__(found)
        self._ontology = ontology
        self._left_out = frozenset(left_out)

    @property
    def unmatched(self) -> list[str]:
        """Labels that were looked for and mean nothing, or more than one thing."""
        return [label for label, cl_id in self.items() if cl_id is None and label not in self._left_out]

    @property
    def share(self) -> float:
        """Share of the labels looked for that have an id; NaN where there is none."""
        asked = len(self) - sum(label in self._left_out for label in self)
        return (asked - len(self.unmatched)) / asked if asked else float("nan")

    def words(self) -> list[str]:
        """One line for each unmatched label, with what it may mean and how to say so."""
        lines = []
        for label in self.unmatched:
            may = ", ".join(f"{one} {self._ontology.label(one)!r}" for one in self._ontology.candidates(label, 3))
            advice = f"maybe {may}" if may else "nothing similar"
            lines.append(
                f"{label!r} is no one type of the Cell Ontology: {advice}; say which with extra={{{label!r}: id}}"
            )
        return lines
