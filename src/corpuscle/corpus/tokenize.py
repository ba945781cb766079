"""Raw counts to a data set of tokens that a model trains on."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from corpuscle.corpus._build import Build, refuse_nothing
from corpuscle.corpus._building import Building, explained
from corpuscle.corpus._corpus_plan import Choices, plan_corpus, resolve
from corpuscle.corpus._depth import DepthChoice
from corpuscle.corpus._units import UNIT_CELLS, SourceSpec, list_sources
from corpuscle.corpus.attributes import check_attributes
from corpuscle.corpus.vocabulary import RankVocabulary
from corpuscle.counts._workers import workers
from corpuscle.errors import OptionError, OutputError

__all__ = ["Corpus", "tokenize"]

Progress = Callable[[int, int, str], None]
Record = dict[str, Any]


@dataclass(frozen=True)
class Corpus:
    """A finished data set.

    Attributes
    ----------
    folder
        Where it is; ``datasets.load_from_disk`` opens it.
    rows, tokens, truncated
        Cells, tokens over all cells, and cells that were cut at the longest length.
    manifest
        What ``manifest.json`` holds.
    """

    folder: Path
    rows: int
    tokens: int
    truncated: int
    manifest: Record = field(repr=False)


def tokenize(
    source: Any,
    out: str | os.PathLike[str],
    *,
    preset: str | None = None,
    medians: str | os.PathLike[str] | None = None,
    vocab: str | os.PathLike[str] | None = None,
    vocabulary: RankVocabulary | None = None,
    max_len: int | None = None,
    special_token: bool | None = None,
    attrs: Mapping[str, str] | Sequence[str] | None = None,
    keep_counts: bool = False,
    filter: str | None = None,
    filter_missing: Literal["error", "keep"] = "error",
    qc: str | os.PathLike[str] | None = None,
    layer: str | None = None,
    gene_column: str | None = None,
    aliases: Mapping[str, str] | str | os.PathLike[str] | None = None,
    symbols: Literal["auto", "always", "never"] = "auto",
    orthologs: bool = False,
    min_match: float = 0.5,
    depth: DepthChoice = "auto",
    allow_fractional: bool = False,
    order: Literal["input", "shuffled", "bucketed"] = "input",
    seed: int = 0,
    parquet: bool = False,
    pretrainer_files: bool = False,
    shard_cells: int = UNIT_CELLS,
    token_dtype: Literal["int16", "int32", "int64"] = "int32",
    scheduler: Any = None,
    overwrite: bool = False,
    restart: bool = False,
    progress: Progress | None = None,
) -> Corpus:
    """Encode raw counts as rank-value tokens [1]_, in a data set that ``datasets.load_from_disk`` opens.

    Memory does not depend on the number of cells, and bytes not on the number of threads or workers. A build that was
    stopped, by whatever, goes on where it was when the same call is made again, and ends with the same bytes; until
    it is complete, nothing is there under the name ``out``.

    Parameters
    ----------
    source
        A path, a glob, an AnnData, or a list of them, in the order that the rows shall have.
    out
        The folder to make.
    preset, medians, vocab
        ``"geneformer-v1"``, which is also meant where none of the three is given, or ``"geneformer-v2"``, which needs
        the medians published with it; or a vocabulary of the user's own. See
        :func:`~corpuscle.corpus.presets.resolve_vocabulary`.
    vocabulary
        Tokens and medians as an object, instead of the three above.
    max_len, special_token
        Most tokens of a cell, and whether ``<cls>`` and ``<eos>`` frame it; as in the preset by default.
    attrs
        Columns of ``obs`` to keep, as a list or as input name -> name in the data set. ``obs_names`` are the cell names.
    keep_counts
        Keep a column ``counts``: counts per 10,000 of the gene of each token, 0 at special tokens.
    filter
        Column of ``obs`` that says which cells to keep: true or false, 1 or 0, or these as text.
    filter_missing
        ``"error"``, or ``"keep"`` all cells of a source that has no such column.
    qc
        Folder of a quality control of these sources; only cells that pass are kept.
    layer
        Matrix with the raw counts, instead of the main one.
    gene_column, aliases, symbols, orthologs
        How genes are matched: column of ``var`` with identifiers; other names of genes, as a file or name -> gene;
        whether names are gene symbols; whether mouse genes stand for their human orthologs.
    min_match
        Least share of the counts of a sample that must lie in genes of the vocabulary.
    depth
        Total that ``counts`` are relative to: column ``n_counts`` where there is one (``"auto"``), always (and then it is
        checked even without ``keep_counts``), or the ``"computed"`` sum. No token depends on it.
    allow_fractional
        Accept values that are not whole numbers.
    order
        Rows as in the ``"input"``, ``"shuffled"``, or ``"bucketed"``: shuffled, then sorted by length, longest first,
        within windows of 16,384 rows.
    seed
        Of the shuffle.
    parquet
        Write each shard as Parquet too.
    pretrainer_files
        Write ``lengths.pkl`` and ``token_dictionary.pkl``, which Geneformer's own pretrainer asks for. The first needs
        some 40 bytes of memory a cell.
    shard_cells
        Cells of the sources that make one shard.
    token_dtype
        Integer type of the tokens.
    scheduler
        Address of a Dask scheduler or a ``dask.distributed.Client``; this machine by default.
    overwrite
        Replace a data set that is there, at the very end.
    restart
        Throw away what a stopped build has left.
    progress
        Called with (done, total, what is done).

    Returns
    -------
    Corpus
        The folder and its manifest.

    Raises
    ------
    OptionError
        An option makes no sense, or a column is missing.
    SourceError, NotCountsError
        A source cannot be read, is not raw counts, or changed meanwhile. Finished shards are kept for the next run.
    GeneError
        The genes do not match the vocabulary, or no cell is left.
    OutputError
        ``out`` is there, cannot be written, is being built by another process, or a build with other options was
        stopped there.

    References
    ----------
    .. [1] Theodoris et al. Transfer learning enables predictions in network biology. Nature 618 (2023).

    Examples
    --------
    >>> tokenize("study/*.h5ad", "study.dataset", attrs=["cell_type"])  # doctest: +SKIP
    Corpus(folder=PosixPath('study.dataset'), rows=120345, tokens=158123456, truncated=8123)
    """
    files = [one for one in (preset, medians, vocab) if one is not None]
    if vocabulary is None and not files:
        preset = "geneformer-v1"
    choices = Choices(
        preset=preset, medians=_text(medians), vocab=_text(vocab), max_len=max_len,
        special_token=special_token, attrs=check_attributes(attrs), keep_counts=keep_counts, filter=filter,
        filter_missing=filter_missing, qc=_text(qc), layer=layer, gene_column=gene_column, symbols=symbols,
        orthologs=orthologs, min_match=min_match, depth=depth, allow_fractional=allow_fractional, order=order, seed=seed,
        parquet=parquet, pretrainer_files=pretrainer_files, shard_cells=shard_cells, token_dtype=token_dtype,
    )  # fmt: skip
    if vocabulary is not None and files:
        raise OptionError("give a vocabulary, or a preset and files of one, not both")
    target = Path(out).expanduser().absolute()
    vocabulary, known = resolve(choices, vocabulary, aliases if isinstance(aliases, Mapping) else _text(aliases))
    specs = list_sources(source, layer, fractional=allow_fractional)
    _check_places(specs, target, scheduler)
    in_memory = any(spec.adata is not None for spec in specs)  # nothing tells whether such a source is still the same
    starting = Building(target, overwrite=overwrite, restart=restart or in_memory)
    with explained(target), starting as building, workers(scheduler) as crew:
        plan = plan_corpus(specs, choices, vocabulary, known, progress and partial(_step, progress, "sources"))
        refuse_nothing(plan, None)
        building.start(plan.record())
        build = Build(building, crew, plan, choices, vocabulary, progress)
        return _corpus(Path(out), build.run())


def _corpus(folder: Path, manifest: Record) -> Corpus:
    return Corpus(folder, manifest["rows"], manifest["tokens"], manifest["truncated"], manifest)


def _step(progress: Progress, what: str, done: int, total: int) -> None:
    progress(done, total, what)


def _text(path: str | os.PathLike[str] | None) -> str | None:
    return None if path is None else os.fspath(path)


def _check_places(specs: Sequence[SourceSpec], target: Path, scheduler: Any) -> None:
    """Refuse what could not work or would destroy a source."""
    for spec in specs:
        if spec.adata is not None and scheduler is not None:
            raise OptionError("an AnnData in memory cannot be sent to a cluster; write it to a file and give its path")
        if spec.adata is None and target in (spec.path.absolute(), *spec.path.absolute().parents):
            raise OutputError(f"{target}: is or holds the source {spec.name}; give another name for the data set")
