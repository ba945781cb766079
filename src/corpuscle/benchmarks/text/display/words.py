"""Every column and every word of the page, in a line each."""

from __future__ import annotations

__all__ = [
    "DEFINITIONS",
    "KINDS",
    "METRIC_TITLES",
    "TASK_WORDS",
    "UNDEFINED_BECAUSE",
    "UNSEEN_TITLES",
    "UNSEEN_WORDS",
    "WORDS",
    "wording_of",
]

#: Metric of a run -> heading. The first two have a spread and an interval.
METRIC_TITLES = {
    "accuracy": "Accuracy",
    "macro_f1": "Macro F1",
    "balanced_accuracy": "Balanced",
    "mean_auc": "AUC",
    "mean_auc_raw": "AUC, raw",
    "mrr": "MRR",
    "topk_accuracy@3": "Top 3",
    "accuracy_over_random": "x chance",
    "precision@10": "P@10",
    "r_precision": "R-prec.",
    "average_precision": "AP",
    "cell_precision@10": "Cells P@10",
    "unanswered": "Silent",
}
#: What the board of new types shows instead, from the table of types.
UNSEEN_TITLES = {
    "unseen_auc": "AUC, new types",
    "seen_auc": "AUC when seen",
    "unseen_auc_raw": "AUC, raw",
    "lowest_auc": "Lowest AUC",
    "below_half": "Below 0.5",
    "unseen_recall": "Recall",
    "unseen_precision@10": "P@10",
    "unseen_r_precision": "R-prec.",
}
UNDEFINED_BECAUSE = {
    "cell_precision@10": "the method has no vectors of cells",
    "unseen_auc": "no new type has an AUC: the method cannot say anything of a type that it never saw",
    "lowest_auc": "no new type has an AUC",
    "below_half": "no new type has an AUC",
    "unseen_auc_raw": "no new type has an AUC",
    "seen_auc": "no task was run in which training had these types",
    "unseen_recall": "no new type has a recall",
    "unseen_precision@10": "no new type was searched for",
    "unseen_r_precision": "no new type was searched for",
}
#: First name of a method -> what it is for on a board; what is not here stands without a note.
KINDS = {
    "logistic": "baseline",
    "logistic_text": "baseline",
    "centroid": "baseline",
    "majority": "baseline",
    "markers": "baseline",
    "sentences": "baseline, text only",
    "sentences_trained": "baseline, text only",
    "shuffled": "control",
    "untrained": "control",
}
#: Task -> (heading, the words "On ..." of a sentence).
TASK_WORDS = {
    "new_cells": ("New cells", "new cells"),
    "held_out_groups": ("Held-out groups", "held-out groups"),
    "other_study": ("Another study", "another study"),
    "new_types": ("New types", "types that it never saw"),
    "other_study_new_types": ("New types in another study", "types of another study that it never saw"),
}
WORDING = "new_wording"


def wording_of(task: str) -> str | None:
    """Template of a task with another wording; None for any other task."""
    head, _, template = task.partition(":")
    return template.strip() if head == WORDING else None


UNSEEN_WORDS = (
    "A part of the types is left out: no cell of them is in training, nor in the fitting of the vectors. Then all types are "
    "asked for among all cells, and here it is said what becomes of the left-out ones. An AUC of 0.5 is chance, and every "
    "AUC is shown, however low: below 0.5 a method looks for the type among the wrong cells. A type can be found because a "
    "sister type was seen.",
    "Methods that were told the names of the types know them from a table, not from these cells.",
)

DEFINITIONS = (
    "A run is one method on one draw: the cells that one seed puts on either side. Every draw goes through the whole chain "
    "of a data set of pairs: counts, captions, a split, vectors fitted on the training cells alone, rows and archives. All "
    "methods of a draw see the same training cells and answer for the same test cells; none sees the types of these.",
    "A number is the mean over seeds on each data set, then over data sets. Intervals are 95 % percentile intervals, data "
    "sets resampled. Tasks are never averaged together.",
)

WORDS = (
    (
        "celltext",
        "Two heads that bring vectors of cells and of texts into one space, trained on cells and their captions.",
    ),
    ("@pca", "The vectors that a method was given: here principal components of the training cells."),
    ("logistic", "Logistic regression on the same vectors, told which type a query means: it reads no words."),
    (
        "logistic_text",
        "The same probabilities, spent on the texts of the training captions; a query is compared with their mean. It learns "
        "nothing about texts, and yet can be asked for anything.",
    ),
    ("centroid", "Similarity to the mean vector of each training type."),
    ("majority", "Always the most frequent training type."),
    ("markers", "Scores of ASCT+B marker genes, from the counts; knows types by their names only."),
    ("sentences", "The text encoder on the names of a cell's highest genes, against the query. Nothing is learnt."),
    ("sentences_trained", "CellText on these sentences instead of vectors of counts: what words alone can do."),
    ("shuffled", "A control: CellText whose captions were shuffled among the training cells. It must know nothing."),
    ("untrained", "A control: CellText before training."),
    (
        "new cells",
        "Cells that were kept from training, of types and data sets that were seen; asked with the training caption.",
    ),
    ("new wording", "The same cells and the same model, asked in words that no training caption had."),
    ("held-out groups", "Whole groups of cells, mostly donors, were kept from training."),
    ("another study", "Trained on all other data sets of the run, judged on this one, on the types that they share."),
    ("new types", "Types that no training cell has; judged apart, since this is another thing than new cells."),
    ("told", "What the method knew of the queries and the cells."),
    ("accuracy", "Share of cells whose highest score is that of the right type."),
    ("macro F1", "Mean over types of the F1 score: a rare type counts as much as any."),
    ("balanced", "Mean over types of the share of its cells that are found."),
    ("AUC", "Mean over types of the area under the ROC curve, after a softmax over the labels of each cell."),
    ("AUC, raw", "The same of the scores as they are, without the softmax."),
    ("MRR", "Mean of 1 / rank of the right type."),
    ("top 3", "Share of cells whose right type is among the three highest scores."),
    ("x chance", "Accuracy in multiples of 1 / number of types."),
    ("P@10", "Text to cells: share of the ten best cells for a query that have its type; mean over types."),
    ("R-prec.", "The same of as many best cells as have the type."),
    ("AP", "Average precision of the list of cells for a query; mean over types."),
    ("cells P@10", "Cell to cells: share of the ten nearest training cells that have the cell's type."),
    ("silent", "Types of which a method could say nothing. They are never chosen, have a recall of 0 and no AUC."),
    ("p, Holm", "Exact sign flips over data sets, corrected for the number of methods compared."),
    ("±", "Standard deviation over seeds, mean over data sets."),
)
