"""The topic benchmark: can the topics of a model be read, and are they found again?

Ten published numbers of interpretability under names that say what they are, each with a reason where it does not exist,
for any model that gives cells x topics and topics x genes. Metrics take arrays and names, and can be used alone.
"""

from corpuscle.benchmarks.topics._registry import as_readings, method_names, topic_method
from corpuscle.benchmarks.topics.coherence import Coherence, topic_coherence
from corpuscle.benchmarks.topics.data import TopicCells
from corpuscle.benchmarks.topics.display.findings import headline
from corpuscle.benchmarks.topics.diversity import topic_diversity, topic_quality
from corpuscle.benchmarks.topics.enrichment import Enrichment, gsea, ora
from corpuscle.benchmarks.topics.gene_sets import GeneSets, read_gmt
from corpuscle.benchmarks.topics.methods import TopicMethod, Topics
from corpuscle.benchmarks.topics.names import METRICS, names_table
from corpuscle.benchmarks.topics.options import Options
from corpuscle.benchmarks.topics.purity import interpretation_purity
from corpuscle.benchmarks.topics.rare_types import rare_type_recovery
from corpuscle.benchmarks.topics.run import benchmark
from corpuscle.benchmarks.topics.stability import Stability, topic_stability
from corpuscle.benchmarks.topics.top_genes import top_genes

__all__ = [
    "METRICS",
    "Coherence",
    "Enrichment",
    "GeneSets",
    "Options",
    "Stability",
    "TopicCells",
    "TopicMethod",
    "Topics",
    "as_readings",
    "benchmark",
    "gsea",
    "headline",
    "interpretation_purity",
    "method_names",
    "names_table",
    "ora",
    "rare_type_recovery",
    "read_gmt",
    "top_genes",
    "topic_coherence",
    "topic_diversity",
    "topic_method",
    "topic_quality",
    "topic_stability",
]
