"""One package or file per benchmark: data and methods in, one tidy result out."""

from corpuscle.benchmarks import coregulation

__all__ = ["coregulation"]
