"""Normalisations: one file each, one small estimator each."""

from corpuscle.normalize._bare import strip
from corpuscle.normalize._base import ColumnNormalizer, MatrixNormalizer, Normalizer, Values
from corpuscle.normalize._fitted import FittedInfo, load_fitted, save_fitted
from corpuscle.normalize._registry import normalizer, normalizer_class, normalizer_names
from corpuscle.normalize._write import check_target, plan_write, write_normalized
from corpuscle.normalize.external import CallableMethod, ExternalCommand, parse_method
from corpuscle.normalize.log2_qn import QuantileNormalizer, reference_values

__all__ = [
    "CallableMethod",
    "ColumnNormalizer",
    "ExternalCommand",
    "FittedInfo",
    "MatrixNormalizer",
    "Normalizer",
    "QuantileNormalizer",
    "Values",
    "check_target",
    "load_fitted",
    "normalizer",
    "normalizer_class",
    "normalizer_names",
    "parse_method",
    "plan_write",
    "reference_values",
    "save_fitted",
    "strip",
    "write_normalized",
]
