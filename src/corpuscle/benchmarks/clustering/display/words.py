"""What a score was told, and every column, in a line each."""

from __future__ import annotations

__all__ = ["DEFINITIONS", "METRIC_TITLES", "PROTOCOLS", "TOLD", "UNDEFINED_BECAUSE", "WORDS", "block_title"]

#: What was told, in the order in which blocks are shown.
TOLD = {"nothing": "told nothing", "n_types": "told the number of types", "labels": "told the labels"}
PROTOCOLS = {
    "fixed": "communities at resolution 1.0",
    "own": "the method's own clusters",
    "matched": "the resolution that gives as many clusters as there are types",
    "kmeans": "k-means with as many clusters as there are types",
    "oracle": "the resolution that the labels like best",
}
METRIC_TITLES = {
    "ari": "ARI",
    "ami": "AMI",
    "nmi": "NMI",
    "acc": "Accuracy",
    "macro_f1": "Macro F1",
    "rare_recall": "Rare recall",
    "silhouette": "Silhouette",
    "stability": "Stability",
}
UNDEFINED_BECAUSE = {
    "rare_recall": "no data set that the method did has a rare type of 5 cells or more",
    "silhouette": "the method gives clusters and no embedding",
    "stability": "it takes two seeds or more",
}


def block_title(told: str, protocol: str) -> str:
    """Heading of the scores that may be ranked together."""
    if not protocol:
        return "Without any score"
    return f"{TOLD.get(told, told).capitalize()}: {PROTOCOLS.get(protocol, protocol)}"


DEFINITIONS = (
    "A run is one method on one data set with one seed. Its embedding is clustered in four ways, and each clustering "
    "is compared with the known types. What made the clustering was told nothing, the number of types, or the labels "
    "themselves; scores that were told different things are never ranked together.",
    "A score is the mean over seeds on each data set, then over data sets. A method that failed on a data set has no "
    "score there, and stands below those that did all of them. Intervals are 95 % percentile intervals, data sets "
    "resampled.",
)

WORDS = (
    ("oracle", "The resolution, of 20, with the highest ARI against the labels. Most published scores are such."),
    ("resolution 1.0", "What a user gets who has no labels and changes nothing."),
    ("matched", "The resolution at which the number of clusters comes nearest to the number of types."),
    ("own", "Clusters that the method gives itself."),
    ("ARI", "Adjusted Rand index of clusters and types: 1 is the same partition, 0 what chance gives."),
    ("AMI, NMI", "Mutual information over the mean entropy, adjusted for chance and plain. Plain rises with clusters."),
    ("accuracy", "Share of cells in the type that their cluster is matched with, one to one, in the best way."),
    ("macro F1", "Mean over types of the F1 score under that matching: a rare type counts as much as a common one."),
    ("rare recall", "Mean recall of types with under 5 % of the cells, and 5 cells or more."),
    ("silhouette", "Mean silhouette width of the true types on the embedding; clusters play no part."),
    ("stability", "Mean ARI between the clusterings of two seeds of one method on one data set."),
    ("±", "Standard deviation over seeds, mean over data sets."),
    ("sets", "Data sets with at least one run that ended well, of those that could be read."),
    ("failed", "Share of the method's runs that failed."),
    ("time", "Seconds of a run of the method, scoring left out: median over seeds, mean over data sets."),
    ("memory", "Highest rise of the resident memory during a run of the method."),
    ("best baseline", "Of PCA with Leiden and PCA with k-means, the better one that was told the same."),
    ("p, Holm", "Exact sign flips over data sets, corrected for the number of methods compared."),
)
