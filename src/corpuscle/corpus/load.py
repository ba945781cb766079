"""A data set as ``datasets`` sees it, after a look at whether it is the right one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from corpuscle.corpus.verify import verify
from corpuscle.corpus.vocabulary import RankVocabulary
from corpuscle.errors import SourceError

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["load"]


def load(
    folder: str | Path,
    *,
    vocabulary: RankVocabulary | str | Path | None = None,
    medians: str | Path | None = None,
) -> Dataset:
    """Open a data set with ``datasets.load_from_disk``, if its manifest, sizes and vocabulary are right.

    The shards are mapped, not read; :func:`~corpuscle.corpus.verify.verify` reads them.

    Parameters
    ----------
    folder
        What :func:`~corpuscle.corpus.tokenize.tokenize` wrote.
    vocabulary
        The one that the model expects: a vocabulary, the name of a preset, or a vocabulary file. None for any.
    medians
        File with the medians of that preset or vocabulary file, where it has none of its own.

    Returns
    -------
    datasets.Dataset
        One row a cell: ``input_ids``, the attributes that were kept, ``length``.

    Raises
    ------
    SourceError
        It is not whole, or its tokens are of another vocabulary.
    OptionError
        The vocabulary asked for cannot be had.
    """
    report = verify(folder, vocabulary=vocabulary, medians=medians, quick=True)
    if not report.ok:
        others = len(report.problems) - 1
        more = f" ({others} more: corpuscle corpus verify {folder})" if others else ""
        raise SourceError(f"{report.lines(1)[0]}{more}")
    from datasets import load_from_disk

    try:
        return load_from_disk(str(folder))
    except (OSError, ValueError, TypeError, KeyError) as error:
        said = " ".join(str(error).split())[:200]
        raise SourceError(f"{folder}: datasets cannot open it ({said}); run corpuscle corpus verify {folder}") from None
