"""The figures of the page of a data set."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from corpuscle.report._axis import Axis
from corpuscle.report._corpus_words import percent
from corpuscle.report._lanes import Lane, Mark, Span, histogram_path, lanes
from corpuscle.report._page import prose, unfold
from corpuscle.report.format import UNDEFINED, count, defined

if TYPE_CHECKING:
    from corpuscle.corpus.facts import CorpusFacts

__all__ = ["drops_figure", "lengths_figure", "match_figure", "short_names", "tokens_figure"]

#: Sources drawn at once; of more, these many that stand out, and the rest to unfold.
DRAWN = 24
#: Letters of a name that fit beside a figure.
ROOM = 23
#: Finest height that a histogram shows.
FINEST = 1000


def short_names(names: list[str]) -> list[str]:
    """The end of each path, as long as it takes to tell them apart."""
    parts = [PurePath(name).parts or (name,) for name in names]
    short = [one[-1] for one in parts]
    for depth in range(2, max((len(one) for one in parts), default=1) + 1):
        twice = pd.Series(short).duplicated(keep=False)
        if not twice.any():
            break
        short = [
            str(PurePath(*one[-depth:])) if again else s for s, one, again in zip(short, parts, twice, strict=True)
        ]
    return short


def _label(name: str) -> str:
    """A name with its middle left out where it has no room: both its ends tell it from others."""
    return name if len(name) <= ROOM else f"{name[: ROOM // 2]}\N{HORIZONTAL ELLIPSIS}{name[-ROOM // 2 + 1 :]}"


def lengths_figure(facts: CorpusFacts) -> Markup:
    """How long cells are, with the cut marked."""
    if not facts.rows:
        return prose("There is no cell.")
    axis = Axis(0, facts.max_len * 1.03, "tokens of a cell", reference=float(facts.max_len))
    quantiles, lengths_l = facts.quantiles, facts.lengths_l.copy()
    drawn = "."
    if lengths_l[:-1].any() and lengths_l[-1]:
        drawn = f"; the {count(lengths_l[-1])} cells at the limit are not drawn."
        lengths_l[-1] = 0  # the cells that were cut, which would dwarf the others
    lane = Lane(
        "all cells",
        marks=[Mark(quantiles[50], "median", f"median {quantiles[50]:,.0f}")],
        spans=[Span(quantiles[5], quantiles[95], "range")],
        shape=histogram_path(_spread(lengths_l), axis),
        numbers=[f"{quantiles[50]:,.0f}", f"{quantiles[5]:,.0f} to {quantiles[95]:,.0f}"],
    )
    caption = (
        f"Number of tokens of a cell. The dotted line is the limit of {facts.max_len:,}, where "
        f"{count(facts.truncated)} cells ({percent(facts.truncated / facts.rows)}) were cut{drawn}"
    )
    key = [("shape", "cells"), ("median", "median"), ("range", "5 % to 95 % of the cells")]
    return lanes([lane], axis, caption=caption, heads=["median", "5 % to 95 %"], key=key)


def _spread(lengths_l: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Lengths, each as often as its share of the most frequent one: millions of cells drawn from few numbers."""
    scale = min(1.0, FINEST / max(1, int(lengths_l.max())))
    return np.repeat(np.arange(lengths_l.size), np.ceil(lengths_l * scale).astype(np.int64)).astype(float)


def match_figure(facts: CorpusFacts) -> Markup:
    """Shares of genes and of counts that are in the vocabulary, the lowest share of counts first."""
    sources = facts.sources.assign(label=[_label(name) for name in short_names(list(facts.sources["name"]))])
    sources = sources.sort_values("match_counts", kind="stable", na_position="first")
    axis = Axis(0, 1, "share that is in the vocabulary")
    rows = [
        Lane(
            one["label"],
            marks=[
                Mark(one["match_genes"], "sample", f"genes {percent(one['match_genes'])}"),
                Mark(one["match_counts"], "target", f"counts {percent(one['match_counts'])}"),
            ],
            numbers=[percent(one["match_counts"]), percent(one["match_genes"])],
            message="" if defined(one["match_counts"]) else f"{UNDEFINED}: no cell, or no count",
        )
        for one in sources.to_dict("records")
    ]
    key = [("target", "of the counts"), ("sample", "of the genes")]
    caption = "Share of each source's counts, and of its genes, that are in the vocabulary; lowest first."
    return _folded(rows, axis, caption, ["counts", "genes"], key)


def drops_figure(facts: CorpusFacts) -> Markup:
    """Cells left out, by reason."""
    cells = int(facts.sources["cells"].sum()) if len(facts.sources) else 0
    if not cells:
        return prose("The sources have no cell.")
    shares = {reason: n / cells for reason, n in sorted(facts.drops.items(), key=lambda item: -item[1])}
    axis = Axis(0, max(0.01, *shares.values()) * 1.05 if shares else 0.01, "share of all cells")
    rows = [
        Lane(reason, spans=[Span(0, share, "interval")], numbers=[count(facts.drops[reason]), percent(share)])
        for reason, share in shares.items()
    ]
    if not rows or not any(facts.drops.values()):
        return prose(f"None of the {count(cells)} cells was left out.")
    caption = f"Cells left out, of {count(cells)}; a cell with several reasons counts for the first of them."
    return lanes(rows, axis, caption=caption, heads=["cells", "share"], slim=True)


def tokens_figure(facts: CorpusFacts) -> Markup:
    """Mean length of the cells of each source, and its share of all tokens; the most tokens first."""
    sources = facts.sources.assign(label=[_label(name) for name in short_names(list(facts.sources["name"]))])
    sources = sources.sort_values("tokens", ascending=False, kind="stable")
    axis = Axis(0, facts.max_len * 1.03, "tokens of a cell, mean", reference=float(facts.max_len))
    rows = [
        Lane(
            one["label"],
            spans=[Span(0, one["tokens_mean"], "range")],
            marks=[Mark(one["tokens_mean"], "target", f"mean {one['tokens_mean']:,.0f}")],
            numbers=[f"{one['tokens_mean']:,.0f}", percent(one["tokens"] / facts.tokens)],
            message="",
        )
        if one["rows"]
        else Lane(one["label"], message="no cell of it is in the data set")
        for one in sources.to_dict("records")
    ]
    caption = (
        "Mean number of tokens of the cells of each source, and the source's share of all tokens; most tokens first."
    )
    return _folded(rows, axis, caption, ["mean", "of all"], [("target", "mean")])


def _folded(rows: list[Lane], axis: Axis, caption: str, heads: list[str], key: list[tuple[str, str]]) -> Markup:
    first = lanes(rows[:DRAWN], axis, caption=caption, heads=heads, key=key, slim=True)
    if len(rows) <= DRAWN:
        return first
    rest = lanes(rows[DRAWN:], axis, caption=caption, heads=heads, slim=True)
    return first + unfold(f"The other {len(rows) - DRAWN:,} sources", rest)
