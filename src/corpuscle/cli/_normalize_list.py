"""The table of ``corpuscle normalize --list``."""

from __future__ import annotations

from typing import Any

from corpuscle.cli._app import emit_json
from corpuscle.errors import OptionError

__all__ = ["show_methods"]


def show_methods(as_json: bool) -> None:
    """Print every registered method."""
    rows = _methods()
    if as_json:
        emit_json(rows)
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("method", "needs", "zeros", "formula", "parameters"):
        table.add_column(heading, no_wrap=heading == "method", overflow="fold")
    for row in rows:
        params = ", ".join(f"{key}={value!r}" for key, value in row["params"].items())
        zeros = "kept" if row["keeps_zeros"] else "filled"
        table.add_row(row["method"], row["needs"], zeros, escape(row["formula"]), escape(params))
    Console().print(table)


def _methods() -> list[dict[str, Any]]:
    """Every registered method: id, formula, needs, whether zeros stay zero, parameters and their defaults."""
    import inspect

    from corpuscle.normalize import normalizer_class, normalizer_names

    rows: list[dict[str, Any]] = []
    for name in normalizer_names():
        try:
            made = normalizer_class(name)
        except OptionError as error:
            rows.append({"method": name, "needs": "?", "keeps_zeros": None, "formula": str(error), "params": {}})
            continue
        params = {
            key: None if one.default is one.empty else one.default
            for key, one in inspect.signature(made).parameters.items()
        }
        rows.append({
            "method": name,
            "needs": getattr(made, "needs", "?"),
            "keeps_zeros": getattr(made, "keeps_zeros", None),
            "formula": getattr(made, "formula", ""),
            "params": params,
        })  # fmt: skip
    return rows
