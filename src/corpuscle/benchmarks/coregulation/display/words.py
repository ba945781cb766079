"""Every column of the page and of the tables, in one line each."""

from __future__ import annotations

__all__ = ["DEFINITIONS", "WORDS"]

#: How the scores come about, for readers of the page.
DEFINITIONS = (
    "A unit is one gene pair in one sample. The correlation of the pair under a method is compared with the "
    "correlations "
    "of its first gene with background genes: genes detected as often and as strongly as the second, chosen on raw "
    "counts, the same for every method. What counts is how far the pair stands out in the direction that biology "
    "expects, not how large its correlation is.",
    "Scores are means over the pairs of a series, then over series, so that replicates of one experiment count once. "
    "A unit that a method could not do scores as chance: percentile 0.5, z 0, reciprocal rank 0. Underpowered units "
    "are left out. Intervals are 95 % percentile intervals of a bootstrap over series, samples and cells.",
)

WORDS = (
    (
        "place",
        "Places that the intervals leave open; methods surely ahead or behind have intervals that do not overlap.",
    ),
    ("percentile", "Share of background genes that the pair exceeds in the expected direction; 1 is best, 0.5 chance."),
    ("robust z", "Distance to the background's median in 1.4826 median absolute deviations; kept within -10 and 10."),
    ("reciprocal rank", "1 / rank of the second gene among all eligible genes; 1 is best."),
    ("significant", "Share of units with an empirical one-sided p below 0.05."),
    ("combined", "Mean of the percentiles for promoter reporters and light chains; raw correlations are never pooled."),
    ("promoter reporters", "A reporter and the gene whose promoter drives it: expected to be positively correlated."),
    (
        "light chains",
        "Kappa and lambda in B cells, of which a cell expresses one: expected to be negatively correlated.",
    ),
    (
        "split genes",
        "A gene's counts split in two random halves before normalising: expected to be positively correlated.",
    ),
    (
        "inflation",
        "Median |r| of unrelated gene pairs, divided by the same under log1p CP10k; above 1 invents correlation.",
    ),
    ("depth leakage", "Median |r| between values and log total counts over the background genes; 0 is best."),
    ("failed", "Share of units that failed or have no defined correlation."),
    ("time", "Mean seconds a unit to normalise and read out the genes in play."),
    ("memory", "Highest rise of the resident memory over all units."),
    ("r", "Correlation of the pair, with the association measure named under Data and run."),
    ("95 % interval", "Percentile interval of a bootstrap over the unit's cells, without normalising again."),
    ("rank", "Place of the second gene among all eligible genes, by correlation in the expected direction."),
    ("p", "Empirical one-sided p: (1 + background genes at least as extreme) / (1 + background genes)."),
    ("null r", "Mean correlation after permuting one gene over cells with depth kept; what remains is manufactured."),
    ("excess", "r minus null r, in the expected direction."),
    ("leave pair out", "Variant: the pair's genes do not count to a cell's depth, against correlation by closure."),
    ("composite lambda", "Variant: the counts of IGLC1 to IGLC7 are added up before normalising."),
    ("underpowered", "Too few cells with the genes, or too few background genes; shown and not scored."),
    ("undefined", "No number exists, for the reason given; it is never replaced by 0."),
    ("shallow, deep half", "The pair judged in the cells below and above the median depth."),
    ("thinned", "Half or a quarter of the molecules kept at random, normalised again."),
    ("card", "What the published data card's own snippet gives: all genes drawn, cells with any light chain."),
)
