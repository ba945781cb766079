"""Corpuscle: raw transcriptomes to model-ready corpora, and which methods to trust with them."""

from __future__ import annotations

from corpuscle.counts import Counts, open_counts
from corpuscle.errors import CorpuscleError

__version__ = "0.1.0"
__all__ = ["CorpuscleError", "Counts", "__version__", "open_counts"]
