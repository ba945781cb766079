"""The benchmark of cells and words: do words name cells and find them, and what of words, groups and types never seen?

A model that was trained on a few captions can look good at everything but what it never saw. So new cells, new wordings,
held-out groups, another study and new types are tasks of their own, and every table has beside each method a logistic
regression on the same vectors, the same with the words' own vectors, the commonest type, and a model trained on shuffled
captions. What a method was told of the truth is a column.
"""

from corpuscle.benchmarks.text._draw import Draw, Question, Shown
from corpuscle.benchmarks.text.display.findings import headline
from corpuscle.benchmarks.text.methods import Scorer, TextMethod, parse_method
from corpuscle.benchmarks.text.options import Options
from corpuscle.benchmarks.text.run import benchmark

__all__ = [
    "Draw",
    "Options",
    "Question",
    "Scorer",
    "Shown",
    "TextMethod",
    "benchmark",
    "headline",
    "parse_method",
]
