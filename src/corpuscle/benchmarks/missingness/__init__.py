"""The benchmark of missing values: which methods keep distances, neighbours and directions that a table had when whole?

Filling with the mean of what was observed always takes part, since it keeps the leading directions about as well as any
correction. Masks under which values decide what is lost are apart: there no correction holds what it promises.
"""

from corpuscle.benchmarks.missingness.display.findings import headline
from corpuscle.benchmarks.missingness.masks import Mask, parse_mask
from corpuscle.benchmarks.missingness.methods import Found, Given, MissingnessMethod, parse_method
from corpuscle.benchmarks.missingness.options import Options
from corpuscle.benchmarks.missingness.run import benchmark

__all__ = [
    "Found",
    "Given",
    "Mask",
    "MissingnessMethod",
    "Options",
    "benchmark",
    "headline",
    "parse_mask",
    "parse_method",
]
