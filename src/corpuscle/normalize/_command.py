"""Run somebody's command: a time limit, no shell, nothing left running, and what it said when it failed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path

from corpuscle.errors import MethodError

__all__ = ["CommandError", "run_command"]

#: Lines of stderr quoted in a message, and bytes of it kept.
QUOTED_LINES = 20
KEPT_BYTES = 1 << 20


class CommandError(MethodError):
    """A command failed.

    Attributes
    ----------
    stderr
        The last megabyte of what it wrote to stderr.
    """

    def __init__(self, message: str, stderr: str = "") -> None:
        super().__init__(message)
        self.stderr = stderr


def run_command(name: str, args: list[str], *, timeout: float, log: Path) -> str:
    """Run ``args`` in the current folder and return what it wrote to stderr (its last megabyte).

    Parameters
    ----------
    name
        What messages call it.
    timeout
        Seconds after which the command and everything in its process group are killed.
    log
        File that takes its stderr; its stdout is dropped.

    Raises
    ------
    CommandError
        It cannot be started, takes too long, or exits with a code other than 0.
    """
    with log.open("wb") as stderr:
        try:
            process = subprocess.Popen(
                args, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr, start_new_session=True
            )
        except OSError as error:
            raise CommandError(f"{name}: cannot start {args[0]}: {error.strerror}; check the command") from None
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            said = _tail(log)
            raise CommandError(f"{name}: took longer than {timeout:g} s and was stopped{_quote(said)}", said) from None
        finally:
            _kill_group(process)
    said = _tail(log)
    if code:
        how = f"was killed by signal {-code}" if code < 0 else f"exited with code {code}"
        raise CommandError(f"{name}: the command {how}{_quote(said)}", said)
    return said


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the command, if it still runs, and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _tail(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - KEPT_BYTES))
        return file.read().decode(errors="replace")


def _quote(stderr: str) -> str:
    lines = [" ".join(line.split()) for line in stderr.splitlines() if line.strip()]
    return f"; the end of its stderr: {' | '.join(lines[-QUOTED_LINES:])}" if lines else "; it wrote nothing to stderr"
