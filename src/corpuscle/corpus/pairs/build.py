"""From raw counts to a data set of transcriptome-text pairs: rows, archives, embeddings, manifest and card, in one folder."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from corpuscle.corpus.pairs._build_folder import check_target, new_folder
from corpuscle.corpus.pairs._build_manifest import Built, build_manifest
from corpuscle.corpus.pairs._build_options import BuildOptions
from corpuscle.corpus.pairs._build_plan import make_plan
from corpuscle.corpus.pairs._build_write import ready_embedders, write_archives, write_embedders, write_rows
from corpuscle.corpus.pairs._prepare_passes import Progress
from corpuscle.corpus.pairs.captions import CaptionRule, Describe, parse_caption
from corpuscle.corpus.pairs.card import render_card
from corpuscle.corpus.pairs.embedders import Embedder
from corpuscle.corpus.pairs.manifest import PairsManifest, write_pairs_manifest
from corpuscle.corpus.pairs.negatives import NegativePolicy
from corpuscle.corpus.pairs.prepare import DEFAULT_RULES, QCRules, prepare
from corpuscle.corpus.pairs.sentences import SENTENCE_GENES

__all__ = ["CARD", "build_pairs"]

CARD = "README.md"


def build_pairs(
    sources: Any,
    out: str | os.PathLike[str],
    *,
    format: str = "multiplets",
    caption: str | CaptionRule | None = None,
    group: str | None = None,
    batch: str | None = None,
    random_split: bool = False,
    split: str | None = None,
    shares: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    embeddings: Sequence[str | Embedder] = ("hvg", "pca"),
    embedders_from: str | os.PathLike[str] | None = None,
    sentence_genes: int = SENTENCE_GENES,
    sentence_allowed: Collection[str] | None = None,
    negatives: NegativePolicy | None = None,
    resolve: bool = False,
    archive: str = "zarr.zip",
    chunk_cells: int = 20_000,
    link_base: str | None = None,
    rules: QCRules | None = DEFAULT_RULES,
    layer: str | None = None,
    categories: Sequence[str] = (),
    allow_imitation: bool = False,
    declared_counts: bool = False,
    namespace: bool = False,
    describe: Describe | None = None,
    name: str | None = None,
    licence: str | None = None,
    progress: Progress | None = None,
    force: bool = False,
) -> PairsManifest:
    """Build a data set. The same sources and options give the same bytes; what fails leaves nothing behind.

    Captions, splits and negatives are settled for all cells first; embeddings are fitted on the training split alone and applied
    to all; then values are written archive by archive, so that memory is that of one archive, whatever the number of cells.

    Parameters
    ----------
    sources
        Raw counts, as :func:`~corpuscle.corpus.pairs.prepare.prepare` takes them.
    out
        Folder to write: rows that ``datasets.load_from_disk`` reads, ``archives/``, ``embedders/``, ``manifest.json`` and a card.
    format
        ``"single"``, ``"pairs"`` or ``"multiplets"``.
    caption
        Column of ``obs`` or template with columns in braces. Cells without one are left out of pairs and multiplets.
    group
        Column that is never divided between splits, or ``"source"``.
    batch
        Column within which negatives are drawn where possible; weak batches are dropped.
    random_split
        Split cells at random instead of by group.
    split
        Column that says ``"train"``, ``"validation"`` or ``"test"`` of every cell, instead of group, shares and chance.
    shares
        Of train, validation and test.
    seed
        Of the split, and of the negatives unless their policy is given.
    embeddings
        Words such as ``"hvg:n=512"``, or embeddings.
    embedders_from
        Data set whose fitted embeddings are applied instead of fitting new ones: for a test set. ``embeddings`` then names some
        of them.
    sentence_genes, sentence_allowed
        Longest gene sentence, 0 for none, and the only genes that it may name.
    negatives
        How many, of which kinds, and how they are drawn.
    resolve
        Write the texts of negatives beside their ids; multiplets only.
    archive
        ``"zarr.zip"``, ``"zarr"`` or ``"h5ad"``.
    chunk_cells
        Most cells of an archive.
    link_base
        What stands before an archive's file name in the rows' links; without it, links are relative to the folder.
    rules, layer, categories, allow_imitation, declared_counts, namespace
        As for :func:`~corpuscle.corpus.pairs.prepare.prepare`.
    describe
        Other words for values in captions, such as the definitions of an ontology.
    name, licence
        Title and licence for the card; the title is made from the sources' names.
    progress
        Called with cells done in a step, cells in it, and what the step is.
    force
        Replace a data set of pairs that is there.

    Returns
    -------
    PairsManifest
        What ``manifest.json`` holds.

    Raises
    ------
    OptionError
        An option makes no sense, or a column is missing.
    SourceError, NotCountsError, GeneError
        A source cannot be used.
    MethodError
        A split has no negatives, or an embedding cannot be fitted.
    OutputError
        The folder is there, or cannot be written.
    """
    rule = None if caption is None else parse_caption(caption)
    options = BuildOptions(
        format=format, group=group, batch=batch, random_split=random_split, split=split,
        shares=tuple(float(part) for part in shares), seed=seed, sentence_genes=sentence_genes,
        sentence_allowed=None if sentence_allowed is None else tuple(sentence_allowed),
        negatives=negatives or NegativePolicy(seed=seed), resolve=resolve, archive=archive, chunk_cells=chunk_cells,
        link_base=link_base, rules=rules, layer=layer, categories=tuple(categories), allow_imitation=allow_imitation,
        declared_counts=declared_counts, namespace=namespace, name=name, licence=licence,
    )  # fmt: skip
    options.check_caption(rule)
    folder = Path(out)
    check_target(folder, force=force)
    embedders, fitted = ready_embedders(embeddings, embedders_from)
    prepared = prepare(
        sources, layer=layer, batch=batch, group=None if random_split else group, categories=categories, rules=rules,
        allow_imitation=allow_imitation, declared_counts=declared_counts, namespace=namespace, progress=progress,
    )  # fmt: skip
    plan = make_plan(prepared, rule, describe, options)
    with new_folder(folder, force=force) as made:
        entries = write_embedders(made, prepared, plan, embedders, fitted, progress)
        archives, tables = write_archives(made, prepared, plan, embedders, options, progress)
        examples, splits, columns = write_rows(made, prepared, plan, tables, rule, options)
        built = Built(prepared, plan, rule, entries, archives, splits, columns)
        manifest = build_manifest(built, options)
        write_pairs_manifest(made, manifest)
        (made / CARD).write_text(render_card(manifest, examples), encoding="utf-8")
    return manifest
