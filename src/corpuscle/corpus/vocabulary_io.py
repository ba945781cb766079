"""Vocabularies, medians and aliases in files."""

from __future__ import annotations

import contextlib
import gzip
import lzma
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from corpuscle.corpus._dictionary_files import DictionaryFile, read_dictionary_file
from corpuscle.corpus.vocabulary import RankVocabulary
from corpuscle.errors import OptionError, OutputError, SourceError

__all__ = [
    "TokenTable",
    "aliases_of",
    "assemble",
    "medians_of",
    "read_aliases",
    "read_gene_medians",
    "read_tokens",
    "read_vocab",
    "write_vocab",
]

SPECIAL = re.compile(r"<[^<>\s]+>$")
ENSEMBL = re.compile(r"ENS[A-Z]*\d{10,11}(\.\d+)?(_PAR_Y)?$", re.IGNORECASE)
ID_HEADINGS = ("id", "ensembl_id", "gene_id")
MEDIAN_HEADINGS = ("nonzero_median", "median")
#: Lengths of Geneformer's two generations, for a vocabulary without and with a frame.
DEFAULT_MAX_LEN = {False: 2048, True: 4096}
MOST_TOKEN = np.iinfo(np.int32).max


@dataclass(frozen=True)
class TokenTable:
    """Tokens as a file gives them.

    Attributes
    ----------
    source
        The file, for messages.
    genes, specials
        Gene, special token (``<...>``) -> token.
    medians
        Gene -> non-zero median, or None where the file has no medians.
    """

    source: str
    genes: dict[str, int]
    specials: dict[str, int]
    medians: dict[str, float] | None


def read_tokens(path: str | Path) -> TokenTable:
    """Read a token dictionary: a table with the columns token, id and perhaps nonzero_median, JSON, or a pickle.

    Raises
    ------
    SourceError
        It cannot be read, is no such table, or a token or a median is not a number.
    """
    file = read_dictionary_file(path)
    if file.entries is not None:
        tokens = {name: _token(value, name, file.source) for name, value in file.entries.items()}
        return _token_table(file.source, tokens, None)
    token_at, id_at = file.place("token"), file.place(*ID_HEADINGS)
    if token_at is None or id_at is None:
        found = ", ".join(file.rows[0][:6])
        advice = "make a vocabulary of a medians file with: corpuscle corpus vocab"
        raise SourceError(f"{file.source}: a vocabulary needs the columns token and id; it has: {found}; {advice}")
    medians = _median_column(file, id_at)
    tokens = {}
    for row in file.rows[1:]:
        if row[id_at] in tokens:
            raise SourceError(f"{file.source}: gene {row[id_at]} is there twice; keep one of them")
        tokens[row[id_at]] = _token(row[token_at], row[id_at], file.source)
    return _token_table(file.source, tokens, medians)


def _token_table(source: str, tokens: dict[str, int], medians: dict[str, float] | None) -> TokenTable:
    specials = {name: token for name, token in tokens.items() if SPECIAL.match(name)}
    return TokenTable(
        source, {name: token for name, token in tokens.items() if name not in specials}, specials, medians
    )


def _token(value: object, name: str, source: str) -> int:
    if isinstance(value, str) and re.fullmatch(r"\d{1,10}", value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST_TOKEN:
        raise SourceError(
            f"{source}: {str(value)[:40]!r}, the token of {name}, is not a whole number from 0; give a token file"
        )
    return value


def _median_column(file: DictionaryFile, id_at: int) -> dict[str, float] | None:
    """Medians of the genes that have one; None if there is no such column."""
    at = file.place(*MEDIAN_HEADINGS)
    if at is None:
        return None
    medians: dict[str, float] = {}
    for row in file.rows[1:]:
        if SPECIAL.match(row[id_at]) or not row[at]:
            continue
        if row[id_at] in medians:
            raise SourceError(f"{file.source}: gene {row[id_at]} is there twice; keep one of them")
        medians[row[id_at]] = _median(row[at], row[id_at], file.source)
    return medians


def _median(value: object, name: str, source: str) -> float:
    try:
        median = np.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (ValueError, OverflowError):
        median = np.nan
    if not 0 < median < np.inf:
        raise SourceError(
            f"{source}: {str(value)[:40]!r}, the median of {name}, is not a positive number; leave the gene out"
        )
    return median


def read_gene_medians(path: str | Path) -> dict[str, float]:
    """Non-zero median of each gene, from a table with the columns id and nonzero_median, JSON or a pickle.

    The medians files of Corpuscle are such tables, and so are its vocabularies. Genes without a median are left out.

    Raises
    ------
    SourceError
        It cannot be read, is no such file, or a median is not a positive number.
    """
    return medians_of(read_dictionary_file(path))


def medians_of(file: DictionaryFile) -> dict[str, float]:
    """What :func:`read_gene_medians` returns, of a file that is read already."""
    if file.entries is not None:
        return {name: _median(value, name, file.source) for name, value in file.entries.items()}
    id_at = file.place(*ID_HEADINGS)
    medians = None if id_at is None else _median_column(file, id_at)
    if medians is None:
        found = ", ".join(file.rows[0][:6])
        raise SourceError(f"{file.source}: medians need the columns id and nonzero_median; it has: {found}")
    return medians


def assemble(
    name: str,
    tokens: TokenTable,
    medians: Mapping[str, float],
    *,
    medians_from: str,
    max_len: int | None = None,
    special_token: bool | None = None,
) -> RankVocabulary:
    """Join tokens with medians.

    Parameters
    ----------
    name
        What the vocabulary is called.
    tokens, medians
        Medians of other genes are ignored.
    medians_from
        Where the medians are from, for messages.
    max_len, special_token
        Default: a frame if there are ``<cls>`` and ``<eos>``; 4,096 tokens with a frame and 2,048 without.

    Raises
    ------
    OptionError
        A gene has no median, so that it could not be ranked, or the parts do not make a vocabulary.
    """
    genes = sorted(tokens.genes, key=tokens.genes.__getitem__)
    without = [gene for gene in genes if gene not in medians]
    if without:
        raise OptionError(
            f"{medians_from}: {len(without):,} of the {len(genes):,} genes of {tokens.source} have no median, such as "
            f"{without[0]}, and cannot be ranked; give the medians that belong to these tokens, or make a vocabulary of "
            f"these medians with: corpuscle corpus vocab"
        )
    framed = {"<cls>", "<eos>"} <= set(tokens.specials) if special_token is None else special_token
    return RankVocabulary(
        name=name,
        gene_ids=tuple(genes),
        tokens_g=np.array([tokens.genes[gene] for gene in genes], np.int32),
        medians_g=np.array([medians[gene] for gene in genes], np.float64),
        specials=dict(tokens.specials),
        max_len=DEFAULT_MAX_LEN[framed] if max_len is None else max_len,
        special_token=framed,
    )


def read_vocab(
    path: str | Path, *, name: str | None = None, max_len: int | None = None, special_token: bool | None = None
) -> RankVocabulary:
    """Read a vocabulary that has its medians with it, as :func:`write_vocab` writes it.

    Parameters
    ----------
    path
        Table with the columns token, id and nonzero_median; may be packed with gzip or xz.
    name
        What it is called; default: the name of the file.
    max_len, special_token
        See :func:`assemble`; the file does not hold these settings.

    Raises
    ------
    SourceError, OptionError
        It cannot be read, or is no complete vocabulary.
    """
    tokens = read_tokens(path)
    if tokens.medians is None:
        raise OptionError(f"{path}: has no column nonzero_median; give the file with the medians too (--medians)")
    return assemble(
        name or Path(path).name, tokens, tokens.medians, medians_from=str(path), max_len=max_len,
        special_token=special_token,
    )  # fmt: skip


def write_vocab(vocabulary: RankVocabulary, path: str | Path) -> None:
    """Write token, id and nonzero_median, sorted by token; packed if the name ends in ``.gz`` or ``.xz``.

    Reading it gives the very same numbers. The same vocabulary gives the same bytes.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    rows = [(token, special, "") for special, token in vocabulary.specials.items()]
    genes = zip(vocabulary.tokens_g.tolist(), vocabulary.gene_ids, vocabulary.medians_g.tolist(), strict=True)
    rows += [(token, gene, repr(median)) for token, gene, median in genes]
    text = "token\tid\tnonzero_median\n" + "".join(
        f"{token}\t{name}\t{median}\n" for token, name, median in sorted(rows)
    )
    path = Path(path)
    packers: dict[str, Callable[[bytes], bytes]] = {".gz": partial(gzip.compress, mtime=0), ".xz": lzma.compress}
    _replace(path, packers.get(path.suffix.lower(), bytes)(text.encode()))


def _replace(path: Path, data: bytes) -> None:
    """Write under another name first, so that the final name never holds half a file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise OutputError(f"cannot write {path}: {error.strerror}; free space or choose another place") from None


def read_aliases(path: str | Path) -> dict[str, str]:
    """Read other names of genes: a table of two columns (name, gene) with or without a heading, JSON, or a pickle.

    Raises
    ------
    SourceError
        It cannot be read, has other than two columns, or gives a name to two genes.
    """
    return aliases_of(read_dictionary_file(path))


def aliases_of(file: DictionaryFile) -> dict[str, str]:
    """What :func:`read_aliases` returns, of a file that is read already."""
    if file.entries is not None:
        pairs = list(file.entries.items())
        wrong = next((name for name, gene in pairs if not isinstance(gene, str)), None)
        if wrong is not None:
            raise SourceError(
                f"{file.source}: the alias {wrong} leads to no name of a gene; give a map of names to names"
            )
    else:
        if len(file.rows[0]) != 2:
            raise SourceError(f"{file.source}: aliases need two columns (name, gene); it has {len(file.rows[0])}")
        headed = not ENSEMBL.match(file.rows[0][1])
        pairs = [(name, gene) for name, gene in file.rows[headed:] if name and gene]
    aliases: dict[str, str] = {}
    for name, gene in pairs:
        other = aliases.setdefault(name, str(gene))
        if other != gene:
            raise SourceError(f"{file.source}: the alias {name} leads to both {other} and {gene}; keep one of them")
    if not aliases:
        raise SourceError(f"{file.source}: no alias in it; get the file again")
    return aliases
