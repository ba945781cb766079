"""Every column and every word of the page, in a line each."""

from __future__ import annotations

__all__ = ["DEFINITIONS", "DROPOUT_WORDS", "METRIC_TITLES", "UNDEFINED_BECAUSE", "WORDS", "block_title"]

METRIC_TITLES = {
    "d2_error": "Distances",
    "d2_correlation": "Corr.",
    "knn_recall_distances": "Neighbours",
    "knn_recall_pcs": "of PCs",
    "sin_theta": "Directions",
    "gram_error": "Gram",
    "ari": "ARI",
}
UNDEFINED_BECAUSE = {
    "ari": "there are no types to compare clusters with",
    "truth_ari": "there are no types to compare clusters with",
    "d2_correlation": "all distances are the same",
    "d2_error_ratio": "the mean fill was not judged on the same draws",
    "sin_theta_change": "the mean fill was not judged on the same draws",
}
DROPOUT_WORDS = (
    "Only values above 0 are lost here, each to a 0 like any other, so that what is missing depends on the value and no "
    "correction is unbiased. A method must also be told which zeros are missing: none, those that were lost (which nobody "
    "knows), those that clusterings of the cells agree on, or all. The truth is the data before anything was lost."
)


def block_title(task: str, mask_told: str) -> str:
    """Heading of the methods under one mask."""
    return f"{task}: told {mask_told}"


DEFINITIONS = (
    "A run is one method on the entries that one mask left of the cells that one seed drew from one data set. Counts become "
    "log1p of counts per 10,000 of the most variable genes, and these values, zeros among them, are the truth. All methods of "
    "a draw see the same holes; none sees the truth or a label.",
    "A number is the mean over draws on each data set, then over data sets. Intervals are 95 % percentile intervals, data "
    "sets resampled. Methods that were told the probabilities behind the holes are never ranked with those that were not.",
)

WORDS = (
    ("zero_fill", "Missing values become 0, and columns are centred afterwards."),
    ("mean_fill", "Missing values become the mean of what was observed of the column."),
    ("knn_impute", "scikit-learn's KNNImputer."),
    ("iterative", "scikit-learn's IterativeImputer: each column regressed on others, in rounds."),
    ("soft_impute", "Matrix completion by soft-thresholded singular values, the penalty chosen on held-out entries."),
    ("ppca", "Probabilistic principal components, fitted by EM to what was observed."),
    (
        "unbiased",
        "Our default: inner products over their expected shrinkage, probabilities from an additive logit model.",
    ),
    (
        "authors",
        "The ratio as published (Ling, Liu & Xue, UAI 2021), with probabilities from margins and a raised constant.",
    ),
    ("ratio_rank1", "The same, with probabilities above 1 clipped and no constant raised."),
    ("ht", "Horvitz-Thompson: every value over its probability."),
    ("pairwise", "Inner products over the number of columns that both rows have."),
    ("hetero", "The ratio for coordinates, with a diagonal that is filled in from the leading directions."),
    ("ratio_oracle, ht_oracle", "The same estimators, told the probabilities that made the holes."),
    ("constant", "Every entry is observed with the same probability p."),
    ("uniform", "Observed with probability a b, both uniform between low and 1, a of the row and b of the column."),
    ("authors (mask)", "Missing with probability u v, u uniform on (0.4, 0.6) by row and v on (0.7, 0.9) by column."),
    ("logit_normal", "Observed with the logistic of two normal terms, by row and by column."),
    ("dropout", "Each value above 0 is kept with probability a b, and else becomes a 0."),
    ("distances", "Frobenius error of the squared distances, relative to that of the truth. 0 is best."),
    ("corr.", "Pearson correlation of squared distances with the true ones, over pairs of cells."),
    ("neighbours", "Share of a cell's 15 nearest cells, by the complete data, that are found from the distances."),
    ("of PCs", "The same from the leading coordinates, against those of the complete data."),
    ("directions", "Root mean square sine of the angles to the true leading subspace: 0 the same, 1 orthogonal."),
    ("Gram", "Frobenius error of the inner products about the mean, relative to that of the truth."),
    (
        "ARI",
        "Agreement of k-means on the leading coordinates with the labels; the complete data do not reach 1 either.",
    ),
    ("× mean fill", "Error of the distances over that of the mean fill, mean over data sets; below 1 is better."),
    ("p, Holm", "Exact sign flips over data sets, corrected for the number of methods compared."),
    ("±", "Standard deviation over draws, mean over data sets."),
)
