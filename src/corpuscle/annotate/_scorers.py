"""What can name cells, each by its name and with its own options."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from corpuscle.annotate.scores import Scores
from corpuscle.errors import OptionError

__all__ = ["SCORERS", "score_cells"]

#: What can name cells; each has a function in ``corpuscle.annotate.sources``.
SCORERS = ("markers", "celltypist", "reference", "text", "cell-text", "file")

#: Scorer -> what it cannot do without, and what that is where the name does not say it.
_NEEDS: dict[str, dict[str, str]] = {
    "celltypist": {"model": ", a file of CellTypist"},
    "reference": {"reference": "", "labels": ""},
    "text": {"types": ""},
    "cell-text": {"model": ", a folder that corpuscle train cell-text wrote"},
    "file": {"matrix": ""},
}


def score_cells(source: Any, scorer: str, given: Mapping[str, Any]) -> Scores:
    """Scores of a source's cells by one of :data:`SCORERS`, from the options of :func:`~corpuscle.annotate.run.annotate`.

    Raises
    ------
    OptionError
        There is no such scorer, or an option that it needs is missing.
    """
    if scorer not in SCORERS:
        raise OptionError(f"scores {scorer!r} must be one of: {', '.join(SCORERS)}")
    for name, what in _NEEDS.get(scorer, {}).items():
        if not given[name]:
            raise OptionError(f"scores {scorer!r} need {name}{what}; give it (--{name})")
    if given["template"] and scorer != "cell-text":
        raise OptionError(f"a template (--template) is of scores 'cell-text', not of {scorer!r}; leave it out")
    return {
        "markers": _by_markers, "celltypist": _by_celltypist, "reference": _by_reference, "text": _by_text,
        "cell-text": _by_cell_text, "file": _by_file,
    }[scorer](source, given)  # fmt: skip


def _by_markers(source: Any, given: Mapping[str, Any]) -> Scores:
    from corpuscle.annotate.sources.marker_table import asctb_markers, read_markers
    from corpuscle.annotate.sources.markers import marker_scores

    table, types = given["markers"], given["types"]
    if table is None:
        table, types = asctb_markers(given["organs"], types), None
    elif given["organs"]:
        raise OptionError("organs choose among the ASCT+B tables; leave them out with markers of your own")
    elif isinstance(table, str | Path):
        table = read_markers(table, tissue=given["tissue"])
    return marker_scores(
        source, table, types=types, scoring=given["scoring"], layer=given["layer"], logged=given["logged"]
    )


def _by_celltypist(source: Any, given: Mapping[str, Any]) -> Scores:
    from corpuscle.annotate.sources.celltypist import celltypist_scores

    return celltypist_scores(source, given["model"], kind=given["kind"], layer=given["layer"], logged=given["logged"])


def _by_reference(source: Any, given: Mapping[str, Any]) -> Scores:
    from corpuscle.annotate.sources.reference import reference_scores

    return reference_scores(
        source, given["reference"], given["labels"], layer=given["layer"], logged=given["logged"], seed=given["seed"]
    )


def _by_text(source: Any, given: Mapping[str, Any]) -> Scores:
    from corpuscle.annotate.sources.marker_table import asctb_markers
    from corpuscle.annotate.sources.text import text_scores

    types, table = given["types"], given["markers"]
    if given["organs"]:  # a type that these tables lack is a note of theirs, and no error of the text's
        types, table = None, asctb_markers(given["organs"], types)
    return text_scores(source, types, markers=table, layer=given["layer"], logged=given["logged"])


def _by_cell_text(source: Any, given: Mapping[str, Any]) -> Scores:
    from corpuscle.annotate.sources.celltext import cell_text_scores

    if given["logged"]:
        raise OptionError("scores 'cell-text' read raw counts; leave --logged out and name their layer (--layer)")
    return cell_text_scores(source, given["model"], given["types"], template=given["template"], layer=given["layer"])


def _by_file(source: Any, given: Mapping[str, Any]) -> Scores:
    from corpuscle.annotate.sources.files import read_scores
    from corpuscle.counts import open_counts

    if hasattr(source, "obs_names"):
        cells = np.asarray(source.obs_names, dtype=object)
    else:
        with open_counts(source, given["layer"], check=False) as counts:
            cells = counts.obs.index.to_numpy(dtype=object)
    return read_scores(
        given["matrix"], cells=cells, orientation=given["orientation"], key=given["matrix_key"], types=given["types"]
    )
