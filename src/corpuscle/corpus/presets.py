"""The vocabularies of published models, and how the options of a user become one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from types import MappingProxyType

from corpuscle.corpus._dictionary_files import DictionaryFile, read_dictionary_file
from corpuscle.corpus.vocabulary import RankVocabulary
from corpuscle.corpus.vocabulary_io import (
    TokenTable,
    aliases_of,
    assemble,
    medians_of,
    read_tokens,
)
from corpuscle.errors import OptionError

__all__ = ["PRESETS", "Preset", "resolve_vocabulary"]


@dataclass(frozen=True)
class Preset:
    """Tokens and settings of a published model.

    Attributes
    ----------
    name
        What a user calls it.
    tokens
        The bundled token table.
    max_len, special_token
        Tokens of the model's input, and whether ``<cls>`` and ``<eos>`` frame a cell.
    medians_file, medians_sha256
        The published medians where they are not bundled, and their SHA-256.
    aliases_file, aliases_sha256
        The same for the map of identifiers.
    """

    name: str
    tokens: str
    max_len: int
    special_token: bool
    medians_file: str | None = None
    medians_sha256: str | None = None
    aliases_file: str | None = None
    aliases_sha256: str | None = None


#: Geneformer's two generations (Theodoris et al., Nature 618, 616-624, 2023, and the V2 models of the same authors).
PRESETS: Mapping[str, Preset] = MappingProxyType({
    "geneformer-v1": Preset("geneformer-v1", "geneformer_v1.tsv.xz", 2048, False),
    "geneformer-v2": Preset(
        "geneformer-v2",
        "geneformer_v2_tokens.tsv.xz",
        4096,
        True,
        "gene_median_dictionary_gc104M.pkl",
        "a51c53f6a771d64508dfaf61529df70e394c53bd20856926117ae5d641a24bf5",
        "ensembl_mapping_dict_gc104M.pkl",
        "0819bcbd869cfa14279449b037eb9ed1d09a91310e77bd1a19d927465030e95c",
    ),
})  # fmt: skip


def resolve_vocabulary(
    preset: str | None = None,
    *,
    medians: str | Path | None = None,
    vocab: str | Path | None = None,
    aliases: str | Path | None = None,
    max_len: int | None = None,
    special_token: bool | None = None,
) -> tuple[RankVocabulary, dict[str, str]]:
    """The vocabulary and the aliases that these options mean.

    Parameters
    ----------
    preset
        ``"geneformer-v1"``, complete as it is, or ``"geneformer-v2"``, which needs the medians published with it.
    medians
        Non-zero medians. With a preset they take the place of its own; with ``vocab`` they are needed where that has
        none. Every gene of the vocabulary must have one; those of other genes are ignored.
    vocab
        Tokens of the user's own, instead of a preset; with one, they must be the tokens of the preset.
    aliases
        Other names of genes; see :func:`~corpuscle.corpus.vocabulary_io.read_aliases`.
    max_len, special_token
        Take the place of the preset's; for the user's own vocabulary the default is a frame if it has ``<cls>`` and
        ``<eos>``, and 4,096 tokens with a frame and 2,048 without.

    Returns
    -------
    vocabulary : RankVocabulary
    aliases : dict
        Other name -> gene; empty if no file was given.

    Raises
    ------
    OptionError
        The preset is unknown, the options do not go together or leave something out, or a pickle given with a preset
        is not the published one.
    SourceError
        A file cannot be read.
    """
    known = None if preset is None else _preset(preset)
    tokens = _tokens(known, vocab)
    if medians is None:
        median, where = _own_medians(known, tokens), tokens.source
    else:
        if known is None and tokens.medians is not None:
            raise OptionError(
                f"{vocab} has medians of its own; leave --medians out, or take its column nonzero_median out"
            )
        file = read_dictionary_file(medians)
        if known is not None:
            _check_published(file, known.name, known.medians_file, known.medians_sha256)
        median, where = medians_of(file), str(medians)
    if known is not None:
        max_len = known.max_len if max_len is None else max_len
        special_token = known.special_token if special_token is None else special_token
    made = assemble(
        _name(known, vocab, medians), tokens, median, medians_from=where, max_len=max_len, special_token=special_token
    )
    return made, _aliases(known, aliases)


def _preset(name: str) -> Preset:
    if name not in PRESETS:
        raise OptionError(f"there is no preset {name!r}; there are: {', '.join(PRESETS)}")
    return PRESETS[name]


def _tokens(preset: Preset | None, vocab: str | Path | None) -> TokenTable:
    if preset is None and vocab is None:
        raise OptionError(
            f"name a preset ({', '.join(PRESETS)}) or give a vocabulary; medians become one with: corpuscle corpus vocab"
        )
    bundled = None if preset is None else _bundled(preset)
    given = None if vocab is None else read_tokens(vocab)
    if bundled is None or preset is None:
        assert given is not None
        return given
    if given is not None and (given.genes, given.specials) != (bundled.genes, bundled.specials):
        ours, theirs = bundled.genes | bundled.specials, given.genes | given.specials
        name = next(name for name in [*ours, *theirs] if ours.get(name) != theirs.get(name))
        raise OptionError(
            f"{vocab}: not the tokens of {preset.name}: {name} is {theirs.get(name, 'not there')} and should be "
            f"{ours.get(name, 'not there')}; leave the preset out to use tokens of your own"
        )
    return bundled if given is None or given.medians is None else replace(bundled, medians=given.medians)


@cache
def _bundled(preset: Preset) -> TokenTable:
    with as_file(files("corpuscle.corpus") / "data" / preset.tokens) as path:
        return replace(read_tokens(path), source=preset.name)


def _own_medians(preset: Preset | None, tokens: TokenTable) -> Mapping[str, float]:
    if tokens.medians is not None:
        return tokens.medians
    if preset is not None:
        raise OptionError(
            f"{preset.name} needs the medians published with the model, which Corpuscle does not carry: give "
            f"{preset.medians_file} from the model's repository with --medians (and {preset.aliases_file} with --aliases)"
        )
    raise OptionError(f"{tokens.source}: has no column nonzero_median; give the file with the medians too (--medians)")


def _check_published(file: DictionaryFile, preset: str, published: str | None, sha256: str | None) -> None:
    """Refuse a pickle that is not the published one. Tables and JSON carry what the user decided on."""
    if sha256 is not None and file.pickle_sha256 not in (None, sha256):
        raise OptionError(
            f"{file.source}: not the file of {preset}: its SHA-256 is {file.pickle_sha256} and that of {published} is "
            f"{sha256}; fetch that one, or leave the preset out and give --vocab and --medians"
        )


def _aliases(preset: Preset | None, path: str | Path | None) -> dict[str, str]:
    if path is None:
        return {}
    file = read_dictionary_file(path)
    if preset is not None:
        _check_published(file, preset.name, preset.aliases_file, preset.aliases_sha256)
    return aliases_of(file)


def _name(preset: Preset | None, vocab: str | Path | None, medians: str | Path | None) -> str:
    """The preset or the file, with the medians' file where they are not those that belong to it."""
    name = preset.name if preset is not None else Path(str(vocab)).name
    return name if medians is None or (preset and preset.medians_file) else f"{name} with {Path(medians).name}"
