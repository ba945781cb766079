"""What a model has to say beside its result: one line each on stderr, and nothing of what libraries say."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from corpuscle.cli._app import console

__all__ = ["model_notes"]


@contextmanager
def model_notes() -> Iterator[None]:
    """Show warnings of our models as notes, each once, and drop all others."""
    from corpuscle.models._genes import InputWarning

    said: set[str] = set()

    def show(message: Warning | str, *_: object, **__: object) -> None:
        line = str(message)
        if line not in said:
            said.add(line)
            console.print(f"note: {line}", style="yellow", markup=False, highlight=False, soft_wrap=True)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", category=InputWarning)
        warnings.filterwarnings("always", message="SCE2TM: ")
        warnings.showwarning = show  # what leaving the block takes back
        yield
