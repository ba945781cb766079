"""A result of the text benchmark from made scores, judged and tabled as real ones are: no training, no data set."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from corpuscle.benchmarks._parts import pack_frame
from corpuscle.benchmarks.text._draw import Question
from corpuscle.benchmarks.text.metrics import judge
from corpuscle.benchmarks.text.tables import Tables
from corpuscle.report import Result

__all__ = ["METHODS", "TYPES", "made_result"]

TYPES = ("B cell", "monocyte", "natural killer cell", "platelet")
#: Method -> (what it was told, how well it knows seen types, and new ones). Below 0 it is sure of the wrong cells.
METHODS = {
    "celltext@pca": ("the captions", 2.0, -1.5),
    "logistic@pca": ("which type a text means", 2.5, None),
    "logistic_text@pca": ("the captions", 1.8, 0.8),
    "majority": ("how many cells each type has", None, None),
    "shuffled@pca": ("shuffled captions", 0.0, 0.0),
}
WORDING = "new_wording: {label}"


def made_result(
    *, names=("one", "two"), seeds=2, types=TYPES, methods=None, tasks=("new_cells", WORDING, "new_types"), failing=()
) -> Result:
    """Scores of 60 cells a type that are as good as :data:`METHODS` says; methods of ``failing`` fail everywhere."""
    tables, chosen = Tables(0), METHODS if methods is None else methods
    for s, name in enumerate(names):
        tables.add_input(
            SimpleNamespace(name=name, path=f"{name}.h5ad", sha256="0" * 64, notes=("a label was left out",))
        )
        for seed in range(seeds):
            for i, (method, known) in enumerate(chosen.items()):
                rng = np.random.default_rng([s, seed, i])
                for task in tasks:
                    _ask(tables, rng, name, seed, method, known, task, types, method in failing)
                if method in failing:
                    tables.fail(name, method, f"training, seed {seed}", "no luck")
            tables.note(name, "", "", seed, ["held_out_groups: no group column was named"])
    return tables.result(
        {"parameters": {"embeddings": ["pca"], "seed": 0, "seeds": list(range(seeds))}, "seconds": 3.0}
    )


def _ask(tables, rng, dataset, seed, method, known, task, types, fails) -> None:
    """All folds of one question: with new types, a half of them is left out in each."""
    told, seen, new = known
    halves = [types[0::2], types[1::2]] if task.endswith("new_types") else [()]
    truth = np.repeat(types, 60)[: 60 * len(types) - 20]
    for fold, left_out in enumerate(halves):
        quality_k = [(new if name in left_out else seen) for name in types]
        score_mk = rng.normal(size=(len(truth), len(types)))
        for k, quality in enumerate(quality_k):
            score_mk[:, k] = np.nan if quality is None and known[1] is not None else score_mk[:, k]
            score_mk[truth == types[k], k] += quality or 0.0
        if known[1] is None:
            score_mk[:] = np.linspace(1.0, 0.0, len(types))
        run = {"dataset": dataset, "method": method, "told": told, "seed": seed, "fold": fold, "sha256": "0" * 64}
        cost = {"seconds": 0.5, "peak_mib": 12.0}
        if fails:
            tables.add(run, task, None, reason="no luck", **cost)
            continue
        judged = judge(score_mk, truth, types, Question(task, types, left_out or types), left_out, 5.0)
        outcome = {"numbers": judged.numbers, "reasons": judged.reasons, "types": pack_frame(judged.types)}
        tables.add(run, task, outcome | {"n": judged.n, "n_asked": len(types)}, **cost, reason="")
