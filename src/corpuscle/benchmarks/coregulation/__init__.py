"""The co-regulation benchmark: gene pairs whose correlation has a sign that biology fixes.

A promoter reporter must follow the gene whose promoter drives it; a B cell must not express both light chains.
How far such a pair stands out from genes of like abundance is what a normalisation is judged by.
"""

from corpuscle.benchmarks.coregulation.compat import CardNumbers, card_compat
from corpuscle.benchmarks.coregulation.display.findings import headline
from corpuscle.benchmarks.coregulation.judge import PairResult
from corpuscle.benchmarks.coregulation.methods import BASE_METHODS
from corpuscle.benchmarks.coregulation.options import Options
from corpuscle.benchmarks.coregulation.run import benchmark, evaluate

__all__ = ["BASE_METHODS", "CardNumbers", "Options", "PairResult", "benchmark", "card_compat", "evaluate", "headline"]
