"""Labels in the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from corpuscle.cli._app import console

if TYPE_CHECKING:
    import pandas as pd

    from corpuscle.bulk.labels import Labels, LabelSummary

__all__ = ["print_summary", "view_of"]

#: Labels and pairs shown in the terminal; all are in the JSON and on the page.
SHOWN_LABELS, SHOWN_PAIRS = 30, 10


def view_of(
    summary: LabelSummary, notes: Sequence[str], labels: Labels | None = None, evidence: pd.DataFrame | None = None
) -> dict[str, Any]:
    """All of it as what JSON can hold."""
    view: dict[str, Any] = {
        "samples": summary.n_samples, "labelled": summary.n_labelled, "cardinality": summary.cardinality,
        "density": summary.density, "labels": summary.labels.to_dict("records"),
        "together": summary.pairs().to_dict("records"), "notes": list(notes),
    }  # fmt: skip
    if labels is not None:
        view["made"] = dict(labels.info)
    if labels is not None and evidence is not None:
        view["evidence"] = _with_verdict(labels, evidence).to_dict("records")
    return view


def print_summary(summary: LabelSummary, labels: Labels | None = None, evidence: pd.DataFrame | None = None) -> None:
    """Tables for people, on stderr."""
    console.print(
        f"{summary.n_labelled:,} of {summary.n_samples:,} samples have a label; {summary.n_labels:,} labels, "
        f"{summary.cardinality:.3f} for each of these samples",
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip
    rows = summary.labels.sort_values("n_samples", ascending=False, kind="stable")
    shown = rows[
        [name for name in ("label", "kind", "parent", "n_samples", "n_series", "largest_series") if name in rows]
    ]
    _print(shown.head(SHOWN_LABELS), len(shown))
    pairs = summary.pairs()
    if len(pairs):
        console.print("labels of the same samples", style="bold")
        _print(pairs.head(SHOWN_PAIRS), len(pairs))
    if labels is not None and evidence is not None:
        console.print("what was found", style="bold")
        _print(_with_verdict(labels, evidence), len(evidence))


def _with_verdict(labels: Labels, evidence: pd.DataFrame) -> pd.DataFrame:
    """Evidence as text, and whether the sample has the label or it was set aside."""
    import pandas as pd

    row = labels.samples.get_indexer(evidence["sample"].astype(str))
    column = pd.Index(labels.names).get_indexer(evidence["label"].astype(str))
    stands = [bool(labels.y_nl[int(r), int(c)]) for r, c in zip(row, column, strict=True)]
    return evidence.astype(str).assign(stands=stands)


def _print(frame: pd.DataFrame, n: int) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from corpuscle.bulk.labels._text import clean

    view = Table(box=None, header_style="bold", pad_edge=False)
    for name in frame:
        view.add_column(escape(str(name)), justify="right" if frame[name].dtype.kind in "iuf" else "left")
    for row in frame.itertuples(index=False):
        view.add_row(*(escape(_text(value, clean)) for value in row))
    Console(width=None if console.is_terminal else 160, stderr=True).print(view)
    if len(frame) < n:
        console.print(f"... and {n - len(frame):,} more", highlight=False)


def _text(value: Any, clean: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "set aside"
    if isinstance(value, float):
        return "" if value != value else f"{value:.3f}"
    return f"{value:,}" if hasattr(value, "__index__") else str(clean(str(value), 60))
