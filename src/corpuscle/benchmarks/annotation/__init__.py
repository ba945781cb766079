"""The annotation benchmark: does smoothing scores over the neighbour graph name cells better, and whom does it cost?

Accuracy can rise while rare types vanish, so every table has macro F1 and the F1 of every type beside it, the raw scores,
a majority vote, and the published refinement. What a source of scores was told of the truth is a column.
"""

from corpuscle.benchmarks._labelled import LabelledCells
from corpuscle.benchmarks._truth import read_type_map
from corpuscle.benchmarks.annotation._draw import Draw
from corpuscle.benchmarks.annotation.display.findings import headline
from corpuscle.benchmarks.annotation.options import Options
from corpuscle.benchmarks.annotation.refinements import Refined, Refinement, parse_refinement
from corpuscle.benchmarks.annotation.run import benchmark
from corpuscle.benchmarks.annotation.sources import Scored, ScoreSource, parse_source

__all__ = [
    "Draw",
    "LabelledCells",
    "Options",
    "Refined",
    "Refinement",
    "ScoreSource",
    "Scored",
    "benchmark",
    "headline",
    "parse_refinement",
    "parse_source",
    "read_type_map",
]
