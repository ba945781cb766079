"""Scores that are there already: a table of the file, or the truth with noise of a known kind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from corpuscle.annotate.scores import Scores
from corpuscle.benchmarks.annotation._draw import Draw
from corpuscle.benchmarks.annotation.sources import Scored, by_name
from corpuscle.errors import OptionError
from corpuscle.seeds import stream

__all__ = ["Given", "Noise"]


@dataclass
class Given:
    """Scores that another program left in ``obsm``.

    A column stands for the candidate type of the same name, or for the type that has its Cell Ontology id; others can be
    predicted and are always wrong.

    Parameters
    ----------
    key
        Of ``obsm``.
    """

    key: str = ""
    name = "scores"
    told = "what its maker was told"
    needs_labels = False

    def __post_init__(self) -> None:
        if not self.key:
            raise OptionError("scores needs the obsm key: scores:KEY")

    def __call__(self, draw: Draw, seed: int) -> Scored:
        """Read the rows of the cells drawn."""
        rows = draw.cells.row_n[draw.row_n]
        found = self._read(draw.cells.source)
        scores = Scores(
            found.values_nk[rows], found.types, found.cl_ids, f"obsm[{self.key!r}]", draw.counts.obs_names.to_numpy()
        )
        code_k = by_name(scores.types, draw.cells)
        of_id = {cl_id: i for i, cl_id in enumerate(draw.cells.cl_ids) if cl_id}
        code_k = np.array(
            [
                of_id.get(cl_id or "", -1) if code < 0 else code
                for code, cl_id in zip(code_k, scores.cl_ids, strict=True)
            ]
        )
        strange = [name for name, code in zip(scores.types, code_k, strict=True) if code < 0]
        notes = (f"{self.key}: no type of the truth is meant by {', '.join(strange[:3])}",) if strange else ()
        return Scored(scores, code_k, notes=notes)

    def _read(self, source: Any) -> Scores:
        if isinstance(source, Path):
            from corpuscle.annotate.sources.files import read_scores

            return read_scores(source, key=self.key)
        from corpuscle.annotate._door import read_scores_of

        return read_scores_of(source, self.key)


@dataclass
class Noise:
    """The true types as one-hot scores, a share of the cells given a random type instead, each alike.

    Errors are independent of cell and type, which is what smoothing can repair. The drawn type may be the true one.

    Parameters
    ----------
    fraction
        Share of the cells.
    """

    fraction: float = 0.4
    name = "noise"
    told = "the labels"
    needs_labels = True

    def __post_init__(self) -> None:
        if not 0 <= self.fraction <= 1:
            raise OptionError(f"noise: fraction is {self.fraction}; it must be between 0 and 1")

    def __call__(self, draw: Draw, seed: int) -> Scored:
        """Spoil the truth."""
        rng = stream(seed, "annotation", "noise", f"{self.fraction:g}")
        k, code_n = len(draw.cells.types), draw.code_n.copy()
        spoilt_n = rng.permutation(code_n.size)[: round(self.fraction * code_n.size)]
        code_n[spoilt_n] = rng.integers(k, size=spoilt_n.size)
        scores = Scores(np.eye(k, dtype=np.float32)[code_n], draw.cells.types, draw.cells.cl_ids, self.name)
        return Scored(scores, np.arange(k))
