"""What the pages of several benchmarks say in the same way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd
from markupsafe import Markup

from corpuscle.report import Result, frame_table, unfold
from corpuscle.report.format import count, seconds

__all__ = ["failed_lines", "fitted", "means_table", "named", "run_facts"]

#: Names that one sentence lists, before it says "and more".
NAMED = 4


def named(names: Sequence[str] | pd.Series) -> str:
    """Names in a sentence; of many the first four, and how many more."""
    names = [str(name) for name in names]
    if len(names) > NAMED + 1:
        return f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def fitted(name: str, room: int) -> str:
    """A name with its middle left out where it has no room: both its ends tell it from others."""
    return name if len(name) <= room else f"{name[: room // 3]}\N{HORIZONTAL ELLIPSIS}{name[-(room - room // 3 - 1) :]}"


def failed_lines(runs: pd.DataFrame, result: Result) -> Iterator[str]:
    """Yield how many runs failed, and which data sets could not be read."""
    failed = runs[runs["status"] != "ok"] if len(runs) else runs
    if len(failed):
        by = failed.groupby("method").size()
        yield f"{len(failed):,} of {len(runs):,} runs failed: {named([f'{m} ({n})' for m, n in by.items()])}."
    unread = result.failures[result.failures["method"] == ""] if len(result.failures) else result.failures
    if len(unread):
        yield f"Could not be read: {named(sorted(set(unread['dataset'])))}."


def means_table(result: Result, titles: Mapping[str, str] | None = None) -> Markup:
    """Every mean over data sets, folded; nothing where there is none."""
    means = result.table[result.table["dataset"] == "all"]
    if means.empty:
        return Markup()
    columns = ["task", "metric", "method", "value", "ci_low", "ci_high", "n"]
    reasons = dict.fromkeys(("ci_low", "ci_high"), "it takes two data sets")
    every = frame_table("means", "Means over data sets", means[columns], titles=titles or {}, reasons=reasons)
    return unfold("Every mean over data sets", every)


def run_facts(result: Result) -> list[tuple[str, str]]:
    """How many failures, and how long it took."""
    facts = [("failures", count(len(result.failures)))]
    if result.run.get("seconds") is not None:
        facts.append(("run time", seconds(result.run["seconds"])))
    return facts
