"""Any exception as one line for the table of failures."""

from __future__ import annotations

from corpuscle.errors import CorpuscleError

__all__ = ["reason_of"]


def reason_of(error: BaseException) -> str:
    """One line: the message alone where it is ours, and so already says what to do; else with the type."""
    line = " ".join(str(error).split()) or "no message"
    return line if isinstance(error, CorpuscleError) else f"{type(error).__name__}: {line}"
