"""One run: a method on a draw, asked every question and judged; whatever goes wrong is said, not raised."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from corpuscle.benchmarks._measure import Cost
from corpuscle.benchmarks._parts import pack_frame
from corpuscle.benchmarks._reason import reason_of
from corpuscle.benchmarks.text._draw import Draw
from corpuscle.benchmarks.text.methods import Scorer, TextMethod, checked_scorer, checked_scores
from corpuscle.benchmarks.text.metrics import judge, nearest_share

__all__ = ["Attempt", "attempt"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Attempt:
    """What came of a method on a draw, in plain values.

    Attributes
    ----------
    questions
        Task -> numbers, reasons, types (packed), n and n_asked.
    failed
        Task -> stage and reason, of the questions that got no answer.
    words
        What a reader should know.
    seconds, peak_mib
        Of learning and answering all questions.
    """

    questions: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    failed: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    seconds: float = float("nan")
    peak_mib: float = float("nan")


def attempt(draw: Draw, method: TextMethod, key: str | None, seed: int) -> Attempt:
    """Let a method learn from a draw, ask it every question, and judge its answers.

    Parameters
    ----------
    draw
        Training cells and questions.
    method
        What learns.
    key
        Of the vectors that it gets; None where it takes none.
    seed
        Of the method.
    """
    cost, scorer = Cost(), None
    scores: dict[str, Array] = {}
    failed: dict[str, tuple[str, str]] = {}
    with threadpool_limits(1, user_api="blas"), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with cost:
            try:
                scorer = checked_scorer(method(draw.shown, key, seed), method.name)
            except (Exception, SystemExit) as error:  # a method is anybody's code: what it raises is its failure
                failed = {one.task: ("training", reason_of(error)) for one in draw.questions}
            if scorer:
                scores, unscored = _scores(scorer, draw, method.name)
                failed |= unscored
        words = (*(scorer.notes if scorer else ()), *_said(caught))
        answers: dict[str, dict[str, Any]] = {}
        try:
            if scorer and scores:
                answers = _answers(scores, scorer, draw)
        except (Exception, SystemExit) as error:
            failed |= dict.fromkeys(scores, ("judgement", reason_of(error)))
    return Attempt(answers, failed, tuple(dict.fromkeys(map(str, words))), cost.seconds, cost.peak_mib)


def _scores(scorer: Scorer, draw: Draw, name: str) -> tuple[dict[str, Array], dict[str, tuple[str, str]]]:
    """Task -> (m, K) scores, without those of types that have no words; and the tasks that failed."""
    scores, failed = {}, {}
    for question in draw.questions:
        try:
            found = scorer.score(list(question.texts), list(draw.types))
            score_mk = checked_scores(found, (len(draw.test_types), len(draw.types)), name)
            scores[question.task] = np.where([text is None for text in question.texts], np.nan, score_mk)
        except (Exception, SystemExit) as error:
            failed[question.task] = ("scores", reason_of(error))
    return scores, failed


def _answers(scores: Mapping[str, Array], scorer: Scorer, draw: Draw) -> dict[str, dict[str, Any]]:
    """What the scores of each task are worth, in plain values."""
    nearest_m, out = None, {}
    if scorer.cells is not None:
        nearest_m = nearest_share(*scorer.cells, draw.shown.train_types, draw.test_types)
    for question in (one for one in draw.questions if one.task in scores):
        score_mk = scores[question.task]
        judged = judge(score_mk, draw.test_types, draw.types, question, draw.left_out, scorer.scale, nearest_m)
        out[question.task] = {
            "numbers": judged.numbers,
            "reasons": judged.reasons,
            "types": pack_frame(judged.types),
            "n": judged.n,
            "n_asked": sum(text is not None for text in question.texts),
        }
    return out


def _said(caught: list[warnings.WarningMessage]) -> list[str]:
    """What our own code or a user's warned of, and no library."""
    return [str(one.message) for one in caught if one.category is UserWarning and not _of_library(Path(one.filename))]


def _of_library(file: Path) -> bool:
    return "site-packages" in file.parts and "corpuscle" not in file.parts
