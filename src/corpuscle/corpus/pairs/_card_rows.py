"""The parts of the card about rows: what their columns mean, one of them, and code that reads them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from string import Template
from typing import Any

from corpuscle.corpus.pairs._archive_names import stored_name
from corpuscle.corpus.pairs._card_text import COLUMNS, KINDS, STORE
from corpuscle.corpus.pairs._card_words import code, code_literal, quoted
from corpuscle.corpus.pairs.manifest import ArchiveEntry, PairsManifest

__all__ = ["columns_rows", "example_json", "read_sample", "store_sample"]


def columns_rows(manifest: PairsManifest) -> str:
    """The meaning of the columns that there are."""
    return "\n".join(f"| {code(name)} | {_meaning(name, manifest)} |" for name in manifest.columns)


def _meaning(name: str, manifest: PairsManifest) -> str:
    if name in COLUMNS:
        return COLUMNS[name]
    sentence = re.fullmatch(r"cell_sentence_(\d+)", name)
    if sentence and sentence[1] == "1":
        return "name of the cell, for models that look its numbers up"
    if sentence:
        return f"gene sentence: the expressed genes from the highest down, at most {manifest.sentence_genes:,}"
    negative = re.fullmatch(r"negative_(\d+)(_idx|_id)?", name)
    kinds = manifest.negatives.kinds if manifest.negatives else ()
    if negative and kinds:
        kind = kinds[(int(negative[1]) - 1) % len(kinds)]
        what = KINDS.get(kind, f"is a negative of the kind {code(kind)}")
        return f"`sample_idx` of a cell; {what}" if negative[2] else f"text that {what}"
    return "as the source has it"


def example_json(row: Mapping[str, Any]) -> str:
    """One row, long texts cut."""
    lines = []
    for name, value in row.items():
        shown = value[:159] + "…" if isinstance(value, str) and len(value) > 160 else value
        text = quoted(shown) if isinstance(shown, str) else json.dumps(shown, default=str, ensure_ascii=False)
        lines.append(f"  {quoted(str(name))}: {text}".replace("$", "\\u0024"))
    return "{\n" + ",\n".join(lines) + "\n}"


def read_sample(archive: ArchiveEntry) -> str:
    """Code that opens an archive of the folder with AnnData alone."""
    file = code_literal(archive.file)
    key = next(iter(sorted(archive.obsm)), None)
    show = (
        f"\nprint(cells.shape, cells.obsm[{code_literal(stored_name(key))}].shape)" if key else "\nprint(cells.shape)"
    )
    if archive.format == "h5ad":
        return f"from anndata import read_h5ad\n\ncells = read_h5ad({file}){show}"
    if archive.format == "zarr":
        return f"from anndata import read_zarr\n\ncells = read_zarr({file}){show}"
    start = "from anndata import read_zarr\nfrom zarr.storage import ZipStore\n\n"
    return f'{start}cells = read_zarr(ZipStore({file}, mode="r")){show}'


def store_sample(archive: ArchiveEntry, split: str) -> str:
    """Words and code for our own loader; nothing where there is no embedding to load."""
    key = next(iter(sorted(archive.obsm)), None)
    if key is None:
        return ""
    words = {"split_code": split, "key_code": key, "out_code": f"../vectors-{split}"}
    return Template(STORE).substitute({name: code_literal(word) for name, word in words.items()})
