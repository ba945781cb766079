"""Every column and every word of the page, in a line each."""

from __future__ import annotations

__all__ = [
    "CALIBRATION_WORDS",
    "DEFINITIONS",
    "MAIN",
    "METRIC_TITLES",
    "TITLES",
    "UNDEFINED_BECAUSE",
    "WORDS",
    "block_title",
]

#: Refinements that stand side by side in the tables of data sets.
MAIN = ("raw", "grit", "guarded", "majority_vote")
TITLES = {
    "raw": "raw scores",
    "grit": "GRIT as published",
    "guarded": "GRIT with guards",
    "majority_vote": "majority vote",
}
METRIC_TITLES = {
    "accuracy": "Accuracy",
    "macro_f1": "Macro F1",
    "balanced_accuracy": "Balanced",
    "worst_f1": "Lowest F1",
    "ece": "ECE",
    "brier": "Brier",
    "ontology_distance": "Distance",
    "changed": "Changed",
    "n_erased": "Erased",
}
UNDEFINED_BECAUSE = {
    "ontology_distance": "a type has no Cell Ontology id; give a label map",
    "ece": "a cell has no reported confidence",
    "brier": "a cell has no reported confidence",
    "macro_f1_change": "the raw scores were not judged on the same cells",
}
CALIBRATION_WORDS = (
    "What a method reports as the probability of its label, against how often the label is right. Smoothed scores are "
    "read as probabilities by one rule for all (shares where no score is negative, else a softmax); votes report the "
    "winner's share. Smoothing moves rows towards each other, so refined scores are mostly less sure than they are right."
)


def block_title(task: str, told: str) -> str:
    """Heading of the refinements of one source of scores."""
    return f"{task}: told {told}"


DEFINITIONS = (
    "A run is one refinement of the scores of one source on the cells that one seed drew from one data set. All "
    "refinements of one draw and source have the same scores, the same neighbour graph, and see no label. Candidates are "
    "the types that are present, and each cell is named by its highest score.",
    "A number is the mean over seeds on each data set, then over data sets. Intervals are 95 % percentile intervals, data "
    "sets resampled. Sources of scores that were told different things are never ranked together.",
)

WORDS = (
    ("raw", "The highest score of each cell, before anything is done."),
    ("grit", "Scores smoothed on the neighbour graph as published: (I + lambda L) P = P0, lambda 1, unnormalised."),
    ("guarded", "The same with the guards that refinement has by default."),
    ("grit_zscore", "The same on scores that were standardised type by type."),
    ("majority_vote", "The most frequent label of each cluster of a Leiden over-clustering, by CellTypist's rule."),
    ("knn_vote", "The label with the largest weight among a cell's neighbours and itself."),
    ("gated_knn", "The uncertain half of the cells take the label of their confident neighbours."),
    ("label_spreading", "Smoothing on the symmetric Laplacian, by iteration to the limit."),
    ("propagate", "Three steps of spreading probabilities, with self-loops."),
    ("grit_permuted", "A control: smoothing on a graph whose cells were shuffled. It must be worse than raw."),
    ("told", "What the source of the scores knew of the truth. All are told which types are present."),
    ("accuracy", "Share of cells with the right label. It hides what happens to rare types."),
    (
        "macro F1",
        "Mean over types of the F1 score, 0 for a type that is never found: a rare type counts as much as any.",
    ),
    ("balanced accuracy", "Mean over types of the share of its cells that are found."),
    ("lowest F1", "F1 of the type that is found worst."),
    ("harmed", "Data sets on which macro F1 is more than 0.01 below that of the raw scores."),
    ("ECE", "Expected calibration error: mean distance of reported confidence and accuracy, over 15 bins."),
    ("Brier", "Mean squared difference of the reported confidence and 1 (right) or 0 (wrong)."),
    (
        "distance",
        "Edges of the Cell Ontology between the label and the true type over a common ancestor, mean over cells.",
    ),
    ("changed", "Share of the cells whose label is not the raw one."),
    ("erased", "Types that had 10 cells and 0.2 % of all in the raw labels and lost more than 80 % of them."),
    ("McNemar's p", "Exact test of cells made right against cells made wrong; cells count as independent."),
    ("p, Holm", "Exact sign flips over data sets, corrected for the number of refinements compared."),
    ("±", "Standard deviation over seeds, mean over data sets."),
)
