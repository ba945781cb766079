"""The group of commands that build corpora, and the options that several of them share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from corpuscle.cli._app import app

__all__ = ["Force", "Json", "Layer", "OutFile", "Scheduler", "Sources", "corpus"]

corpus = typer.Typer(name="corpus", help="Raw counts to data sets that a model trains on.", no_args_is_help=True)
app.add_typer(corpus)

Sources = Annotated[list[str], typer.Argument(metavar="SOURCE...", help="Files, folders or quoted globs.")]
Layer = Annotated[str | None, typer.Option("--layer", help="Layer with the raw counts ('raw' for .raw).")]
Scheduler = Annotated[
    str | None, typer.Option("--scheduler", metavar="ADDRESS", help="Dask scheduler, such as tcp://host:8786.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace the output if it is there.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")]
OutFile = Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="The file to write.", show_default=False)]
