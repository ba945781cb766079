"""Markers of chosen types from rows of the ASCT+B tables, by where a row's type stands in the Cell Ontology."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from corpuscle.annotate._tables import asctb_table
from corpuscle.annotate.ontology import cell_ontology, normal_id
from corpuscle.annotate.sources._marker_names import split_sign
from corpuscle.annotate.sources._marker_sets import MarkerSet
from corpuscle.counts.genes import GeneTable
from corpuscle.errors import OptionError

if TYPE_CHECKING:
    import pandas as pd

    from corpuscle.annotate.ontology import CellOntology

__all__ = ["chosen"]


def chosen(
    organs: Sequence[str] | None, types: Sequence[str] | None, *, as_written: bool
) -> tuple[dict[str, MarkerSet], tuple[str, ...]]:
    """Type -> markers, and a line on each thing that a user may not expect; see :func:`asctb_markers`."""
    ontology = cell_ontology()
    table, notes = _rows(ontology, as_written)
    here = table if organs is None else table[table["organ"].isin(_organs(table, organs))]
    wanted = _every_type(here, ontology) if types is None else _types(types, ontology)
    owners = _owners(sorted(set(table["cl_id"])), list(wanted.values()), ontology)
    of_type, of_type_anywhere = _genes(here, owners), _genes(table, owners)
    sets: dict[str, MarkerSet] = {}
    elsewhere, nowhere = [], []
    for name, cl_id in wanted.items():
        signed = of_type.get(cl_id)
        if signed is None and cl_id in of_type_anywhere:
            signed = of_type_anywhere[cl_id]
            elsewhere.append(name)
        if signed is None:
            nowhere.append(name)
            continue
        sets[name] = _one(signed, cl_id)
    if not sets:
        raise OptionError(
            f"ASCT+B: it has no marker of {', '.join(nowhere)}; name other types, at any level of the ontology"
        )
    if elsewhere:
        notes.append(f"not in {', '.join(organs or ())}, so taken from all organs: {', '.join(elsewhere)}")
    if nowhere:
        notes.append(f"left out, since no organ has a marker of them: {', '.join(nowhere)}")
    return sets, tuple(notes)


def _rows(ontology: CellOntology, as_written: bool) -> tuple[pd.DataFrame, list[str]]:
    """Rows whose type is of the Cell Ontology, under its current id, and how many are not."""
    table = asctb_table()
    known = table["cl_id"].str.fullmatch(r"CL:\d{7}")
    rows = table[known].copy()
    current = {cl_id: _current(ontology, cl_id) for cl_id in set(rows["cl_id"])}
    rows["cl_id"] = rows["cl_id"].map(current)
    if as_written:
        rows["sign"] = 1
    else:
        rows["gene"], rows["sign"] = _cleaned(rows, table)
    left_out = int((~known).sum())
    return rows, [f"{left_out:,} of {len(table):,} rows have no Cell Ontology id and were not used"]


def _current(ontology: CellOntology, cl_id: str) -> str:
    return (ontology.current(cl_id) if cl_id in ontology else None) or cl_id


def _cleaned(rows: pd.DataFrame, table: pd.DataFrame) -> tuple[list[str], list[int]]:
    """Symbols in capitals, and signs; a name that is no symbol becomes the one that other rows give the same HGNC id."""
    symbols = {symbol.upper() for symbol in GeneTable.human().symbols}
    proper = table[table["gene"].str.upper().isin(symbols) & table["hgnc_id"].str.fullmatch(r"HGNC:\d+")]
    by_id = {
        hgnc_id: names.iloc[0]
        for hgnc_id, names in proper["gene"].str.upper().groupby(proper["hgnc_id"])
        if names.nunique() == 1
    }
    genes, signs = [], []
    for name, hgnc_id in zip(rows["gene"], rows["hgnc_id"], strict=True):
        gene, sign = split_sign(name)
        gene = gene.upper()
        genes.append(gene if gene in symbols else by_id.get(hgnc_id, gene))
        signs.append(sign)
    return genes, signs


def _organs(table: pd.DataFrame, organs: Sequence[str]) -> list[str]:
    if isinstance(organs, str):
        raise OptionError(f"ASCT+B: organs must be a list, such as [{organs!r}]")
    known = sorted(set(table["organ"]))
    names = [re.sub(r"[\s_]+", "-", organ.strip().lower()) for organ in organs]
    unknown = [organ for organ, name in zip(organs, names, strict=True) if name not in known]
    if unknown or not names:
        asked = repr(unknown[0]) if unknown else "none"
        raise OptionError(f"ASCT+B: no organ {asked}; it has: {', '.join(known)}")
    return names


def _types(types: Sequence[str], ontology: CellOntology) -> dict[str, str]:
    """Name of each type -> its id."""
    if isinstance(types, str):
        raise OptionError(f"ASCT+B: types must be a list, such as [{types!r}]")
    out: dict[str, str] = {}
    for text in types:
        found = ontology.find(text)
        cl_id = None if found is None else ontology.current(found)
        if cl_id is None:
            raise OptionError(f"ASCT+B: {text!r} is no type of the Cell Ontology; give its id, label or a synonym")
        name = text.strip() if normal_id(text) is None else ontology.label(cl_id)
        if cl_id in out.values() or name in out:
            raise OptionError(f"ASCT+B: type {text!r} ({cl_id}) is asked for twice; name each once")
        out[name] = cl_id
    if not out:
        raise OptionError("ASCT+B: no type is asked for; name some, or leave types out")
    return out


def _every_type(rows: pd.DataFrame, ontology: CellOntology) -> dict[str, str]:
    """Label -> id of every type with a row, in the order of the ids."""
    label = dict(zip(rows["cl_id"], rows["cl_label"], strict=True))
    out: dict[str, str] = {}
    for cl_id in sorted(label):
        name = ontology.label(cl_id) if cl_id in ontology else label[cl_id] or cl_id
        out[name if name not in out else f"{name} ({cl_id})"] = cl_id
    return out


def _owners(row_ids: Sequence[str], types: Sequence[str], ontology: CellOntology) -> dict[str, list[str]]:
    """Id of a row -> the chosen types it counts for: those it is or descends from, less those above another of them."""
    wanted = set(types)
    owners: dict[str, list[str]] = {}
    for row_id in row_ids:
        if row_id in wanted:
            owners[row_id] = [row_id]
            continue
        if row_id not in ontology:
            continue
        above = wanted & set(ontology.ancestors(row_id))
        higher = {cl_id for one in above for cl_id in ontology.ancestors(one)}
        lowest = [cl_id for cl_id in types if cl_id in above - higher]
        if lowest:
            owners[row_id] = lowest
    return owners


def _genes(rows: pd.DataFrame, owners: Mapping[str, list[str]]) -> dict[str, list[tuple[str, int]]]:
    """Type -> its (gene, sign), in the order of the rows."""
    out: dict[str, list[tuple[str, int]]] = {}
    for cl_id, gene, sign in zip(rows["cl_id"], rows["gene"], rows["sign"], strict=True):
        for owner in owners.get(cl_id, ()):
            out.setdefault(owner, []).append((gene, sign))
    return out


def _one(signed: list[tuple[str, int]], cl_id: str) -> MarkerSet:
    """Positive where any row says so: a subtype may lack what the type has."""
    positive = dict.fromkeys((gene for gene, sign in signed if sign > 0), 1.0)
    negative = dict.fromkeys((gene for gene, sign in signed if sign < 0 and gene not in positive), 1.0)
    return MarkerSet(positive, negative, cl_id)
