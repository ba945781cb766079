"""Any source as a stream of cell blocks of raw counts."""

from corpuscle.counts._counts import Counts
from corpuscle.counts._open import expand_source, open_counts
from corpuscle.counts._passes import PASS_CELLS, map_blocks, reduce_blocks
from corpuscle.counts._profile import Block, Profile, Summary, summarise
from corpuscle.counts._source import MemorySource, Source

__all__ = [
    "PASS_CELLS",
    "Block",
    "Counts",
    "MemorySource",
    "Profile",
    "Source",
    "Summary",
    "expand_source",
    "map_blocks",
    "open_counts",
    "reduce_blocks",
    "summarise",
]
