"""The few exceptions a user can meet.

The message of each is one line that says what is wrong, where, and what to do. The command line prints
that line to stderr and leaves with exit code 2; nothing else of Corpuscle's is meant to reach a user.
"""

from __future__ import annotations

__all__ = [
    "CorpuscleError",
    "GeneError",
    "MethodError",
    "NotCountsError",
    "OptionError",
    "OutputError",
    "SourceError",
]


class CorpuscleError(Exception):
    """Base class of every error that a user can mend."""

    exit_code = 2


class SourceError(CorpuscleError):
    """A source cannot be read: missing, truncated, of an unknown format, or changed while it was read."""


class NotCountsError(CorpuscleError):
    """A matrix was asked to be raw counts and is not."""


class GeneError(CorpuscleError):
    """A gene that was asked for is missing or ambiguous."""


class OptionError(CorpuscleError):
    """An option, name or parameter is not one that exists or makes sense here."""


class MethodError(CorpuscleError):
    """A method could not run on this input, or what it returned cannot be used."""


class OutputError(CorpuscleError):
    """A result cannot be written: disk full, no permission, or already there."""
