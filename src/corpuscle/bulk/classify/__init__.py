"""Which label a sample has: models over series-grouped splits, calibrated, able to say that they do not know."""

from corpuscle._lazy import lazy

_WHERE = {
    "_evaluate": ("evaluate",),
    "_tables": ("Evaluation",),
    "classifier": ("SampleClassifier",),
    "models": ("MODELS",),
    "reference": ("reference_score",),
}
__getattr__, __dir__ = lazy(
    __name__, {name: f"{__name__}.{module}" for module, names in _WHERE.items() for name in names}
)

__all__ = ["MODELS", "Evaluation", "SampleClassifier", "evaluate", "reference_score"]
