"""The command line's frame: one app, one way to fail, one way to show progress."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from corpuscle import __version__
from corpuscle.errors import CorpuscleError, OutputError

__all__ = ["app", "console", "emit_json", "main", "output_folder"]

app = typer.Typer(
    name="corpuscle",
    help="Raw transcriptomes to model-ready corpora, and which methods to trust with them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
#: People read this (progress, notes, errors); stdout is for results.
console = Console(stderr=True)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"corpuscle {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """Take the options that come before a command; :func:`main` looks at --debug itself."""


def emit_json(value: Any) -> None:
    """Print ``value`` to stdout as one JSON document; a number that is not defined is null."""
    strict = json.loads(json.dumps(value, default=str), parse_constant=lambda _: None)
    sys.stdout.write(json.dumps(strict, indent=2) + "\n")


def output_folder(path: Path) -> None:
    """Make the folder, or refuse it before any work is done.

    Raises
    ------
    OutputError
        It cannot be made, or nothing can be written into it.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path):
            pass
    except OSError as error:
        raise OutputError(f"cannot write into {path}: {error.strerror}; choose another folder with -o") from None


def main(argv: list[str] | None = None) -> int:
    """Run the command line; a user's mistake is one line on stderr and exit code 2.

    Returns
    -------
    int
        0 done, 1 a fault of ours, 2 a user's mistake, 130 interrupted.
    """
    args = sys.argv[1:] if argv is None else argv
    debug = "--debug" in args
    args = [arg for arg in args if arg != "--debug"]
    try:
        code = app(args=args, standalone_mode=False)
    except Exception as error:
        if debug:
            raise
        return _explain(error)
    except KeyboardInterrupt:
        console.print("interrupted; nothing half-written was kept", style="yellow")
        return 130
    return code if isinstance(code, int) else 0


def _explain(error: Exception) -> int:
    if isinstance(error, OSError) and error.errno in {28, 13, 30}:  # disk full, no permission, read-only
        where = error.filename or "the output folder"
        error = OutputError(f"cannot write {where}: {error.strerror}; free space or choose another folder with -o")
    if isinstance(error, CorpuscleError):
        line = " ".join(str(error).split())
        sys.stderr.write(f"error: {line}\n")
        return error.exit_code
    shown = getattr(error, "format_message", None)  # click's usage errors
    if shown is not None:
        sys.stderr.write(f"error: {shown()}; see --help\n")
        return int(getattr(error, "exit_code", 2))
    sys.stderr.write(f"error: {type(error).__name__}: {error} (a fault in Corpuscle; --debug shows where)\n")
    return 1
