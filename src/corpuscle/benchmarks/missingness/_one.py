"""One run: a method on the entries that a mask left, judged; whatever goes wrong is said, not raised."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from corpuscle.benchmarks._attempt import Attempt
from corpuscle.benchmarks._measure import Cost
from corpuscle.benchmarks._reason import reason_of
from corpuscle.benchmarks.missingness._data import Complete, TruthSource
from corpuscle.benchmarks.missingness.masks import Drawn, Mask, draw_mask
from corpuscle.benchmarks.missingness.methods import MissingnessMethod, checked_found
from corpuscle.benchmarks.missingness.metrics import Reference, judge, reference
from corpuscle.seeds import stream_seed

__all__ = ["DROPOUT", "Holes", "Problem", "attempt", "holes_of", "problem_of", "unsuited"]

T = TypeVar("T")
#: Kind of masks under which values decide what is lost.
DROPOUT = "dropout"


@dataclass(frozen=True)
class Problem:
    """Complete values of a draw and what is true of them, which all masks and methods share."""

    complete: Complete
    reference: Reference


@dataclass(frozen=True)
class Holes:
    """What is left of a problem, which all methods share; ``words`` were said while entries were lost."""

    problem: Problem
    drawn: Drawn
    words: tuple[str, ...] = ()


def problem_of(source: TruthSource, seed: int) -> Problem | Attempt:
    """Draw complete values, and work out what methods are held to."""

    def made() -> Problem:
        complete = source.draw(seed)
        kmeans = stream_seed(seed, "missingness", "clusters")
        truth = reference(complete.x_nd, complete.code_n, kmeans, n_coordinates=complete.n_coordinates)
        return Problem(complete, truth)

    return _caught("truth", made)[0]


def holes_of(problem: Problem, mask: Mask, source: TruthSource, seed: int) -> Holes | Attempt:
    """Lose entries: the same ones for all methods, and for masks that differ in what is said to be missing."""
    drawn, words = _caught("mask", lambda: draw_mask(mask, problem.complete.x_nd, seed, "missingness", source.sha256))
    return drawn if isinstance(drawn, Attempt) else Holes(problem, drawn, words)


def unsuited(problem: Problem, mask: Mask) -> str:
    """Why a mask makes no sense for a data set; empty where it does."""
    below = mask.kind == DROPOUT and bool((problem.complete.x_nd < 0).any())
    return "values below 0 are no expression, of which dropout would leave a 0" if below else ""


def attempt(holes: Holes, method: MissingnessMethod) -> Attempt:
    """Run a method and judge what it found."""
    stage, cost, truth = "method", Cost(), holes.problem.reference
    try:
        # One thread, for sums in the same order whatever the number of cores.
        with threadpool_limits(1, user_api="blas"), warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            with cost:
                found = method(holes.drawn.given(method))
            stage = "judgement"
            found = checked_found(found, len(holes.problem.complete.x_nd), method.name)
            numbers = judge(found, truth)
        words = [*holes.words, *found.notes, *_said(said)]
        return Attempt(_outcome(holes, numbers, words, cost))
    except (Exception, SystemExit) as error:  # a method is anybody's code: what it raises is its failure
        return Attempt(None, stage, reason_of(error), cost.seconds, cost.peak_mib)


def _caught(stage: str, made: Callable[[], T]) -> tuple[T | Attempt, tuple[str, ...]]:
    try:
        with threadpool_limits(1, user_api="blas"), warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            found = made()
        return found, tuple(_said(said))
    except (Exception, SystemExit) as error:
        return Attempt(None, stage, reason_of(error)), ()


def _said(caught: list[warnings.WarningMessage]) -> list[str]:
    """What our own code warned of, each once."""
    return list(dict.fromkeys(str(one.message) for one in caught if one.category is UserWarning))


def _outcome(holes: Holes, numbers: dict[str, float], words: list[str], cost: Cost) -> dict[str, Any]:
    drawn, (n, d) = holes.drawn, holes.problem.complete.x_nd.shape
    return {
        "numbers": numbers,
        "shares": {
            "missing_share": drawn.missing_share, "lost_share": drawn.lost_share, "found_share": drawn.found_share,
            "false_share": drawn.false_share,
        },
        "words": list(dict.fromkeys(words)),
        "n": int(n),
        "n_features": int(d),
        "n_types": holes.problem.reference.n_types,
        "seconds": cost.seconds,
        "peak_mib": cost.peak_mib,
    }  # fmt: skip
