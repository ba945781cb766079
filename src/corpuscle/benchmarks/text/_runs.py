"""A run of the grid: what its outcome depends on, and what the tables call it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from corpuscle._versions import installed
from corpuscle.benchmarks._engines import engine_versions
from corpuscle.benchmarks._labelled import DataSet
from corpuscle.benchmarks._parts import Key
from corpuscle.benchmarks.text._draws import Plan
from corpuscle.benchmarks.text._entrants import Entrant
from corpuscle.benchmarks.text.tables import NAME

__all__ = ["Run", "versions"]

#: Packages that can change a number here, beside those of every benchmark.
MORE_ENGINES = ("sentence-transformers", "transformers", "tokenizers", "datasets", "zarr")


@cache
def versions() -> dict[str, str]:
    """Package -> version, of those installed whose version can change a number."""
    return engine_versions() | installed(MORE_ENGINES)


@dataclass(frozen=True)
class Run:
    """A method on a draw.

    Attributes
    ----------
    data, others
        The data set that is judged, and those that it may be judged after.
    plan
        The draw.
    entrant
        The method.
    organs
        Organs whose marker tables are read.
    """

    data: DataSet
    others: tuple[DataSet, ...]
    plan: Plan
    entrant: Entrant
    organs: tuple[str, ...]

    @property
    def key(self) -> Key:
        """Everything that its outcome depends on."""
        plan, one = self.plan, self.entrant
        others = [[other.name, other.described] for other in self.others] if plan.setup == "other_study" else []
        what = {
            "benchmark": NAME, "data": self.data.described, "others": others, "setup": plan.setup, "seed": plan.seed,
            "fold": plan.fold, "organs": list(self.organs), "method": one.name, "vectors": one.vectors,
            "told": one.made.told, "params": dict(one.params), "code": one.code, "versions": versions(),
        }  # fmt: skip
        return Key((self.data.name, plan.setup, one.name, f"seed{plan.seed}", f"fold{plan.fold}"), what)

    @property
    def names(self) -> dict[str, Any]:
        """What the tables call it."""
        one, plan = self.entrant, self.plan
        about = {"dataset": self.data.name, "method": one.name, "told": one.made.told, "sha256": self.data.sha256}
        return about | {"seed": plan.seed, "fold": plan.fold}
