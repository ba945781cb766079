"""Sections that every page has: what failed, and how it was run."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd
from markupsafe import Markup

from corpuscle.report._page import Section, prose
from corpuscle.report._table import Cell, Column, frame_table, table
from corpuscle.report._templates import piece
from corpuscle.report.format import seconds

if TYPE_CHECKING:
    from corpuscle.report._result import Result

__all__ = ["failures_section", "run_section"]

KNOWN = {"command", "versions", "seed", "parameters", "inputs", "machine", "seconds"}


def failures_section(result: Result, undefined: pd.DataFrame | None = None, note: str = "") -> Section:
    """List what could not be done, and what was done and is not defined, each with its reason.

    Parameters
    ----------
    undefined
        A second table, of numbers that do not exist.
    note
        How failures enter the scores.
    """
    if len(result.failures):
        body = prose(note) + frame_table("failed", "Everything that could not be done", result.failures)
    else:
        body = prose("Nothing failed: every method ran on every sample.")
    if undefined is not None and len(undefined):
        body += prose("Ran, but has no defined answer, or too little data for one that counts:")
        body += frame_table("without-answer", "Numbers that do not exist, and why", undefined)
    return Section("failures", "What failed, and why", "Failures", body)


def run_section(result: Result) -> Section:
    """Show the exact command, versions, seed, parameters, checksums of the inputs, and the machine."""
    run = result.run
    groups = [("Parameters", _entries(run.get("parameters"))), ("Versions", _entries(run.get("versions")))]
    machine = run.get("machine")
    machine_entries = (
        _entries(machine) if isinstance(machine, Mapping) else [("machine", str(machine or "not recorded"))]
    )
    others = [(key, value) for key, value in run.items() if key not in KNOWN]
    groups.append(
        (
            "Machine and seed",
            [
                ("seed", str(run.get("seed", dict(_entries(run.get("parameters"))).get("seed", "not recorded")))),
                ("run time", seconds(run.get("seconds")) if run.get("seconds") is not None else "not recorded"),
                *machine_entries,
                *_entries(dict(others)),
            ],
        )
    )
    command = run.get("command") or ""
    command = shlex.join(map(str, command)) if isinstance(command, list | tuple) else str(command)
    body = piece("run.html", command=command, groups=[group for group in groups if group[1]]) + _inputs(
        run.get("inputs")
    )
    return Section("run", "Data, and how it was run", "Data and run", body)


def _entries(values: Any) -> list[tuple[str, str]]:
    if not isinstance(values, Mapping):
        return []
    return [(str(key), value if isinstance(value, str) else _text(value)) for key, value in values.items()]


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, list | tuple) and all(isinstance(item, str | int | float) for item in value):
        return ", ".join(map(str, value))
    return json.dumps(value, ensure_ascii=False, default=str)


def _inputs(inputs: Iterable[Any] | None) -> Markup:
    entries = [entry for entry in inputs or () if isinstance(entry, Mapping)]
    if not entries:
        return Markup()
    keys = list(dict.fromkeys(key for entry in entries for key in entry))
    columns = [Column(str(key), "SHA-256" if key == "sha256" else str(key), numeric=False) for key in keys]
    rows = [[Cell(str(entry.get(key, "")), str(entry.get(key, ""))) for key in keys] for entry in entries]
    return Markup("<h3>Inputs</h3>") + table("inputs", "Every input with its checksum", columns, rows)
