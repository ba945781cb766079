"""One run: a refinement of the scores of a draw, judged; whatever goes wrong is said, not raised."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from corpuscle.benchmarks._attempt import Attempt
from corpuscle.benchmarks._measure import Cost
from corpuscle.benchmarks._parts import pack_frame
from corpuscle.benchmarks._reason import reason_of
from corpuscle.benchmarks.annotation import refinements, sources
from corpuscle.benchmarks.annotation._draw import Draw
from corpuscle.benchmarks.annotation.metrics import judge, ontology_distance
from corpuscle.benchmarks.annotation.refinements import Refined

__all__ = ["Problem", "attempt", "problem_of"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Problem:
    """Scores and graph that all refinements of a data set, source and seed share.

    Attributes
    ----------
    draw
        The cells.
    judged_n
        (n,) positions of the judged cells among those drawn.
    scored
        Their scores, and which type each column stands for.
    """

    draw: Draw
    judged_n: Array
    scored: sources.Scored

    @property
    def truth_n(self) -> Array:
        """(n,) true type of the judged cells."""
        return self.draw.code_n[self.judged_n]


def problem_of(draw: Draw, source: Any, seed: int) -> Problem | Attempt:
    """Score the cells of a draw, and build their graph."""
    stage, cost = "scores", Cost()
    try:
        # One thread, for sums in the same order whatever the number of cores.
        with threadpool_limits(1, user_api="blas"), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with cost:
                given = draw if source.needs_labels else sources.blind(draw)
                scored = sources.checked(source(given, seed), draw, source.name)
            scored = replace(scored, notes=(*scored.notes, *_said(caught)))
            stage = "graph"
            judged_n = np.arange(draw.n_cells) if scored.judged_n is None else np.asarray(scored.judged_n)
            draw.graph(judged_n)
            return Problem(draw, judged_n, scored)
    except (Exception, SystemExit) as error:  # a source is anybody's code: what it raises is its failure
        return Attempt(None, stage, reason_of(error), cost.seconds, cost.peak_mib)


def attempt(problem: Problem, method: Any, seed: int) -> Attempt:
    """Refine and judge."""
    stage, cost = "refinement", Cost()
    scores, graph = problem.scored.scores, problem.draw.graph(problem.judged_n)
    try:
        with threadpool_limits(1, user_api="blas"), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with cost:
                found = method(scores.values_nk.copy(), graph, scores.types, seed)
            refined = refinements.checked(found, scores.values_nk.shape, method.name)
            stage = "judgement"
            return Attempt(_outcome(problem, refined, cost, _said(caught)))
    except (Exception, SystemExit) as error:
        return Attempt(None, stage, reason_of(error), cost.seconds, cost.peak_mib)


def _said(caught: list[warnings.WarningMessage]) -> list[str]:
    """What our own code warned of, each once."""
    return list(dict.fromkeys(str(one.message) for one in caught if one.category is UserWarning))


def _outcome(problem: Problem, refined: Refined, cost: Cost, said: list[str]) -> dict[str, Any]:
    from corpuscle.annotate.diagnose import compare

    scores, types = problem.scored.scores, problem.draw.cells.types
    code_k, raw_n, truth_n = np.asarray(problem.scored.code_k), scores.best_n(), problem.truth_n
    distance_n = ontology_distance(refined.best_n, _column_ids(problem), truth_n, problem.draw.cells.cl_ids)
    judged = judge(code_k[refined.best_n], code_k[raw_n], truth_n, refined.confidence_n, types, distance_n)
    changes = compare(raw_n, refined.best_n, scores.types)
    return {
        "numbers": judged.numbers | {"changed": changes.share, "n_erased": len(changes.erased)},
        "reason": "; ".join(f"{metric}: {why}" for metric, why in judged.reasons.items()),
        "erased": ", ".join(changes.erased),
        "types": pack_frame(judged.types),
        "bins": pack_frame(judged.bins),
        "words": list(dict.fromkeys([*refined.words, *said])),
        "score_words": list(problem.scored.notes),
        "n": int(truth_n.size),
        "n_types": int(np.unique(truth_n).size),
        "n_candidates": scores.n_types,
        "seconds": cost.seconds,
        "peak_mib": cost.peak_mib,
    }


def _column_ids(problem: Problem) -> list[str | None]:
    """Cell Ontology id of each column: that of the candidate it stands for, else its own."""
    own, of_types = problem.scored.scores.cl_ids, problem.draw.cells.cl_ids
    return [of_types[code] if code >= 0 else cl_id for code, cl_id in zip(problem.scored.code_k, own, strict=True)]
