"""The page of gene metrics: which genes stand out, how alike their top samples are, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from corpuscle.report._genes_parts import baseline_table, cosine_figure, interval_figure, signal_figure, top_table
from corpuscle.report._page import Page, Section, prose, render, terms
from corpuscle.report._templates import piece
from corpuscle.report.format import count, fixed

__all__ = ["genes_page"]

WORDS = [
    ("signal ratio", "(percentile + c) / (mean + c) of the normalised values, with c = 1: how far the top of a gene's values "
     "stands above their mean. No gene length is in it."),
    ("interval", "Two samples' values between which the percentile of the population lies with 95 % confidence, by their ranks "
     "alone. The mean is taken as known."),
    ("Gini", "0 if a gene has the same value in all samples, near 1 if one sample has it all."),
    ("tau", "0 if a gene has the same mean under all labels, 1 if it is found under one only (Yanai et al., Bioinformatics 2005)."),
    ("mean cosine", "Mean cosine of all pairs of the samples around the percentile: centred, of deviations from the mean of each "
     "gene; uncentred, of the values as they are, where any two samples are alike."),
    ("z", "Distance of a mean cosine from that of windows of random samples, in standard deviations of those."),
    ("z against series", "The same against windows made of whole series. A window that is from one study is alike for that; only "
     "what exceeds this too says something of the gene."),
    ("tied", "Equal values at an end of the window: samples were drawn among them with the seed."),
]  # fmt: skip


def genes_page(
    frame: pd.DataFrame,
    *,
    command: str = "",
    sources: Sequence[Mapping[str, Any]] = (),
    notes: Sequence[str] | None = None,
) -> str:
    """The page as HTML that loads nothing; every name is escaped.

    Parameters
    ----------
    frame
        What :func:`corpuscle.bulk.gene_metrics` returns, with its ``attrs``.
    command
        Shown on the page.
    sources
        Identities of the files, shown on the page.
    notes
        What to know first; by default those of ``attrs``.
    """
    about = frame.attrs
    lines = [f"{line}." for line in (about["notes"] if notes is None else notes)]
    sections = [
        *([Section("notes", "To know first", "Notes", prose(*lines))] if lines else []),
        Section("top", "Genes that stand out most", "Top", top_table(frame)),
        Section("signal", "Signal ratio against mean", "Signal", signal_figure(frame) + interval_figure(frame)),
    ]
    if about["cosine"] is not None:
        body = prose(_window_words(about)) + cosine_figure(frame) + baseline_table(frame)
        sections.append(Section("cosine", "How alike the samples around the percentile are", "Cosine", body))
    sections += [
        Section("run", "How it was made", "Made", _made(about, command, sources)),
        Section("words", "What the numbers mean", "Words", terms(WORDS)),
    ]
    defined = int(frame["cosine"].notna().sum())
    return render(
        Page(
            title="Genes over many samples",
            kicker="Which genes stand out, and are the samples alike where they do?",
            headline=_headline(frame),
            learnt=_learnt(frame),
            unsaid=_unsaid(about),
            facts=[
                ("samples", count(about["n"])),
                ("genes", count(len(frame))),
                ("normalisation", str(about["normalizer"])),
                *([("genes with a window", count(defined))] if about["cosine"] is not None else []),
            ],
            sections=sections,
        )
    )


def _headline(frame: pd.DataFrame) -> str:
    ratios = frame["signal_ratio"].dropna()
    if ratios.empty:
        return "No gene has a signal ratio"
    first = frame.loc[ratios.idxmax()]
    return f"{first['gene']} stands out most: its signal ratio is {fixed(first['signal_ratio'], 2)}"


def _learnt(frame: pd.DataFrame) -> list[str]:
    about, ratios = frame.attrs, frame["signal_ratio"].dropna()
    lines = []
    if len(ratios):
        lines.append(f"Half of the genes have a signal ratio of {fixed(ratios.median(), 2)} or less.")
    silent = int((frame["detection"] == 0).sum())
    if silent:
        lines.append(f"{count(silent)} gene{'s have' if silent > 1 else ' has'} no count in any sample.")
    if about["cosine"] is not None and frame["cosine_z"].notna().any():
        lines.append(
            f"{count((frame['cosine_z'] > 2).sum())} of {count(frame['cosine_z'].notna().sum())} windows are more than 2 standard "
            "deviations more alike than random samples."
        )
    if "cosine_z_series" in frame and frame["cosine_z_series"].notna().any():
        lines.append(f"{count((frame['cosine_z_series'] > 2).sum())} are so against windows made of whole series.")
    return lines


def _unsaid(about: Mapping[str, Any]) -> list[str]:
    lines = [
        "A gene that stands out may mark a tissue, a study or a failed sample; labels and series tell these apart."
    ]
    if about["cosine"] is not None:
        lines.append(
            "Genes share samples, so their windows are not independent: a z above 2 is no test, and many genes have it together."
        )
    return lines


def _window_words(about: Mapping[str, Any]) -> str:
    n, q, k = about["n"], about["percentile"] / 100, about["k"]
    half = math.ceil(1.96 * math.sqrt(n * q * (1 - q)))
    start = (
        f"The window has the {count(k)} samples at places {count(about['window'][0] + 1)} to {count(about['window'][1])} of "
        f"{count(n)}. Sampling alone moves the {about['percentile']:g}th percentile by {count(half)} ranks to each side"
    )
    if 2 * half > k:
        return f"{start}: more than the window is wide, so other samples of the same kind would have filled it with others."
    return f"{start}, which is within the window."


def _made(about: Mapping[str, Any], command: str, sources: Sequence[Mapping[str, Any]]) -> Any:
    from corpuscle import __version__

    left_out = ("notes", "baselines", "params")
    settings = [(str(name), str(value)) for name, value in about.items() if name not in left_out]
    params = [(str(name), str(value)) for name, value in about["params"].items()]
    files = [(str(one["name"]), f"{one['size']} bytes, ends {str(one['sha256'])[:16]}") for one in sources]
    groups = [("Settings", settings), ("Normalisation", params), ("Sources", files)]
    groups.append(("Version", [("corpuscle", __version__)]))
    return piece("run.html", command=command, groups=[group for group in groups if group[1]])
