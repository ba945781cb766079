"""The clustering benchmark: does an embedding find the known cell types, and what was its clustering told?

The same embedding scores far higher when the resolution is picked with the true labels. Every score here says what
was known to whoever made the clusters, and scores that were told different things are never ranked together.
"""

from corpuscle.benchmarks.clustering.display.findings import headline
from corpuscle.benchmarks.clustering.methods import (
    Cells,
    ClusteringMethod,
    Embedded,
    clustering_method,
    method_names,
    parse_method,
)
from corpuscle.benchmarks.clustering.options import Options
from corpuscle.benchmarks.clustering.run import benchmark
from corpuscle.benchmarks.clustering.score import score_embedding, score_labels, stability

__all__ = [
    "Cells",
    "ClusteringMethod",
    "Embedded",
    "Options",
    "benchmark",
    "clustering_method",
    "headline",
    "method_names",
    "parse_method",
    "score_embedding",
    "score_labels",
    "stability",
]
