"""Tables for the pages, and words for whoever waits."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

TEMPLATES = Path(__file__).parent
EVIDENCE = Path(__file__).parent.parent / "docs" / "evidence"


def table(frame: pd.DataFrame, formats: dict[str, str] | None = None) -> str:
    """A DataFrame as a Markdown table; undefined stays undefined."""
    formats = formats or {}

    def shown(column: str, value: object) -> str:
        if value is None or (isinstance(value, float) and not np.isfinite(value)):
            return "–"
        return format(value, formats[column]) if column in formats else str(value)

    head = "| " + " | ".join(map(str, frame.columns)) + " |"
    rule = "|" + "|".join("---" if frame[c].dtype == object else "---:" for c in frame.columns) + "|"
    rows = ["| " + " | ".join(shown(c, row[c]) for c in frame.columns) + " |" for row in frame.to_dict("records")]
    return "\n".join([head, rule, *rows])


def spread(values: pd.Series, form: str = ".3f") -> str:
    """Mean and standard deviation over seeds."""
    values = values.dropna()
    if values.empty:
        return "–"
    return f"{values.mean():{form}} ± {values.std(ddof=1):{form}}" if len(values) > 1 else f"{values.iloc[0]:{form}}"


def write(name: str, **fields: str) -> None:
    """Fill ``benches/NAME.md`` and put it into the evidence pages."""
    text = (TEMPLATES / f"{name}.md").read_text()
    page = EVIDENCE / f"{name.removeprefix('evidence_').replace('_', '-')}.md"
    page.write_text(text.format(**fields))
    say(f"wrote {page}")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def progress(done: int, total: int, text: str) -> None:
    say(f"  {done}/{total} {text}")
