"""What ``corpuscle similar`` reads besides counts, and what it writes."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from corpuscle.cli._app import output_folder
from corpuscle.errors import OptionError, OutputError

if TYPE_CHECKING:
    from corpuscle.counts import Counts

__all__ = ["check_folder", "sample_labels", "write_found"]

FILES = ("results.csv", "run.json", "report.html")


def check_folder(out: Path | None, *, force: bool) -> None:
    """Refuse a folder that cannot be written or would lose a result, before any work is done.

    Raises
    ------
    OutputError
        A file is there already, or nothing can be written.
    """
    if out is None:
        return
    there = next((name for name in FILES if (out / name).exists()), None)
    if there is not None and not force:
        raise OutputError(f"{out}: has a {there} already; give another folder with -o, or --force to replace it")
    output_folder(out)


def sample_labels(counts: Counts, given: str) -> Any:
    """(n,) label of every sample as text, None for none; several are joined and are then a label of their own.

    Raises
    ------
    OptionError
        There is no such column, or the file names no sample of the collection.
    SourceError
        The file cannot be read.
    """
    import numpy as np

    from corpuscle.bulk.labels.store import Labels

    if given.startswith("obs:"):
        labels = Labels.from_obs(counts, given.removeprefix("obs:"))
    elif given.endswith(".npz"):
        labels, lines = Labels.load(given).for_samples(counts.obs.index)
        for line in lines:
            warnings.warn(line, UserWarning, stacklevel=1)
    else:
        raise OptionError(f"--labels {given!r}: give obs:COLUMN, or the .npz file that labels build wrote")
    names = labels.names
    y_nl = labels.y_nl
    text = [
        ", ".join(names[j] for j in y_nl.indices[a:b]) or None
        for a, b in zip(y_nl.indptr[:-1], y_nl.indptr[1:], strict=True)
    ]
    return np.array(text, object)


def write_found(
    out: Path, table: Any, measured: Any, about: Mapping[str, Any], said: list[str], command: str
) -> dict[str, str]:
    """Write table, ``run.json`` and page together; what each file is called by what it is."""
    from corpuscle import __version__
    from corpuscle.report._files import write_together
    from corpuscle.report.similar_page import similar_page

    html = similar_page(table, measured, about=about, notes=said, command=command)
    run = {**about, "command": command, "version": __version__, "notes": said}
    text = json.dumps(run, indent=2, default=str, ensure_ascii=False)

    def csv(file: BinaryIO) -> None:
        table.to_csv(
            file, mode="wb", index=False, encoding="utf-8", errors="replace", float_format="%.6g", lineterminator="\n"
        )

    writers: dict[str, Any] = {
        "results.csv": csv,
        "run.json": lambda file: file.write(text.encode("utf-8", "replace")),
        "report.html": lambda file: file.write(html.encode("utf-8", "replace")),
    }
    if measured is not None:
        content = measured.by_label.to_csv(index=False, float_format="%.6g", lineterminator="\n")
        writers["precision.csv"] = lambda file: file.write(content.encode("utf-8", "replace"))
    write_together(out, writers)
    return {name.replace("report.html", "page").rpartition(".")[0] or "page": str(out / name) for name in writers}
