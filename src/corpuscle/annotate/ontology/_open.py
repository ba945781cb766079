"""The bundled Cell Ontology, and one of one's own."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from pathlib import Path

from corpuscle.annotate._tables import CELL_ONTOLOGY, bundled_bytes
from corpuscle.annotate.ontology._ontology import CellOntology
from corpuscle.annotate.ontology._read import read_terms, terms_of

__all__ = ["cell_ontology", "load_cell_ontology"]


@cache
def cell_ontology() -> CellOntology:
    """The bundled Cell Ontology, release 2026-03-26: 3,596 terms, of which 272 are deprecated; read once.

    References
    ----------
    Tan SZK, et al. The Cell Ontology in the age of single-cell omics. arXiv 2506.10037 (2025).
    Diehl AD, et al. The Cell Ontology 2016: enhanced content, modularization, and ontology interoperability.
    J Biomed Semantics 7, 44 (2016).
    """
    name = "Cell Ontology 2026-03-26"
    return CellOntology(terms_of(bundled_bytes(CELL_ONTOLOGY), name), name)


def load_cell_ontology(path: str | Path, relations: Collection[str] = ("is_a",)) -> CellOntology:
    """A release of one's own: OBO text, JSON of the CELLxGENE ontology guide, or a table as bundled; packed or not.

    Parameters
    ----------
    path
        The file; gzip and xz are recognised.
    relations
        Of an OBO file, what makes a parent: ``"is_a"``, or also relationships such as ``"develops_from"``.

    Raises
    ------
    SourceError
        It cannot be read, is damaged, or has another form.
    """
    return CellOntology(read_terms(path, relations), Path(path).name)
