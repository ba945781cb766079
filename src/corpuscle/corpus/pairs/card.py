"""The card of a data set, rendered from its manifest and from nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import Template
from typing import Any

from corpuscle.corpus.pairs._card_parts import (
    archives_text,
    captions_text,
    embeddings_table,
    front_matter,
    licence_text,
    made_text,
    negatives_text,
    notes_text,
    opening_text,
    purpose_text,
    sources_table,
    split_text,
    splits_table,
    steps_table,
)
from corpuscle.corpus.pairs._card_rows import columns_rows, example_json, read_sample, store_sample
from corpuscle.corpus.pairs._card_text import FORMS, LAYOUT
from corpuscle.corpus.pairs._card_words import code_literal, plain
from corpuscle.corpus.pairs.manifest import PairsManifest
from corpuscle.errors import OutputError, SourceError

__all__ = ["fill", "render_card"]


def render_card(manifest: PairsManifest, examples: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> str:
    """Render the card (``README.md``) of a data set.

    Parameters
    ----------
    manifest
        What the data set is made of; every statement of the card comes from here.
    examples
        One row of the data set, or several, of which the first is shown.

    Returns
    -------
    Markdown with YAML front matter. A data set without a ``train`` split gets the text of a test set.

    Raises
    ------
    OutputError
        A placeholder would stay unfilled.
    SourceError
        The manifest has no split or no archive, or no row is given, so that there is nothing to describe.
    """
    if isinstance(examples, Mapping):
        examples = [examples]
    for what, found in (("split", manifest.splits), ("archive", manifest.archives), ("row as an example", examples)):
        if not found:
            raise SourceError(
                f"{manifest.name}: there is no {what}, so there is no card to write; build the data set first"
            )
    return fill(LAYOUT, _values(manifest, examples[0]))


def fill(layout: str, values: Mapping[str, str]) -> str:
    """Fill a layout; a placeholder without a value, a value without a placeholder, and any dollar sign left are errors.

    Raises
    ------
    OutputError
        Naming the placeholder.
    """
    template = Template(layout)
    asked = set(template.get_identifiers())
    for what, names in (("is not filled", asked - set(values)), ("is filled but not asked for", set(values) - asked)):
        if names:
            raise OutputError(f"card: the placeholder {sorted(names)[0]!r} {what}; report this as a fault of Corpuscle")
    for name, value in values.items():
        if "$" in value:
            raise OutputError(
                f"card: the text for {name!r} has a placeholder in it; report this as a fault of Corpuscle"
            )
    text = template.substitute(values)
    if "$" in text:
        raise OutputError("card: a dollar sign is left in it; report this as a fault of Corpuscle")
    return text


def _values(manifest: PairsManifest, example: Mapping[str, Any]) -> dict[str, str]:
    split = "train" if "train" in manifest.splits else next(iter(manifest.splits))
    archive = next((entry for entry in manifest.archives if entry.split == split), manifest.archives[0])
    return {
        "front_matter": front_matter(manifest),
        "name": plain(manifest.name),
        "opening": opening_text(manifest),
        "purpose": purpose_text(manifest),
        "notes": notes_text(manifest),
        "splits": splits_table(manifest),
        "split_by": split_text(manifest),
        "form": FORMS[manifest.row_format],
        "columns": columns_rows(manifest),
        "example": example_json(example),
        "split_code": code_literal(split),
        "read_code": read_sample(archive),
        "store_sample": store_sample(archive, split),
        "sources": sources_table(manifest),
        "steps": steps_table(manifest),
        "captions": captions_text(manifest),
        "negatives": negatives_text(manifest),
        "embeddings": embeddings_table(manifest),
        "archives": archives_text(manifest),
        "licence": licence_text(manifest),
        "made": made_text(manifest),
    }
