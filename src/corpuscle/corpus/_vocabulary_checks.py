"""Is a data set of the vocabulary that it says, and of the one that a model expects?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from corpuscle.corpus._folder_checks import Problem
from corpuscle.corpus._row_checks import RowRules
from corpuscle.corpus.manifest import MANIFEST
from corpuscle.corpus.presets import PRESETS, resolve_vocabulary
from corpuscle.corpus.vocabulary import RankVocabulary
from corpuscle.errors import CorpuscleError, OptionError

__all__ = ["named_vocabulary", "other_vocabulary", "own_vocabulary"]


def named_vocabulary(
    vocabulary: RankVocabulary | str | Path | None, medians: str | Path | None = None
) -> RankVocabulary | None:
    """Give the vocabulary itself, that of a preset, or that of a file.

    Raises
    ------
    OptionError, SourceError
        There is no such preset or file, it cannot be read, or its medians are missing.
    """
    if isinstance(vocabulary, RankVocabulary) or (vocabulary is None and medians is None):
        return vocabulary
    if _is_preset(vocabulary):
        return resolve_vocabulary(str(vocabulary), medians=medians)[0]
    if vocabulary is not None and not Path(vocabulary).exists():
        raise OptionError(f"{vocabulary}: neither a preset ({', '.join(PRESETS)}) nor a file; check the name")
    return resolve_vocabulary(vocab=vocabulary, medians=medians)[0]


def _is_preset(vocabulary: object) -> bool:
    return isinstance(vocabulary, str) and vocabulary in PRESETS


def own_vocabulary(folder: Path, manifest: Mapping[str, Any]) -> tuple[RankVocabulary | None, list[Problem]]:
    """Vocabulary in the data set, None if it cannot be read, and whether it is the one of the manifest."""
    told = manifest["vocabulary"]
    name = told["file"]
    try:
        own, _ = resolve_vocabulary(vocab=folder / name, max_len=told["max_len"], special_token=told["special_token"])
        RowRules.of(own)
    except CorpuscleError as error:
        said = str(error).replace(f"{folder / name}: ", "")
        return None, [Problem("vocabulary", name, said)]
    problems = []
    if own.sha256 != told["sha256"]:
        said = f"it is vocabulary {own.sha256[:12]}..., and the cells were encoded with {told['sha256'][:12]}..."
        problems.append(Problem("vocabulary", name, f"{said}; copy the data set again"))
    told_values = (told["size"], told["genes"], dict(told["specials"]))
    if told_values != (own.size, len(own.gene_ids), dict(own.specials)):
        problems.append(Problem("vocabulary", MANIFEST, f"size, genes or special tokens are not those of {name}"))
    return own, problems


def other_vocabulary(
    manifest: Mapping[str, Any],
    own: RankVocabulary | None,
    expected: RankVocabulary | None,
    asked: Any = None,
) -> Iterator[Problem]:
    """Whether the data set is of the vocabulary that a model expects, and if not, how it differs.

    Parameters
    ----------
    own
        Vocabulary of the data set, if it could be read.
    expected
        What the model expects; None for anything.
    asked
        How it was asked for: frame and length are compared for a preset or a vocabulary object, which have their own.
    """
    told = manifest["vocabulary"]
    name = told["file"]
    if expected is None:
        return
    if expected.sha256 != told["sha256"]:
        yield Problem("vocabulary", name, _how_other(told, own, expected))
    if not isinstance(asked, RankVocabulary) and not _is_preset(asked):
        return
    if told["special_token"] != expected.special_token:
        how = "are" if told["special_token"] else "are not"
        said = f"cells {how} framed by <cls> and <eos>, and {expected.name} expects the contrary"
        yield Problem("frame", MANIFEST, f"{said}; tokenize again")
    if told["max_len"] > expected.max_len:
        said = f"cells have up to {told['max_len']:,} tokens, and {expected.name} takes {expected.max_len:,}"
        yield Problem("too-long", MANIFEST, f"{said}; tokenize again with --max-len {expected.max_len}")


def _how_other(told: Mapping[str, Any], own: RankVocabulary | None, expected: RankVocabulary) -> str:
    said = (
        f"the cells were encoded with vocabulary {told['name']} ({told['genes']:,} genes, {told['sha256'][:12]}...), "
        f"not with {expected.name} ({len(expected.gene_ids):,} genes, {expected.sha256[:12]}...)"
    )
    if own is not None:
        mine, theirs = (dict(zip(one.gene_ids, one.tokens_g.tolist(), strict=True)) for one in (own, expected))
        if mine == theirs and dict(own.specials) == dict(expected.specials):
            medians = dict(zip(expected.gene_ids, expected.medians_g.tolist(), strict=True))
            other = sum(medians[gene] != m for gene, m in zip(own.gene_ids, own.medians_g.tolist(), strict=True))
            return f"{said}: the same tokens, but {other:,} medians differ, so genes rank otherwise; tokenize again"
        moved = sum(theirs.get(gene) != token for gene, token in mine.items())
        said += f": {moved:,} genes have another token or none there"
    return f"{said}; a model would read other genes: use the model of this vocabulary, or tokenize again"
