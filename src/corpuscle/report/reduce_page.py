"""The page of corrected components: what is missing, what the components are, and what zero-filling would have shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from corpuscle.report._corpus_words import percent
from corpuscle.report._page import Page, Section, prose, render, terms, unfold
from corpuscle.report._reduce_parts import (
    against_share,
    correlation,
    correlations_table,
    eigenvalues_table,
    scree_figure,
    shares_figure,
)
from corpuscle.report._templates import piece
from corpuscle.report.format import count, fixed

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["reduce_page"]

WORDS = [
    ("observed share", "Share of a cell's entries that were observed, or are taken as observed by the mask."),
    ("zero-filled", "Ordinary principal components with 0 written into every gap, the usual shortcut."),
    ("corrected", "Eigenvectors of the cells' inner products, each divided by how much of it is expected to be seen "
     "(Ling, Liu and Xue, UAI 2021). Nothing is imputed."),
    ("eigenvalue", "Sum of squares along a component. Corrected inner products can have negative eigenvalues too; these "
     "are left out, so shares of the trace may add up to more than 1."),
    ("probability", "Fitted chance that an entry is observed, from the counts of observed entries by cell and by gene. "
     "Below the floor it is raised to it, above 1 lowered to it: clipped."),
]  # fmt: skip


def reduce_page(
    cells: AnnData,
    *,
    key: str = "X_unbiased_pca",
    zero_filled_n2: np.ndarray[Any, Any] | None = None,
    command: str = "",
) -> str:
    """The page as HTML that loads nothing; every name is escaped.

    Parameters
    ----------
    cells
        With what :func:`corpuscle.reduce.unbiased_pca` adds.
    key
        Name of the components in ``obsm``.
    zero_filled_n2
        First two components of the zero-filled values, (n, 2), to compare with.
    command
        Shown on the page.
    """
    about = cells.uns[key.removeprefix("X_")]
    places_nk, share_n = np.asarray(cells.obsm[key]), cells.obs["observed_share"].to_numpy(np.float64)
    value_k, ratio_k = np.asarray(about["eigenvalues"]), np.asarray(about["explained_variance_ratio"])
    scree = scree_figure(value_k) + unfold("The numbers", eigenvalues_table(value_k, ratio_k))
    seen = _share(cells, places_nk, share_n, zero_filled_n2)
    sections = [
        *_notes(about),
        Section("components", "Components", "Components", scree),
        Section("share", "What was observed, and the first component", "Observed", seen),
        Section("run", "How it was made", "Made", _made(about, command)),
        Section("words", "What the numbers mean", "Words", terms(WORDS)),
    ]
    return render(
        Page(
            title="Components of cells with missing entries",
            kicker="Where do cells lie if what was not observed is not taken for zero?",
            headline=_headline(about, places_nk, share_n, zero_filled_n2),
            learnt=_learnt(about),
            unsaid=_unsaid(about),
            facts=[
                ("cells", count(cells.n_obs)),
                ("genes", count(about["params"]["n_genes"])),
                ("missing", percent(about["missing_share"])),
                ("components", count(places_nk.shape[1])),
            ],
            sections=sections,
        )
    )


def _notes(about: Any) -> list[Section]:
    lines = [str(line) for line in np.ravel(about["notes"])]
    body = prose(*(f"{line[:1].upper()}{line[1:]}." for line in lines))
    return [Section("notes", "To know first", "Notes", body)] if lines else []


def _headline(about: Any, places_nk: Any, share_n: Any, zero_filled_n2: Any) -> str:
    if not about["n_missing"]:
        return "Nothing is missing, so these are ordinary principal components"
    corrected = correlation(share_n, places_nk[:, 0])
    first = f"{percent(about['missing_share'])} of the entries are missing"
    if not np.isfinite(corrected):
        return f"{first}, the same share in every cell"
    if zero_filled_n2 is None:
        return f"{first}; the first component correlates {fixed(abs(corrected), 2)} with the observed share of a cell"
    zero = correlation(share_n, zero_filled_n2[:, 0])
    return (
        f"{first}; how much of a cell was observed correlates {fixed(abs(corrected), 2)} with the first corrected component, "
        f"and {fixed(abs(zero), 2)} with the first zero-filled one"
    )


def _learnt(about: Any) -> list[str]:
    span, clipped = about["observed_share"], int(about["propensity"]["n_clipped"])
    lines = [
        f"Cells have {percent(span['min'])} to {percent(span['max'])} of their entries, {percent(span['median'])} in the middle."
    ]
    if about["n_unobserved_genes"]:
        lines.append(f"{count(about['n_unobserved_genes'])} genes were never observed and are left out.")
    if "n_negative" in about:
        lines.append(f"{count(about['n_negative'])} eigenvalues are negative and left out.")
    lines.append(f"{count(clipped)} probabilities were clipped." if clipped else "No probability had to be clipped.")
    return lines


def _unsaid(about: Any) -> list[str]:
    lines = [
        "The correction holds where an entry is missing or not independently of its value. Nothing here can test that.",
        "A correlation with the observed share is no error by itself: kinds of cells may differ in how much of them is observed.",
        "Distances and neighbours improve; the leading components are about as good as with the mean written into the gaps.",
    ]
    return lines if about["n_missing"] else []


def _share(cells: AnnData, places_nk: Any, share_n: Any, zero_filled_n2: Any) -> Markup:
    body = shares_figure(share_n)
    if zero_filled_n2 is None:
        return body
    methods = {"zero-filled": zero_filled_n2, "corrected": places_nk}
    drawn = against_share(share_n, zero_filled_n2[:, 0], places_nk[:, 0], cells.obs_names)
    return body + drawn + correlations_table(share_n, methods)


def _made(about: Any, command: str) -> Markup:
    from corpuscle import __version__

    params = [(str(name), str(value)) for name, value in sorted(about["params"].items())]
    chances = [
        (str(name), fixed(value) if isinstance(value, float) else str(value))
        for name, value in about["propensity"].items()
    ]
    groups = [("Parameters", params), ("Probabilities", chances), ("Version", [("corpuscle", __version__)])]
    return piece("run.html", command=command, groups=groups)
