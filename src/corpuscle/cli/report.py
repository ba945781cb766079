"""``corpuscle report``: look at a result again."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from corpuscle.cli._app import app, console, emit_json

__all__ = ["report", "summary_view"]

WIDTH_OF_FILES = 160


@app.command("report", epilog="Example: corpuscle report demo-report")
def report(
    directory: Annotated[Path, typer.Argument(help="Folder that a benchmark wrote.", metavar="DIR")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the leaderboard as JSON.")] = False,
) -> None:
    """Draw the page of a result anew and show its leaderboard."""
    from corpuscle.report import Result

    result = Result.load(directory)
    _have_presentation(result.benchmark)
    page = result.save_page(directory)
    if as_json:
        board = result.leaderboard()
        records = board.astype(object).where(board.notna(), None).to_dict("records")
        emit_json({"benchmark": result.benchmark, "page": str(page), "leaderboard": records})
        return
    from rich.console import Console

    # A pipe or a file has no width that a table would have to fit.
    stdout = Console() if sys.stdout.isatty() else Console(width=WIDTH_OF_FILES)
    stdout.print(summary_view(result))
    console.print(f"page: {page}", soft_wrap=True, highlight=False, markup=False)


def summary_view(result: Any) -> Any:
    """Draw the summary of a ``Result`` as a ``rich`` table."""
    from rich.table import Table
    from rich.text import Text

    view = Table(
        title=result.benchmark,
        title_justify="left",
        header_style="bold",
        box=None,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    summary = result.summary()
    for i, name in enumerate(summary):
        view.add_column(str(name).replace(" ", "\n"), justify="right" if i else "left", no_wrap=True, vertical="bottom")
    for row in summary.itertuples(index=False):
        view.add_row(*(Text(str(text)) for text in row))
    return view


def _have_presentation(benchmark: str) -> None:
    """Import the benchmark of that name, if it is one of ours: it registers its page and plots."""
    module = f"corpuscle.benchmarks.{benchmark}"
    if benchmark.isidentifier() and find_spec(module) is not None:
        import_module(module)
