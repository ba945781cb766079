"""What a check found, and what the checks are called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["CHECKS", "EXAMPLES", "Issue"]

#: How many offending cells and genes an issue names.
EXAMPLES = 10

#: Every check by its id. An id names the subject: it can come as an error or, where one can live with it, as a warning.
CHECKS = {
    "E0": "the file cannot be read",
    "E1": "X is not CSR, or not raw counts",
    "E2": "a gene of a pair is not there",
    "E3": "there is no pair, or it cannot be read",
    "E4": "a gene name stands for several columns",
    "E5": "total_counts or n_genes disagree with X",
    "E6": "cells without counts",
    "W1": "a pair is detected in too few cells",
    "W2": "few cells",
    "W3": "genes differ from other files of the species",
    "W4": "mixed Ensembl versions",
    "W5": "few UMI a cell",
    "W6": "a pair of one gene with itself",
    "W7": "the reporter may be ambient or read-through",
    "W8": "a description is missing",
}


@dataclass(frozen=True, slots=True)
class Issue:
    """One fault of one file.

    Attributes
    ----------
    id
        Key of :data:`CHECKS`.
    severity
        ``"error"``: the file cannot be used as it is. ``"warning"``: it can.
    message
        What is wrong and what to do, in one line.
    where
        The file.
    rows, columns
        The first offending cells, and genes or table columns, by name.
    """

    id: str
    severity: Literal["error", "warning"]
    message: str
    where: str
    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
