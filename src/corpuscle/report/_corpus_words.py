"""What the page of a data set says in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from corpuscle.report.format import UNDEFINED, count, defined

if TYPE_CHECKING:
    from corpuscle.corpus.facts import CorpusFacts

__all__ = ["DEPTHS", "WORDS", "headline", "learnt", "million", "percent", "unsaid"]

DEPTHS = {"n_counts": "stated in the file (n_counts)", "computed": "sum of the counts in the file"}
WORDS = [
    ("token", "A whole number that stands for one gene. A cell is the tokens of its genes, from the highest rank to the lowest."),
    ("rank", "Genes of a cell are ordered by count / (non-zero median of the gene over many cells), so that genes that are high "
     "everywhere come later. A factor that is the same for the whole cell, such as its depth, changes no rank."),
    ("cut", "A cell with more genes than allowed keeps its highest-ranked ones. What was cut is not in the data set."),
    ("share of genes matched", "Columns of the source that are a gene of the vocabulary. Low values are common and harmless where "
     "the source has many genes that the vocabulary leaves out, such as non-coding ones."),
    ("share of counts matched", "Counts in those columns, of all counts of the cells kept. This is the number to watch: far below "
     "the other sources, it says that gene names were not understood, or that the species is another."),
    ("left out: filter_pass", "Cells that the chosen obs column excludes."),
    ("left out: qc", "Cells that quality control excludes."),
    ("left out: no vocabulary gene", "Cells without a single count in a gene of the vocabulary; they would be empty rows."),
    ("depth", "Total counts of a cell, used for the counts column only: as the file states it, or added up."),
    ("padding", "Cells of a batch are filled up to the longest of it. The share is the part of the computation that is wasted."),
]  # fmt: skip


def percent(value: float, digits: int = 1) -> str:
    """A share in percent; what is not quite all or nothing is never rounded to it."""
    if not defined(value):
        return UNDEFINED
    text = f"{value:.{digits}%}"
    step = 10.0 ** -(digits + 2)
    if value > 0 and float(text[:-1]) == 0:
        return f"< {step:.{digits}%}"
    return f"> {1 - step:.{digits}%}" if value < 1 and float(text[:-1]) == 100 else text


def million(value: int) -> str:
    """A count as people say it."""
    for size, name in ((10**9, "billion"), (10**6, "million")):
        if value >= size:
            return f"{value / size:.3g} {name}"
    return count(value)


def headline(facts: CorpusFacts) -> str:
    """The data set in one sentence."""
    if not facts.rows:
        return "No cell is in this data set"
    sources = len(facts.sources)
    where = "one source" if sources == 1 else f"{sources:,} sources"
    text = f"{count(facts.rows)} cells of {where} became {million(facts.tokens)} tokens"
    matched = percent(facts.match_counts)
    return f"{text}; {matched} of their counts are in genes of the vocabulary" if defined(facts.match_counts) else text


def learnt(facts: CorpusFacts) -> list[str]:
    """What else the numbers say."""
    said = []
    cells = int(facts.sources["cells"].sum()) if len(facts.sources) else 0
    out = sum(facts.drops.values())
    if facts.rows:
        half, longest = facts.quantiles[50], facts.quantiles[100]
        said.append(
            f"Half of the cells have {half:,.0f} tokens or fewer; the longest has {longest:,.0f}."
            if half < longest
            else f"Half of the cells or more have {longest:,.0f} tokens, and none has more."
        )
        share = facts.truncated / facts.rows
        limit = f"{facts.max_len:,} tokens"
        said.append(
            f"{count(facts.truncated)} cells ({percent(share)}) were cut at {limit}."
            if facts.truncated
            else f"No cell was cut: none has more than {limit}."
        )
    if cells:
        said.append(f"{count(out)} of {count(cells)} cells ({percent(out / cells)}) were left out.")
    if len(facts.padding) and defined(facts.padding["random"].iloc[0]):
        row = facts.padding.iloc[-1]
        said.append(
            f"Batches of {row['batch']:.0f} random cells are {percent(row['random'], 0)} padding, grouped by length "
            f"{percent(row['grouped'], 0)}."
        )
    warned = facts.warnings()
    said.append(
        f"{len(warned):,} thing{'s' * (len(warned) != 1)} to look at first, below." if warned else "Nothing stands out."
    )
    return said


def unsaid(facts: CorpusFacts) -> list[str]:
    """What the numbers cannot say."""
    return [
        "Whether the cells are good ones: doublets, ambient RNA and wrong labels look like any other cell here.",
        "Whether a model trained elsewhere agrees: that needs the same vocabulary, by its SHA-256 below.",
        "Whether the files are still what was written: corpuscle corpus verify reads them all.",
    ]
