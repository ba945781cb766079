"""What ``corpuscle classify`` reads besides counts, and what it writes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpuscle.cli._app import output_folder
from corpuscle.errors import OptionError, OutputError

if TYPE_CHECKING:
    import pandas as pd

    from corpuscle.bulk.classify import Evaluation
    from corpuscle.bulk.labels import Labels
    from corpuscle.counts import Counts

__all__ = ["check_out", "given_labels", "given_series", "plain", "write_evaluation", "write_predictions"]

EVALUATION = ("results.csv", "eval.json", "run.json", "report.html")
PREDICTION = ("predictions.csv", "run.json")
#: Tables of an evaluation that get a file of their own.
TABLES = ("by_label", "gaps", "confusion", "coverage", "reliability", "strangers", "predictions", "left_out")


def check_out(out: Path, *, force: bool, files: tuple[str, ...]) -> None:
    """Refuse a folder (or a file, ``.csv``) that cannot be written or would lose a result, before any work is done.

    Raises
    ------
    OutputError
        Something is there already, or nothing can be written.
    """
    if out.suffix.lower() == ".csv":
        if out.is_dir():
            raise OutputError(f"{out}: is a folder; name a file")
        if out.exists() and not force:
            raise OutputError(f"{out}: is there already; name another file with -o, or --force to replace it")
        output_folder(out.absolute().parent)
        return
    there = next((name for name in files if (out / name).exists()), None)
    if there is not None and not force:
        raise OutputError(f"{out}: has a {there} already; give another folder with -o, or --force to replace it")
    output_folder(out)


def given_labels(counts: Counts, given: str) -> Labels:
    """Labels from ``obs:COLUMN`` or the file that labels build wrote.

    Raises
    ------
    OptionError
        It is neither, or there is no such column.
    SourceError
        The file cannot be read.
    """
    from corpuscle.bulk.labels import Labels

    if given.startswith("obs:"):
        return Labels.from_obs(counts, given.removeprefix("obs:"))
    if given.endswith(".npz"):
        return Labels.load(given)
    raise OptionError(f"--labels {given!r}: give obs:COLUMN, or the .npz file that labels build wrote")


def given_series(counts: Counts, column: str, *, needed: bool) -> tuple[Any, list[str]]:
    """Codes of the series, or None for ``none`` and for a missing column that is not needed.

    Raises
    ------
    OptionError
        There is no such column and a split by series was asked for.
    """
    from corpuscle.bulk.series import series_groups

    if column == "none" or (not needed and column not in counts.obs):
        return None, []
    try:
        return series_groups(counts.obs, column)
    except OptionError as error:
        raise OptionError(f"{counts.name}: {error} with --series, or do without (scores are then too high): "
                          "--series none, for evaluate --split random") from None  # fmt: skip


def write_evaluation(out: Path, made: Evaluation, notes: list[str], command: str) -> dict[str, str]:
    """Write tables, ``eval.json``, ``run.json`` and the page together; file by what it is."""
    from corpuscle.report._files import write_together
    from corpuscle.report.classify_page import classify_page

    html = classify_page(made, notes=notes, command=command)
    run = {**made.info, "command": command, "notes": notes}
    found = {
        "overall": made.overall.to_dict("records"), "gaps": made.gaps.to_dict("records"),
        "labels": made.by_label.to_dict("records"), "coverage": made.coverage.to_dict("records"),
        "strangers": made.strangers.to_dict("records"), "left_out": made.left_out.to_dict("records"),
        "failures": made.failures.to_dict("records"), "notes": notes,
    }  # fmt: skip
    contents = {"results.csv": _csv(made.overall)}
    contents |= {f"{name}.csv": _csv(getattr(made, name)) for name in TABLES if len(getattr(made, name))}
    contents |= {"eval.json": _json(found), "run.json": _json(run), "report.html": html.encode("utf-8", "replace")}
    writers: dict[str, Any] = {name: _writer(content) for name, content in contents.items()}
    writers["results.parquet"] = lambda file: made.overall.to_parquet(file, index=False)
    write_together(out, writers)
    return {"results": str(out / "results.csv"), "page": str(out / "report.html")}


def write_predictions(out: Path, table: pd.DataFrame, about: Mapping[str, Any]) -> dict[str, str]:
    """Write one ``.csv``, or a folder with it and ``run.json``."""
    from corpuscle.report._files import write_together

    if out.suffix.lower() == ".csv":
        write_together(out.absolute().parent, {out.name: _writer(_csv(table))})
        return {"predictions": str(out)}
    write_together(out, {"predictions.csv": _writer(_csv(table)), "run.json": _writer(_json(about))})
    return {"predictions": str(out / "predictions.csv"), "run": str(out / "run.json")}


def plain(value: Any) -> Any:
    """JSON's types; what is not finite becomes null."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if hasattr(value, "item"):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int | bool) else str(value)


def _json(value: Any) -> bytes:
    return json.dumps(plain(value), indent=1, ensure_ascii=False).encode("utf-8", "replace")


def _csv(table: pd.DataFrame) -> bytes:
    text = table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    return text.encode("utf-8", "replace")


def _writer(content: bytes) -> Any:
    return lambda file: file.write(content)
