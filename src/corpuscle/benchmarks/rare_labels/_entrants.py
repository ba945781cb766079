"""Which arms take part, in which part of the tables they stand, and the code that judges them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from corpuscle._versions import installed
from corpuscle.benchmarks._engines import engine_versions, source_digest
from corpuscle.benchmarks._entrant import Entrant
from corpuscle.benchmarks._method_words import split_methods
from corpuscle.benchmarks.rare_labels.arms import ALWAYS, CHEAP, LEARNED, NULLS, arm_entrants

__all__ = ["ROLES", "entrants", "judging_code", "role_of", "versions"]

#: Words for several arms at once.
SETS = {"cheap": CHEAP, "learned": LEARNED, "nulls": NULLS}
#: ``candidate`` is any arm that has to beat the cheap ones: learned, or brought by a user.
ROLES = ("reference", "cheap", "candidate", "null")
HERE = "corpuscle.benchmarks.rare_labels"
JUDGING = (
    *(f"{HERE}.{name}" for name in (
        "_data", "_decoded", "_draw", "_figures", "_knn", "_manifold", "_one", "_two_sample", "budget", "fidelity",
        "memorisation", "options", "score", "synthetic_only",
    )),
    "corpuscle.bulk._features", "corpuscle.bulk._gene_choice", "corpuscle.bulk._pca", "corpuscle.bulk.pseudobulk",
    "corpuscle.bulk.series",
)  # fmt: skip


def entrants(arms: Iterable[Any] | str | None) -> list[Entrant]:
    """Arms by word or as objects; ``cheap``, ``learned`` and ``nulls`` stand for several. None is all cheap ones.

    Raises
    ------
    OptionError
        An unknown word, an object that is no arm, or the same name twice.
    """
    if arms is None:
        return arm_entrants(None)
    listed = split_methods(arms) if isinstance(arms, str) else list(arms)
    words = [word for one in listed for word in (SETS.get(one, (one,)) if isinstance(one, str) else (one,))]
    return arm_entrants([word for i, word in enumerate(words) if not _again(words, i)])


def _again(words: list[Any], i: int) -> bool:
    """Whether a built-in arm was named before, as one of a set."""
    return isinstance(words[i], str) and words[i] in (*CHEAP, *LEARNED, *NULLS) and words[i] in words[:i]


def role_of(name: str) -> str:
    """One of :data:`ROLES`."""
    word = name.partition(":")[0]
    if word in ALWAYS:
        return "reference"
    return "cheap" if word in CHEAP else "null" if word in NULLS else "candidate"


def judging_code() -> str:
    """Digest of what turns samples of an arm into numbers."""
    return source_digest(JUDGING)


def versions() -> dict[str, str]:
    """Package -> version, of those that can change a number."""
    return engine_versions() | installed(("imbalanced-learn",))
