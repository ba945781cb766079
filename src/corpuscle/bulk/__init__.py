"""Large collections of bulk samples: what their genes tell, what the samples are, which are alike."""

from corpuscle._lazy import lazy

# A function that has the name of its module is bound here, or the module would take the name when it is imported.
from corpuscle.bulk.pseudobulk import pseudobulk

#: Module -> what it gives.
_WHERE = {
    "_features": ("Features",),
    "genes.metrics": ("gene_metrics",),
    "labels.store": ("Labels",),
    "retrieval": ("Retrieval", "retrieval_precision"),
    "series": ("grouped_folds", "random_folds", "series_groups", "series_per_label"),
    "similar": ("SampleIndex",),
}
__getattr__, __dir__ = lazy(
    __name__, {name: f"{__name__}.{module}" for module, names in _WHERE.items() for name in names}
)

__all__ = [
    "Features",
    "Labels",
    "Retrieval",
    "SampleIndex",
    "gene_metrics",
    "grouped_folds",
    "pseudobulk",
    "random_folds",
    "retrieval_precision",
    "series_groups",
    "series_per_label",
]
