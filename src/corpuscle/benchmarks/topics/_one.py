"""One fit: a method on a data set with a seed, then its numbers by every ranking; what goes wrong is said, not raised."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from corpuscle.benchmarks import _attempt
from corpuscle.benchmarks._measure import Cost
from corpuscle.benchmarks._parts import pack_frame, unpack_frame
from corpuscle.benchmarks._reason import reason_of
from corpuscle.benchmarks.topics.data import TopicCells
from corpuscle.benchmarks.topics.methods import SHUFFLED, Reading, checked_topics
from corpuscle.benchmarks.topics.options import Options
from corpuscle.benchmarks.topics.score import Reference, Scored, score_topics

__all__ = ["Attempt", "attempt", "pack_weights", "unpack_scored", "unpack_weights"]

Array = np.ndarray[Any, Any]
FRAMES = ("top", "topics", "types", "enriched")


@dataclass(frozen=True)
class Attempt(_attempt.Attempt):
    """An outcome in plain values, or the stage that failed and why.

    ``outcome`` holds ``seconds`` and ``peak_mib`` of the fit, and in ``readings`` by name the numbers, tables and
    weights.
    """

    @property
    def complete(self) -> bool:
        """Whether every number was computed, so that doing it again can add nothing."""
        return self.outcome is not None and not any(one["failures"] for one in self.outcome["readings"].values())


def attempt(
    cells: TopicCells, readings: Sequence[Reading], seed: int, reference: Reference, options: Options
) -> Attempt:
    """Fit the method of ``readings``, which is one and the same, and score each of them."""
    cost, stage, method = Cost(), "fit", readings[0].method
    try:
        with threadpool_limits(1, user_api="blas"):  # sums in the same order, whatever the number of cores
            with cost:
                found = method.fit(_copied(cells), n_topics=options.n_topics, seed=seed)
            topics = checked_topics(found, method.name, cells, options.n_topics)
            stage, scored = "score", {}
            for reading in readings:
                weight_kg = reading.weights(topics, seed)
                numbers = score_topics(
                    topics.cell_topic_nk, weight_kg, topics.genes, _asked(reference, reading), options, seed
                )
                scored[reading.name] = _packed(numbers) | {"weights": pack_weights(weight_kg)}
    except (Exception, SystemExit) as error:  # a method is anybody's code: what it raises is its failure
        return Attempt(None, stage, reason_of(error), cost.seconds, cost.peak_mib)
    return Attempt({"readings": scored, "seconds": cost.seconds, "peak_mib": cost.peak_mib})


def _asked(reference: Reference, reading: Reading) -> Reference:
    """What applies to a reading: cells keep their topics when genes are shuffled, so their numbers are no control."""
    if reading.ranking != SHUFFLED:
        return reference
    return replace(
        reference, labels_n=None, no_labels=f"only genes are shuffled; the cells are as in {reading.method.name}"
    )


def _copied(cells: TopicCells) -> TopicCells:
    """Arrays of its own: a method that changes its input spoils no other's."""
    arrays = {name: getattr(cells, name) for name in ("counts_ng", "log_ng", "batch_n", "view_ne")}
    copies: dict[str, Any] = {name: None if array is None else array.copy() for name, array in arrays.items()}
    return replace(cells, genes=list(cells.genes), **copies)


def _packed(scored: Scored) -> dict[str, Any]:
    plain = asdict(replace(scored, **{name: pd.DataFrame() for name in FRAMES}))
    return plain | {name: pack_frame(getattr(scored, name)) for name in FRAMES}


def unpack_scored(packed: Mapping[str, Any]) -> Scored:
    """Rebuild what was packed, NaN where a number is undefined."""
    numbers = {name: float("nan") if value is None else float(value) for name, value in packed["numbers"].items()}
    failures = [(str(stage), str(reason)) for stage, reason in packed["failures"]]
    frames = {name: unpack_frame(packed[name]) for name in FRAMES}
    return Scored(numbers, dict(packed["undefined"]), failures, **frames)


def pack_weights(weight_kg: Array) -> dict[str, Any]:
    """Topics x genes as compressed float32, for JSON."""
    raw = np.ascontiguousarray(weight_kg, "<f4").tobytes()
    return {"shape": list(weight_kg.shape), "zlib": base64.b64encode(zlib.compress(raw, 6)).decode()}


def unpack_weights(packed: Mapping[str, Any]) -> Array:
    """Topics x genes, float32."""
    raw = zlib.decompress(base64.b64decode(packed["zlib"]))
    return np.frombuffer(raw, "<f4").reshape(packed["shape"])
