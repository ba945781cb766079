"""The parts of the card, each from one part of the manifest."""

from __future__ import annotations

import re

from corpuscle.corpus.pairs._card_text import EVALUATION_ONLY, FITTED_ON_TRAIN, WITH_TRAINING
from corpuscle.corpus.pairs._card_words import code, plain, quoted, size, table
from corpuscle.corpus.pairs.manifest import PairsManifest

__all__ = [
    "archives_text",
    "captions_text",
    "embeddings_table",
    "front_matter",
    "licence_text",
    "made_text",
    "negatives_text",
    "notes_text",
    "opening_text",
    "purpose_text",
    "sources_table",
    "split_text",
    "splits_table",
    "steps_table",
]

_SIZES = (
    ("n<1K", 1e3),
    ("1K<n<10K", 1e4),
    ("10K<n<100K", 1e5),
    ("100K<n<1M", 1e6),
    ("1M<n<10M", 1e7),
    ("10M<n<100M", 1e8),
)
_TASKS = {
    "single": ("feature-extraction",),
    "pairs": ("sentence-similarity", "zero-shot-classification"),
    "multiplets": ("sentence-similarity", "zero-shot-classification"),
}


def front_matter(manifest: PairsManifest) -> str:
    """YAML that hubs read: licence, size, tasks, and where the rows of each split are."""
    rows = sum(split.rows for split in manifest.splits.values())
    sizes = next((word for word, limit in _SIZES if rows < limit), "n>1T" if rows >= 1e12 else "100M<n<1B")
    known = manifest.licence and re.fullmatch(r"[a-z0-9][a-z0-9.\-]{1,40}", manifest.licence)
    lines = ["language:", "- en", f"pretty_name: {quoted(manifest.name)}"]
    if known or not manifest.licence:
        lines.append(f"license: {manifest.licence or 'unknown'}")
    else:
        lines += ["license: other", f"license_name: {quoted(manifest.licence)}"]
    lines += ["task_categories:", *(f"- {task}" for task in _TASKS[manifest.row_format])]
    lines += [
        "tags:",
        "- biology",
        "- single-cell",
        "- transcriptomics",
        "- multimodal",
        "- anndata",
        "- sentence-transformers",
    ]
    lines += ["size_categories:", f"- {sizes}", "configs:", "- config_name: default", "  data_files:"]
    for split in manifest.splits:
        lines += [f"  - split: {split}", f"    path: {split}/data-*.arrow"]
    return "\n".join(lines)


def opening_text(manifest: PairsManifest) -> str:
    """How much of what."""
    rows = sum(split.rows for split in manifest.splits.values())
    cells = sum(split.cells for split in manifest.splits.values())
    keys = ", ".join(code(entry.key) for entry in manifest.embedders) or "none"
    texts = f"; {manifest.captions.distinct:,} captions differ" if manifest.captions else ""
    n = len(manifest.sources)
    return (
        f"{rows:,} rows about {cells:,} cells from {n} source{'' if n == 1 else 's'}{texts}. The rows are text and names. Counts, "
        f"normalised expression and initial embeddings ({keys}) are in {len(manifest.archives)} archives that the rows link to."
    )


def purpose_text(manifest: PairsManifest) -> str:
    """What it is for; a test set says that it is none to train on."""
    if "train" not in manifest.splits:
        return EVALUATION_ONLY
    fitted = manifest.embedders and all(entry.fitted_on == "train" for entry in manifest.embedders)
    return f"{WITH_TRAINING} {FITTED_ON_TRAIN}" if fitted else WITH_TRAINING


def notes_text(manifest: PairsManifest) -> str:
    """What a reader must know first; nothing where there is nothing."""
    lines = [f"> **Note.** {plain(note)}\n" for note in manifest.notes]
    return "\n".join(lines)


def splits_table(manifest: PairsManifest) -> str:
    """Rows, cells and groups of every split."""
    rows = [
        (code(name), f"{split.rows:,}", f"{split.cells:,}", "" if split.groups is None else f"{split.groups:,}")
        for name, split in manifest.splits.items()
    ]
    return table(("split", "rows", "cells", "groups"), rows)


def split_text(manifest: PairsManifest) -> str:
    """By what the cells were split."""
    if manifest.split_by is not None:
        return f"Whole groups of {code(manifest.split_by)} are on one side: no group has cells in two splits."
    given = manifest.parameters.get("split")
    if isinstance(given, str):
        return (
            f"The split was given by the column {code(given)}: whoever filled it decided which cells are for training, and whether "
            "a donor or study may be in two splits."
        )
    if len(manifest.splits) == 1:
        return "All cells are in one split."
    return (
        "Cells were split at random and not by group: cells of one donor or study may be in two splits, so a score on held-out "
        "cells says nothing about a new donor or study."
    )


def sources_table(manifest: PairsManifest) -> str:
    """Every source with its terms."""
    rows = [
        (
            plain(source.name),
            f"{source.cells_in:,}",
            f"{source.cells_kept:,}",
            plain(source.verdict),
            plain(source.licence or "not stated"),
            plain(" ".join(part for part in (source.citation, source.url) if part) or "not stated"),
        )
        for source in manifest.sources
    ]
    return table(("source", "cells", "kept", "counts", "licence", "to cite"), rows)


def steps_table(manifest: PairsManifest) -> str:
    """What the preparation took away."""
    if not manifest.steps:
        return ""
    told = [step for step in manifest.steps if step.dropped]
    if not told:
        return f"{len(manifest.steps)} steps of the preparation took nothing away.\n"
    rows = [
        (
            plain(step.source),
            plain(step.step),
            plain(step.unit),
            f"{step.came_in:,}",
            f"{step.dropped:,}",
            plain(step.why),
        )
        for step in told
    ]
    head = ("source", "step", "of", "in", "dropped", "why")
    return f"What the preparation took away:\n\n{table(head, rows)}\n"


def captions_text(manifest: PairsManifest) -> str:
    """Where captions come from, and how many cells had none."""
    captions = manifest.captions
    if captions is None:
        return "There are no captions."
    missing = f" {captions.missing:,} cells had none." if captions.missing else ""
    return (
        f"Captions were made from {code(captions.source)}, a column of the annotation of the sources or a template "
        f"filled from it. {captions.distinct:,} different ones.{missing} They are as right as that annotation is."
    )


def negatives_text(manifest: PairsManifest) -> str:
    """How negatives were drawn."""
    drawn = manifest.negatives
    if drawn is None:
        return "There are no negatives."
    how_many = "One for each cell, as the caption of its second row"
    if manifest.row_format != "pairs":
        kinds = ", ".join(f"{k + 1}: {plain(drawn.kinds[k % len(drawn.kinds)])}" for k in range(drawn.n) if drawn.kinds)
        form = "as text beside the name of the cell" if drawn.resolved else "as the name of the cell"
        how_many = f"{drawn.n} a row ({kinds}), given {form}"
    batch = (
        "from the batch of the row wherever that has a cell with another caption"
        if drawn.prefer_same_batch
        else "from all batches"
    )
    facts = {name: value for name, value in sorted(drawn.report.items()) if isinstance(value, (str, int, float))}
    report = "".join(f"\n- {plain(name).replace('_', ' ')}: {plain(value)}" for name, value in facts.items())
    return (
        f"{how_many}; drawn at random with seed {drawn.seed}, {batch}. A negative never has the "
        f"caption of its row, whatever its kind.{chr(10) + report if report else ''}"
    )


def embeddings_table(manifest: PairsManifest) -> str:
    """Every embedding: its key, what it was fitted on, and the file that embeds further cells."""
    if not manifest.embedders:
        return "They were in the sources already; nothing was fitted."
    rows = [
        (
            code(entry.key),
            plain(entry.name),
            f"{entry.width:,}",
            f"{plain(entry.fitted_on)} ({entry.fitted_cells:,} cells)",
            code(entry.file),
        )
        for entry in manifest.embedders
    ]
    text = "\n\nOne fit serves all archives, so a column means the same in each. The files embed further cells; they hold no code."
    return table(("key", "made by", "width", "fitted on", "file"), rows) + text


def archives_text(manifest: PairsManifest) -> str:
    """Number, formats and sizes, and what is inside."""
    formats = ", ".join(code(word) for word in sorted({entry.format for entry in manifest.archives}))
    total, n = sum(entry.bytes for entry in manifest.archives), len(manifest.archives)
    return (
        f"{n} archive{'' if n == 1 else 's'} ({formats}), {size(total)} in all, the first at <{_link(manifest.archives[0].link)}>. "
        'In each: `X` (log1p of counts per 10,000), `layers["counts"]` (raw counts), `obs`, `var`, and the embeddings in `obsm`. '
        "`manifest.json` has the SHA-256, the size and the number of cells of every one."
    )


def _link(link: str) -> str:
    return re.sub(r"[\s<>$`\\]", lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), link)


def licence_text(manifest: PairsManifest) -> str:
    """The licence of the whole, and that of the sources."""
    own = (
        f"The data set is given under {code(manifest.licence)}."
        if manifest.licence
        else "No licence is stated for the whole."
    )
    open_ones = [plain(source.name) for source in manifest.sources if not source.licence]
    terms = "The terms of every source hold for its cells; the table of sources names them."
    ask = f" Not stated for {', '.join(open_ones)}: ask its authors before you pass it on." if open_ones else ""
    return f"{own} {terms}{ask}"


def made_text(manifest: PairsManifest) -> str:
    """Seed and versions."""
    versions = ", ".join(f"{plain(name)} {plain(version)}" for name, version in sorted(manifest.versions.items()))
    return f"By `corpuscle corpus pair` with seed {manifest.seed} ({versions}). `manifest.json` has every option and every step."
