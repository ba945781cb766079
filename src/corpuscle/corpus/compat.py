"""Geneformer's tokenizer by name and arguments, on Corpuscle's encoder: users change one import."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from corpuscle.corpus._gene_columns import INDEX
from corpuscle.corpus._units import SourceSpec, list_sources, opened
from corpuscle.corpus.gene_plan import GeneOptions, plan_genes
from corpuscle.corpus.presets import resolve_vocabulary
from corpuscle.errors import GeneError, OptionError, OutputError, SourceError

if TYPE_CHECKING:
    import os

    from corpuscle.corpus.tokenize import Corpus

__all__ = ["TranscriptomeTokenizer"]

Format = Literal["loom", "h5ad", "zarr"]
FORMATS = ("loom", "h5ad", "zarr")
VERSIONS = {"V1": "geneformer-v1", "V2": "geneformer-v2"}
ID_COLUMN = "ensembl_id"
FILTER_COLUMN = "filter_pass"
#: Files without which a folder of that name is no data set, and so is not replaced.
DATASET_FILES = ("dataset_info.json", "state.json")


class TranscriptomeTokenizer:
    """The tokenizer of Geneformer [1]_ with its constructor and ``tokenize_data``, and the same tokens.

    Parameters
    ----------
    custom_attr_name_dict
        ``obs`` column -> column of the data set.
    nproc, chunk_size
        Taken and not used: all processors work, and memory does not depend on the number of cells.
    model_input_size
        Tokens a cell may have, special ones included; 2,048 for ``"V1"``, whatever is given.
    special_token
        Frame each cell as ``<cls>`` ... ``<eos>``; never for ``"V1"``.
    collapse_gene_ids
        Map ids by ``gene_mapping_file`` and add up the columns of one gene. If not, ids are not mapped and two columns of one
        gene are an error.
    use_h5ad_index
        Take gene ids from the names of the genes and not from the ``ensembl_id`` column.
    keep_counts
        Keep a column ``counts``: counts per 10,000 of the cell's ``n_counts``, in the order of the tokens, 0 at special ones.
    model_version
        ``"V1"`` (30 million cells; its dictionaries come with Corpuscle, those given are not used) or ``"V2"``.
    gene_median_file, token_dictionary_file, gene_mapping_file
        Dictionaries: the original pickles, read without running anything in them, or TSV or JSON files. ``"V2"`` needs the
        median file from the user.

    Raises
    ------
    OptionError
        An unknown ``model_version``, no median file for ``"V2"``, or special tokens that the dictionary does not have.
    SourceError
        A dictionary cannot be read, or holds something other than a plain dictionary.

    Notes
    -----
    Where the original differs, on purpose:

    - Files are taken in the order of their names; the original takes the order of the file system.
    - ``n_counts`` may be missing, as it does not change tokens; the sum of the counts stands in for it in ``counts``.
    - Counts that are negative, missing or fractional, a wrong ``n_counts`` where it is used, a file whose genes do not match the
      vocabulary, and a custom attribute called ``input_ids``, ``length`` or ``counts`` are errors.
    - Columns with the same id, also by letter case or version suffix, are added up; the original emits the gene twice.
    - Zeros stored in a sparse matrix are not emitted; genes of equal rank come in the order of their tokens.
    - Cells without a gene of the vocabulary are left out and counted, with or without custom attributes.
    - ``filter_pass`` may be 0/1, true/false, or the same as text; each file that has the column is filtered by it. A value that
      is missing or says neither is an error.
    - A dot in the prefix stays: ``v1.2`` becomes ``v1.2.dataset``. An earlier data set of that name is replaced, but only
      once the new one is complete; anything else of that name is not touched.
    - ``manifest.json``, ``vocab.tsv`` and ``lengths.npy`` lie beside the Arrow files.
    - ``tokenize_files``, ``create_dataset`` and the like, which hold all cells in memory, are not there.

    References
    ----------
    .. [1] Theodoris et al. (2023). Transfer learning enables predictions in network biology. Nature 618, 616-624.

    Examples
    --------
    >>> from corpuscle.corpus import TranscriptomeTokenizer
    >>> tk = TranscriptomeTokenizer({"cell_type": "cell_type", "organ_major": "organ"}, model_version="V1")
    >>> tk.tokenize_data("data_directory", "output_directory", "prefix", file_format="h5ad")  # doctest: +SKIP
    """

    def __init__(
        self,
        custom_attr_name_dict: Mapping[str, str] | None = None,
        nproc: int = 1,
        chunk_size: int = 512,
        model_input_size: int = 4096,
        special_token: bool = True,
        collapse_gene_ids: bool = True,
        use_h5ad_index: bool = False,
        keep_counts: bool = False,
        model_version: str = "V2",
        gene_median_file: str | os.PathLike[str] | None = None,
        token_dictionary_file: str | os.PathLike[str] | None = None,
        gene_mapping_file: str | os.PathLike[str] | None = None,
    ) -> None:
        if model_version not in VERSIONS:
            raise OptionError(f"model_version {model_version!r} is none of {', '.join(VERSIONS)}")
        self.custom_attr_name_dict = custom_attr_name_dict
        self.nproc = nproc
        self.chunk_size = chunk_size
        self.collapse_gene_ids = collapse_gene_ids
        self.use_h5ad_index = use_h5ad_index
        self.keep_counts = keep_counts
        self.model_version = model_version
        first = model_version == "V1"
        self.model_input_size = 2048 if first else model_input_size
        self.special_token = special_token and not first
        if first:
            self.vocabulary, aliases = resolve_vocabulary(VERSIONS["V1"])
        else:
            self.vocabulary, aliases = resolve_vocabulary(
                VERSIONS["V2"] if token_dictionary_file is None else None,
                medians=_path(gene_median_file),
                vocab=_path(token_dictionary_file),
                aliases=_path(gene_mapping_file),
                max_len=self.model_input_size,
                special_token=self.special_token,
            )
        self._aliases = aliases if collapse_gene_ids else {}

    @property
    def gene_token_dict(self) -> dict[str, int]:
        """Gene or special token -> token."""
        genes = zip(self.vocabulary.gene_ids, self.vocabulary.tokens_g.tolist(), strict=True)
        return {**self.vocabulary.specials, **dict(genes)}

    @property
    def gene_median_dict(self) -> dict[str, float]:
        """Gene -> non-zero median."""
        return dict(zip(self.vocabulary.gene_ids, self.vocabulary.medians_g.tolist(), strict=True))

    def tokenize_data(
        self,
        data_directory: str | os.PathLike[str],
        output_directory: str | os.PathLike[str],
        output_prefix: str,
        file_format: Format = "loom",
        input_identifier: str = "",
        use_generator: bool = False,
        *,
        restart: bool = False,
    ) -> Corpus:
        """Tokenize every ``*input_identifier*.file_format`` of a folder into one data set.

        Parameters
        ----------
        data_directory
            The folder; those inside it are not searched.
        output_directory, output_prefix
            The data set is ``output_directory/output_prefix.dataset``.
        file_format
            ``"loom"``, ``"h5ad"`` or ``"zarr"``.
        input_identifier
            What the names of the files must contain.
        use_generator
            Taken and not used: rows are always written as they are made.
        restart
            Throw away what a stopped run with other settings has left; the same run goes on from there. Not in the original.

        Returns
        -------
        Corpus
            What was written, and its manifest.

        Raises
        ------
        SourceError
            No file of that kind is there, or one cannot be read.
        NotCountsError, GeneError, OptionError
            A file does not hold raw counts, or no genes of the vocabulary, or lacks a column.
        OutputError
            The output cannot be written, or something else has its name.
        """
        from corpuscle.corpus.tokenize import tokenize

        if file_format not in FORMATS:
            raise OptionError(f"file_format {file_format!r} is none of {', '.join(FORMATS)}")
        files = _files(Path(data_directory), file_format, input_identifier)
        out = _output(Path(output_directory), output_prefix)
        specs = list_sources(files)
        column = self._gene_column(specs)
        if not self.collapse_gene_ids:
            for spec in specs:
                self._refuse_repeated(spec, column)
        return tokenize(
            files,
            out,
            vocabulary=self.vocabulary,
            aliases=self._aliases or None,
            attrs=dict(self.custom_attr_name_dict or {}) or None,
            keep_counts=self.keep_counts,
            filter=FILTER_COLUMN,
            filter_missing="keep",
            gene_column=column,
            symbols="never",
            token_dtype="int16" if self.model_version == "V1" else "int64",
            overwrite=True,
            restart=restart,
        )

    def _gene_column(self, specs: Sequence[SourceSpec]) -> str | None:
        """Column of ``var`` that holds the ids; None for one that the reader of loom files has put elsewhere."""
        if self.use_h5ad_index:
            return INDEX
        lacking = [spec for spec in specs if ID_COLUMN not in opened(spec).var]
        if not lacking:
            return ID_COLUMN
        if all(spec.name.endswith(".loom") for spec in lacking):
            return None
        counts = opened(lacking[0])
        have = ", ".join(map(str, counts.var.columns[:20])) or "none"
        raise OptionError(
            f"{counts.name}: there is no var column {ID_COLUMN!r}; add it, or set use_h5ad_index if the names of the genes are "
            f"Ensembl ids (it has: {have})"
        )

    def _refuse_repeated(self, spec: SourceSpec, column: str | None) -> None:
        """Two columns of one gene are an error where none may be added up."""
        counts = opened(spec)
        gene_ids = self.vocabulary.gene_ids
        options = GeneOptions(column=column, aliases=self._aliases, symbols="never")
        plan = plan_genes(counts.var, gene_ids, options, source=counts.name)
        if plan.collapses:
            slots, times = np.unique(plan.slot_f[plan.slot_f >= 0], return_counts=True)
            raise GeneError(
                f"{counts.name}: gene {gene_ids[slots[np.argmax(times > 1)]]} is in several columns; add them up "
                f"(collapse_gene_ids=True) or take all but one out"
            )


def _path(name: str | os.PathLike[str] | None) -> Path | None:
    return None if name is None else Path(name)


def _files(folder: Path, file_format: Format, identifier: str) -> list[str]:
    """The files to read, by name; hidden ones are not meant."""
    if not folder.is_dir():
        raise SourceError(f"{folder}: there is no such folder; check data_directory")
    pattern = f"*{identifier}*.{file_format}" if identifier else f"*.{file_format}"
    found = sorted(
        str(path) for path in folder.iterdir() if fnmatchcase(path.name, pattern) and not path.name.startswith(".")
    )
    if not found:
        raise SourceError(
            f"{folder}: no file matches {pattern}; check data_directory, file_format and input_identifier"
        )
    return found


def _output(folder: Path, prefix: str) -> Path:
    """The data set to write; refused where something else would be replaced."""
    if not prefix or Path(prefix).name != prefix:
        raise OptionError(f"output_prefix {prefix!r} is not a plain file name; give the folder as output_directory")
    out = folder / f"{prefix}.dataset"
    if out.exists() and not all((out / name).is_file() for name in DATASET_FILES):
        raise OutputError(f"{out}: is there and is no data set, so it is not replaced; choose another output_prefix")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made: {error.strerror}; choose another output_directory") from None
    return out
