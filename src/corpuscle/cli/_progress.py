"""A progress bar where people look, nothing where output is a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from corpuscle.cli._app import console

__all__ = ["steps"]


@contextmanager
def steps(title: str) -> Iterator[Callable[[int, int, str], None] | None]:
    """Yield a function of (done, total, what is being done), or None if stderr is not a terminal."""
    if not console.is_terminal:
        yield None
        return
    columns = (
        TextColumn("{task.fields[title]}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
        TextColumn("{task.description}", style="dim"),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None, title=title)

        def advance(done: int, total: int, text: str) -> None:
            bar.update(task, completed=done, total=total, description=text.replace("[", r"\["))

        yield advance
