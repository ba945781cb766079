"""Normalisations: one file each, one small estimator each."""

from corpuscle.normalize._bare import strip
from corpuscle.normalize._base import ColumnNormalizer, MatrixNormalizer, Normalizer, Values
from corpuscle.normalize._registry import normalizer, normalizer_class, normalizer_names
from corpuscle.normalize._write import check_target, plan_write, write_normalized
from corpuscle.normalize.external import CallableMethod, ExternalCommand, parse_method

__all__ = [
    "CallableMethod",
    "ColumnNormalizer",
    "ExternalCommand",
    "MatrixNormalizer",
    "Normalizer",
    "Values",
    "check_target",
    "normalizer",
    "normalizer_class",
    "normalizer_names",
    "parse_method",
    "plan_write",
    "strip",
    "write_normalized",
]
