"""Marker genes of cell types: read from a user's table, or chosen from the bundled ASCT+B tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from corpuscle.annotate.sources._marker_sets import Markers, MarkerSet
from corpuscle.errors import OptionError

__all__ = ["MarkerSet", "Markers", "asctb_markers", "read_markers"]


def read_markers(path: str | Path, *, tissue: str | None = None) -> Markers:
    """Read a table of marker genes.

    Parameters
    ----------
    path
        One of these, plain or gzip'd, told apart by content:

        - CSV or TSV, a row a marker: columns ``type`` and ``gene``, if need be ``weight``, ``sign``, ``cl_id``, under these
          or other usual titles (``cell_type``, ``symbol``, ``source``/``target``, ...). A gene column may list several, and
          a column ``negative`` the genes that the type lacks. A negative weight is a negative marker.
        - CSV or TSV, a column a type, its genes below.
        - GMT: type, description, genes.
        - ``.xlsx`` laid out as the marker data base of ScType: ``tissueType``, ``cellName``, ``geneSymbolmore1`` (positive),
          ``geneSymbolmore2`` (negative). It needs openpyxl.
    tissue
        Of an ``.xlsx``: only rows of this tissue; needed where it has several.

    Raises
    ------
    SourceError
        The file is missing, damaged, or a line of it makes no sense; the line is named.
    OptionError
        What it says contradicts itself, or a tissue must be chosen.
    MethodError
        openpyxl is missing.

    References
    ----------
    Ianevski A, et al. Fully-automated and ultra-fast cell-type identification using specific marker combinations from
    single-cell transcriptomic data. Nat Commun 13, 1246 (2022).
    """
    from corpuscle.annotate.sources import _marker_files, _marker_sheet

    file = Path(path).expanduser()
    content = _marker_files.content_of(file)
    if content.startswith(b"PK"):
        sets, notes = _marker_sheet.read_sheet(file, content, tissue)
    else:
        sets, notes = _marker_files.read_text(file, content), ()
        if tissue is not None:
            raise OptionError(f"{file}: tissue {tissue!r} was asked for; only .xlsx tables have tissues")
    return Markers(sets, file.name, notes)


def asctb_markers(
    organs: Sequence[str] | None = None, types: Sequence[str] | None = None, *, as_written: bool = False
) -> Markers:
    """Marker genes from the bundled ASCT+B tables of the Human Reference Atlas.

    Parameters
    ----------
    organs
        Tables to take rows from, such as ``["blood", "bone-marrow"]``; None takes all.
    types
        Cell Ontology ids, labels or synonyms, at any level of the ontology; they name the types. None takes every type
        that the organs have rows of.
    as_written
        Take genes as the tables' authors wrote them. Otherwise ``CD34+`` is CD34, ``CD4-`` a negative marker, and the name
        of a protein the symbol that other rows give to its HGNC id.

    Returns
    -------
    Markers
        The markers of a type are those of all rows whose type is that one or descends from it; a row that descends from
        several of the types, one of them above the other, counts for the lower one. A type without rows in ``organs`` has
        those of all organs, which ``notes`` says; one without any row is left out, which it says too.

    Raises
    ------
    OptionError
        An organ or type is not known, two types are the same, or none has markers.

    References
    ----------
    Börner K, et al. Anatomical structures, cell types and biomarkers of the Human Reference Atlas. Nat Cell Biol 23,
    1117-1128 (2021).
    """
    from corpuscle.annotate.sources import _marker_asctb

    sets, notes = _marker_asctb.chosen(organs, types, as_written=as_written)
    return Markers(sets, "ASCT+B" if organs is None else f"ASCT+B ({', '.join(organs)})", notes)
