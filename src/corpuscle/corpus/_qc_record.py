"""What a quality control leaves: the table of data sets, the record, and the tables of cells."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from corpuscle import __version__
from corpuscle.corpus._fingerprint import source_digest
from corpuscle.corpus._moments import Limits
from corpuscle.corpus._qc_judge import REASONS, QCRecipe, mito_values, reason_bit, reason_texts
from corpuscle.corpus._qc_measure import Measured
from corpuscle.corpus._qc_plan import Plan
from corpuscle.corpus._units import opened
from corpuscle.corpus.gene_plan import GeneOptions
from corpuscle.corpus.qc_files import FORMAT, RECORD, cells_file, names_digest
from corpuscle.errors import SourceError

__all__ = ["TABLE", "build_record", "set_table", "write_cells", "write_record"]

Array = np.ndarray[Any, Any]
TABLE = "datasets.tsv"
#: Columns of the table, one a reason.
DROPPED = tuple(f"dropped_{reason}" for reason in REASONS)
#: A data set that loses more than this share of its cells is worth a look.
MANY_DROPPED = 0.2


def set_table(
    plan: Plan, failed: Sequence[Array], limits: Sequence[tuple[Limits, Limits]], recipe: QCRecipe
) -> pd.DataFrame:
    """One row a data set. A cell counts under every reason against it, so that reasons may add up to more than dropped.

    Columns: ``dataset``, ``sources`` (in how many), ``cells``, ``kept``, ``dropped``, ``share_kept``, ``dropped_`` and a reason,
    and for ``total`` and ``mito`` the cells judged, mean, SD and the smallest and largest value kept (empty if not judged).
    """
    n_sets = len(plan.sets)
    tallies = {name: np.zeros(n_sets, np.int64) for name in ("sources", "cells", "kept", *DROPPED)}
    for one, bits in zip(plan.sources, failed, strict=True):
        cells = np.bincount(one.home_n, minlength=n_sets)
        tallies["sources"] += cells > 0
        tallies["cells"] += cells
        tallies["kept"] += np.bincount(one.home_n[bits == 0], minlength=n_sets)
        for reason, name in zip(REASONS, DROPPED, strict=True):
            tallies[name] += np.bincount(one.home_n[bits & reason_bit(reason) > 0], minlength=n_sets)
    table = pd.DataFrame({"dataset": plan.sets} | tallies)
    table.insert(4, "dropped", table["cells"] - table["kept"])
    table.insert(5, "share_kept", table["kept"] / table["cells"])
    for place, (name, judged) in enumerate((("total", recipe.total), ("mito", recipe.mito))):
        of = [pair[place] for pair in limits]
        table[f"{name}_cells"] = [one.n for one in of]
        for what in ("mean", "sd", "low", "high"):
            values = [getattr(one, what) for one in of]
            hidden = not judged and what in ("low", "high")
            table[f"{name}_{what}"] = [math.nan if hidden or not math.isfinite(value) else value for value in values]
    return table


def write_cells(
    folder: Path, place: int, plan: Plan, measured: Measured, failed: Array, recipe: QCRecipe
) -> dict[str, Any]:
    """Write the table of the cells of one source; return its name, checksum and the fingerprint of the source.

    Raises
    ------
    SourceError
        The source changed since it was looked at first.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    one = plan.sources[place]
    counts = opened(one.spec)
    if names_digest(counts) != one.names:
        raise SourceError(f"{one.spec.name}: the file changed while it was read; run again once it is still")
    texts = reason_texts(recipe)
    bits, code_n = np.unique(failed, return_inverse=True)
    reasons = ["; ".join(texts[name] for name in REASONS if bit & reason_bit(name)) for bit in bits.tolist()]
    mito = mito_values(measured, "reads", known=one.roles.n_mito > 0)
    number = pa.float64() if one.spec.fractional else pa.int64()
    table = pa.table(
        {
            "cell": pa.array([str(name) for name in counts.obs.index], pa.string()),
            "dataset": pa.DictionaryArray.from_arrays(pa.array(one.home_n), pa.array(plan.sets, pa.string())),
            "total": pa.array(measured.total_n).cast(number),
            "mito": pa.array(mito, from_pandas=True).cast(number),
            "n_genes": pa.array(measured.genes_n),
            "keep": pa.array(failed == 0),
            "reason": pa.DictionaryArray.from_arrays(pa.array(code_n.astype(np.int32)), pa.array(reasons, pa.string())),
        }
    )
    path = folder / cells_file(place)
    pq.write_table(table, path, compression="zstd")
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    fingerprint = source_digest(counts.obs.index, counts.var_names, measured.digests)
    return {"file": path.name, "sha256": sha256, "genes": counts.n_vars, "fingerprint": fingerprint}


def build_record(
    plan: Plan,
    failed: Sequence[Array],
    table: pd.DataFrame,
    recipe: QCRecipe,
    options: GeneOptions,
    written: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """What ``qc.json`` holds: nothing in it depends on time or machine."""
    sources = []
    for one, bits, files in zip(plan.sources, failed, written, strict=True):
        sources.append({
            "name": one.spec.name,
            "layer": one.spec.layer,
            "fractional": one.spec.fractional,
            "cells": int(bits.size),
            "cell_names": one.names,
            "kept": int((bits == 0).sum()),
            "dropped": {reason: int((bits & reason_bit(reason) > 0).sum()) for reason in REASONS},
            "mito_genes": one.roles.n_mito,
            "counted_genes": one.roles.n_counted,
            "match": one.roles.match,
        } | files)  # fmt: skip
    rows = [{str(key): _plain(value) for key, value in row.items()} for row in table.to_dict("records")]
    return {
        "format": FORMAT,
        "corpuscle": __version__,
        "options": recipe.to_dict()
        | {
            "gene_column": options.column,
            "gene_aliases": len(options.aliases),
            "gene_symbols": options.symbols,
            "orthologs": options.orthologs,
        },
        "reasons": reason_texts(recipe),
        "cells": int(table["cells"].sum()),
        "kept": int(table["kept"].sum()),
        "data_sets": rows,
        "sources": sources,
        "notes": _notes(plan, table, recipe),
    }


def write_record(folder: Path, record: dict[str, Any], table: pd.DataFrame) -> None:
    """Write ``qc.json`` and ``datasets.tsv``."""
    text = json.dumps(record, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False)
    (folder / RECORD).write_text(text + "\n", "utf-8")
    table.to_csv(folder / TABLE, sep="\t", index=False, lineterminator="\n")


def _plain(value: Any) -> Any:
    """A value as JSON has it: None for what is undefined."""
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and math.isnan(value) else value


def _notes(plan: Plan, table: pd.DataFrame, recipe: QCRecipe) -> list[str]:
    """One line for each thing that a person should look at."""
    notes = []
    for one in plan.sources:
        if recipe.mito and not one.roles.n_mito:
            notes.append(f"{one.spec.name}: no mitochondrial gene in the file, so its cells pass that filter")
        match = one.roles.match
        if match is not None and recipe.min_genes and one.roles.n_counted < MANY_DROPPED * one.roles.slot_g.size:
            notes.append(
                f"{one.spec.name}: only {one.roles.n_counted:,} of {one.roles.slot_g.size:,} genes are of the biotypes "
                f"({' or '.join(recipe.biotypes)})"
            )
    for row in table.to_dict("records"):
        notes += [f"{row['dataset']}: {note}" for note in _set_notes(row, recipe)]
    return notes


def _set_notes(row: dict[Any, Any], recipe: QCRecipe) -> list[str]:
    notes = []
    n = row["total_cells"]
    if row["dropped_no_data_set"]:
        return [f"{row['dropped_no_data_set']:,} cells have no value of {recipe.by} and are dropped"]
    if row["sources"] > 1:
        notes.append(f"its cells are in {row['sources']:,} sources and are judged together")
    if row["dropped"] > MANY_DROPPED * row["cells"]:
        most = max(REASONS, key=lambda reason: row[f"dropped_{reason}"])
        notes.append(
            f"{row['dropped'] / row['cells']:.0%} of its cells are dropped, most as {reason_texts(recipe)[most]}"
        )
    if n and (recipe.total or recipe.mito):
        if n <= recipe.ddof:
            notes.append(
                f"the standard deviation of {n:,} cells is undefined with ddof {recipe.ddof}, so nothing is judged by it"
            )
        elif (n - 1) * (n - recipe.ddof) <= recipe.n_sd**2 * n:  # the largest deviation that n values can have
            notes.append(
                f"none of {n:,} cells can be more than {recipe.n_sd:g} SD off their own mean, so nothing is judged by it"
            )
    return notes
