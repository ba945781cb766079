"""What came of one run: its outcome, or the stage that failed and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Attempt"]


@dataclass(frozen=True)
class Attempt:
    """An outcome in plain values, or the stage that failed and why.

    Attributes
    ----------
    outcome
        What is kept on disk; None where the run failed.
    stage, reason
        Of a failure.
    seconds, peak_mib
        What a failure cost; an outcome has its own.
    """

    outcome: dict[str, Any] | None = None
    stage: str = ""
    reason: str = ""
    seconds: float = float("nan")
    peak_mib: float = float("nan")
