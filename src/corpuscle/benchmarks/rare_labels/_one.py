"""One run: an arm on a draw, judged at every amount; whatever goes wrong is said, not raised."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from corpuscle.benchmarks._attempt import Attempt
from corpuscle.benchmarks._measure import Cost
from corpuscle.benchmarks._reason import reason_of
from corpuscle.benchmarks.rare_labels._arms import Arm, Augmented, Given, checked_augmented
from corpuscle.benchmarks.rare_labels._data import Samples
from corpuscle.benchmarks.rare_labels._draw import Draw
from corpuscle.benchmarks.rare_labels.budget import Amount, n_synthetic, sample_weights
from corpuscle.benchmarks.rare_labels.fidelity import fidelity
from corpuscle.benchmarks.rare_labels.memorisation import memorisation, verdict
from corpuscle.benchmarks.rare_labels.options import Options, amount_word
from corpuscle.benchmarks.rare_labels.score import classifier, f1_of, scores, series_weights
from corpuscle.benchmarks.rare_labels.synthetic_only import train_test_crossed
from corpuscle.seeds import stream_seed

__all__ = ["Problem", "attempt", "problem_of"]

Array = np.ndarray[Any, Any]
#: Samples and permutations that the judges of fidelity look at.
N_JUDGED, PERMUTATIONS = 300, 99


@dataclass(frozen=True)
class Problem:
    """Features of a draw, fitted on its training samples, which all arms share."""

    x_nd: Array
    code_n: Array
    groups_n: Array
    test_md: Array
    test_code_m: Array
    weight_bm: Array
    target: int
    name: str
    seed: int
    rarity: int
    decode: Callable[[Array], Array]
    n_test_groups: int


def problem_of(samples: Samples, draw: Draw, options: Options) -> Problem | Attempt:
    """Fit features on the training samples, and apply them to the held-out ones."""
    from corpuscle.bulk import Features

    try:
        with threadpool_limits(1, user_api="blas"), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            features = Features(n_genes=options.genes, n_pcs=options.pcs, min_reads=samples.min_reads)
            features.fit(samples.counts.view(cells=draw.train_n))
            x_nd, test_md = (features.transform(samples.counts.view(cells=of)) for of in (draw.train_n, draw.test_m))
    except (Exception, SystemExit) as error:
        return Attempt(None, "features", reason_of(error))
    # One factor for all axes, so that the penalty of the classifier means the same on every data set.
    factor = np.float32(np.sqrt(np.mean(x_nd.astype(np.float64) ** 2)))
    name, code_m, groups_m = samples.names[draw.target], samples.code_n[draw.test_m], samples.groups_n[draw.test_m]
    weight_bm = series_weights(groups_m, code_m == draw.target, draw.seed, name)
    return Problem(
        x_nd / factor, samples.code_n[draw.train_n], samples.groups_n[draw.train_n], test_md / factor, code_m, weight_bm,
        draw.target, name, draw.seed, draw.rarity, _Decode(features, float(factor)), len(np.unique(groups_m)),
    )  # fmt: skip


@dataclass(frozen=True)
class _Decode:
    """Features to normalised values, not clipped, so that values below 0 are seen."""

    features: Any
    factor: float

    def __call__(self, x_nd: Array) -> Array:
        of = self.features
        return np.asarray(((x_nd * self.factor) @ of.components_dg_ + of.centre_g_) * of.sd_g_ + of.mean_g_)


def attempt(problem: Problem, arm: Arm, amounts: Sequence[Amount], *, judged: bool) -> Attempt:
    """Let an arm make samples once, for the largest amount, and judge the first of them for every amount.

    ``judged`` asks for fidelity, copies and crossed training too.
    """
    stage, cost = "arm", Cost()
    wanted = {amount_word(amount): n_synthetic(amount, problem.code_n, problem.target) for amount in amounts}
    try:
        # One thread, for sums in the same order whatever the number of cores.
        with threadpool_limits(1, user_api="blas"), warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            given = _given(problem, max(wanted.values()))
            with cost:
                made = arm(given)
            stage = "judgement"
            made = checked_augmented(made, given, arm.name)
            rows = _rows(problem, made, wanted, arm.kind)
            more = _judged(problem, made) if judged and len(made.x_sd) else {}
        words = [*made.notes, *(str(one.message) for one in said if one.category is UserWarning)]
        return Attempt(
            {
                "rows": rows, "words": list(dict.fromkeys(words)), "n": len(problem.test_code_m),
                "n_train": len(problem.code_n), "n_target": int((problem.test_code_m == problem.target).sum()),
                "n_groups": problem.n_test_groups, "seconds": cost.seconds, "peak_mib": cost.peak_mib, **more,
            }
        )  # fmt: skip
    except (Exception, SystemExit) as error:  # an arm is anybody's code: what it raises is its failure
        return Attempt(None, stage, reason_of(error), cost.seconds, cost.peak_mib)


def _given(problem: Problem, n_wanted: int) -> Given:
    seed = stream_seed(problem.seed, "rare-labels", "arm", problem.name, str(problem.rarity))
    return Given(problem.x_nd, problem.code_n, problem.target, n_wanted, seed, problem.groups_n)


def _rows(problem: Problem, made: Augmented, wanted: dict[str, int], kind: str) -> list[dict[str, Any]]:
    """Scores at every amount; an arm that adds nothing has one row, of no amount."""
    sizes = wanted if kind == "synthetic" else {"": 0}
    rows: list[dict[str, Any]] = []
    once: dict[int, dict[str, Any]] = {}
    for word, n in sizes.items():
        n = min(n, len(made.x_sd))
        if n not in once:
            once[n] = _scored(problem, made, n)
        rows.append({"amount": word, "n_synthetic": n, **once[n]})
    return rows


def _scored(problem: Problem, made: Augmented, n: int) -> dict[str, Any]:
    code_s = made.code_s[:n]
    w_n, w_s = sample_weights(problem.code_n, code_s, problem.target, made.class_weight)
    x_nd = np.concatenate([problem.x_nd, made.x_sd[:n]])
    model = classifier(x_nd, np.concatenate([problem.code_n, code_s]), np.concatenate([w_n, w_s]))
    of = problem.test_md, problem.test_code_m, problem.target
    once = scores(model, *of, np.ones((1, len(problem.test_code_m))))
    again = scores(model, *of, problem.weight_bm)
    return {
        "numbers": {metric: float(value[0]) for metric, value in once.items()},
        "replicates": {metric: np.round(value, 5).tolist() for metric, value in again.items()},
    }


def _judged(problem: Problem, made: Augmented) -> dict[str, Any]:
    """Crossed training, fidelity, copies and collapse of what an arm made."""
    own_cd = problem.x_nd[problem.code_n == problem.target]
    held_md = problem.test_md[problem.test_code_m == problem.target]

    def fit(x_nd: Array, code_n: Array) -> Any:
        return classifier(x_nd, code_n, sample_weights(code_n, np.empty(0, dtype=int), problem.target)[0])

    def score(model: Any, x_nd: Array, code_n: Array) -> float:
        return f1_of(model, x_nd, code_n, problem.target)

    train, test = (problem.x_nd, problem.code_n), (problem.test_md, problem.test_code_m)
    crossed = train_test_crossed(fit, score, train, test, made.x_sd, problem.target)
    looks = fidelity(
        held_md, made.x_sd, own_cd, decode=problem.decode, seed=problem.seed, n_max=N_JUDGED, permutations=PERMUTATIONS
    )
    copies = memorisation(own_cd, made.x_sd, held_md, n_max=N_JUDGED)
    both = pd.concat([looks.assign(of="fidelity"), copies.assign(of="memorisation")], ignore_index=True)
    return {"crossed": crossed, "figures": both.to_dict("records"), "verdict": verdict(copies)}
