"""Every column of the page and of the tables, in one line each."""

from __future__ import annotations

from corpuscle.benchmarks.topics.names import METRICS

__all__ = ["DEFINITIONS", "WORDS"]

DEFINITIONS = (
    "Every method gets the same cells, the same genes (highly variable ones, chosen on logs of counts per 10,000), the same "
    "number of topics and no label; those that model counts get counts, the others logs. A topic's genes are those with "
    "the largest weights in its row of topics x genes, by the method's own ranking unless the name says another.",
    "Numbers are means over seeds, then over data sets; after the sign ± stands the standard deviation over seeds. A method "
    "that has no number on a data set where another has one has no mean. What is undefined has its reason, and is never 0.",
    "shuffled is the control: the topics of NMF with the genes' names shuffled, so that gene sets know nothing of them; "
    "its diversity stays that of NMF. "
    "What a method reaches beyond it comes from its genes.",
)
WORDS = (
    *((one.title, " ".join(filter(None, (one.meaning, one.note)))) for one in METRICS),
    ("@prob", "The same fit, its genes ranked by their probability in a topic instead of by the topic-gene weight."),
    ("failed", "Share of the fits that failed."),
    ("time", "Seconds of a fit: median over seeds, mean over data sets."),
    ("memory", "Highest rise of the resident memory during a fit."),
    ("overlap", "Genes in common: of the top genes (ORA), or of the ranked genes (GSEA)."),
    ("score", "Odds ratio (ORA) or normalised enrichment score (GSEA)."),
)
