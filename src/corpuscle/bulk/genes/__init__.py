"""What each gene does over many samples: how strongly it stands out, and how alike the samples are where it does."""

from corpuscle._lazy import lazy

#: Module -> what it gives.
_WHERE = {
    "_statistics": ("GeneStatistics", "gene_statistics"),
    "cosine": ("mean_cosine",),
    "metrics": ("gene_metrics",),
    "percentiles": ("GeneHistogram", "order_interval"),
    "scores": ("gini", "signal_ratio", "tau"),
    "windows": ("Window", "window_at"),
}
__getattr__, __dir__ = lazy(
    __name__, {name: f"{__name__}.{module}" for module, names in _WHERE.items() for name in names}
)

__all__ = [
    "GeneHistogram",
    "GeneStatistics",
    "Window",
    "gene_metrics",
    "gene_statistics",
    "gini",
    "mean_cosine",
    "order_interval",
    "signal_ratio",
    "tau",
    "window_at",
]
