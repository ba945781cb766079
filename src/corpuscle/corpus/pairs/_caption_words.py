"""Words of one ``obs`` column: what a caption says for each of its values."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from corpuscle.errors import OptionError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Describe", "words_of"]

#: What to say for a value, e.g. the definition of an ontology term; None or an absent key leaves the value as it is.
Describe = Mapping[str, str] | Callable[[str], str | None]

#: What a missing value looks like once somebody turned the column into text. "None" and "NA" are left alone: as a
#: treatment or a gene they are values.
_MISSING_WORDS = frozenset({"", "nan", "NaN", "<NA>"})


def words_of(
    obs: pd.DataFrame, name: str, describe: Describe | None
) -> tuple[np.ndarray[Any, np.dtype[np.int64]], list[str]]:
    """(n,) place of each cell's word in the list of words, -1 where it has none; and that list.

    Raises
    ------
    OptionError
        ``obs`` lacks the column, or has it twice.
    """
    import pandas as pd

    column = _column(obs, name)
    code_n, values = pd.factorize(column)
    said = [_spoken(value) for value in values]
    if describe is not None:
        tell = describe.get if isinstance(describe, Mapping) else describe
        said = [word if word is None else (_tidy(tell(word) or "") or word) for word in said]
    words = list(dict.fromkeys(word for word in said if word is not None))
    place = {word: at for at, word in enumerate(words)}
    # The last entry serves the cells whose code is -1 already.
    table = np.array([-1 if word is None else place[word] for word in said] + [-1], dtype=np.int64)
    return table[code_n], words


def _column(obs: pd.DataFrame, name: str) -> pd.Series[Any]:
    found = [at for at, column in enumerate(obs.columns.tolist()) if column == name]
    if len(found) > 1:
        raise OptionError(f"obs has {len(found)} columns called {name!r}; rename all but one")
    if not found:
        names = [str(column) for column in obs.columns]
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(names[:12]) or 'none'}"
        raise OptionError(f"obs has no column {name!r} for the captions; {hint}")
    return obs.iloc[:, found[0]]


def _spoken(value: Any) -> str | None:
    """Text of one value. A whole number reads the same whether a missing neighbour made its column float or not."""
    if isinstance(value, (float, np.floating)):
        whole = float(value).is_integer() and abs(float(value)) < 2**53
        word = str(int(value)) if whole else str(value)
    else:
        word = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    word = _tidy(word)
    return None if word in _MISSING_WORDS else word


def _tidy(text: str) -> str:
    return " ".join(text.split())
