"""The manifest of a build, from what its steps found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from corpuscle._versions import installed
from corpuscle.corpus.manifest import file_sha256
from corpuscle.corpus.pairs._build_options import BuildOptions
from corpuscle.corpus.pairs._build_plan import Plan
from corpuscle.corpus.pairs._prepared import Prepared, PreparedSource
from corpuscle.corpus.pairs.captions import CaptionRule
from corpuscle.corpus.pairs.manifest import (
    ArchiveEntry,
    CaptionEntry,
    EmbedderEntry,
    NegativesEntry,
    PairsManifest,
    SourceEntry,
    SplitEntry,
    StepEntry,
)
from corpuscle.errors import SourceError

__all__ = ["Built", "build_manifest"]

PACKAGES = ("anndata", "corpuscle", "datasets", "numpy", "pandas", "scikit-learn", "scipy", "zarr")
#: Names in a title; more of them are counted.
TITLED = 3
SUMMED = ("rows", "drawn", "no_other_caption", "same_batch", "other_batch", "no_batch", "repeated")


@dataclass(frozen=True, eq=False)
class Built:
    """What the steps of a build gave."""

    prepared: Prepared
    plan: Plan
    rule: CaptionRule | None
    embedders: Sequence[EmbedderEntry]
    archives: Sequence[ArchiveEntry]
    splits: dict[str, SplitEntry]
    columns: tuple[str, ...]


def build_manifest(built: Built, options: BuildOptions) -> PairsManifest:
    """Put together ``manifest.json``: no times, and no paths of this machine."""
    prepared, plan = built.prepared, built.plan
    grouped = options.group if not options.random_split and len(built.splits) > 1 else None
    return PairsManifest(
        name=options.name or _title([source.name for source in prepared.sources]),
        row_format=options.format,
        columns=built.columns,
        splits=built.splits,
        split_by=grouped,
        seed=options.seed,
        archives=tuple(built.archives),
        sources=tuple(_source(source, prepared) for source in prepared.sources),
        steps=(*_steps(prepared.report), *_caption_steps(built)),
        embedders=tuple(built.embedders),
        captions=None if built.rule is None else _captions(built.rule, plan, prepared),
        negatives=_negatives(plan, options),
        sentence_genes=options.sentence_genes,
        licence=options.licence,
        notes=prepared.notes,
        parameters=options.to_dict(),
        versions=installed(PACKAGES),
    )


def _title(names: Sequence[str]) -> str:
    said = ", ".join(names[:TITLED])
    more = len(names) - TITLED
    return f"Transcriptomes and text: {said}" + (f" and {more} more" if more > 0 else "")


def _source(source: PreparedSource, prepared: Prepared) -> SourceEntry:
    steps = prepared.report[(prepared.report["source"] == source.name) & (prepared.report["unit"] == "cells")]
    sha256 = None
    if source.spec.adata is None and source.spec.path.is_file():
        try:
            sha256 = file_sha256(source.spec.path)
        except OSError as error:
            raise SourceError(f"{source.spec.name}: cannot be read ({error.strerror}); run again") from None
    verdict = prepared.verdict[source.name].verdict
    return SourceEntry(source.name, int(steps["rows_in"].iloc[0]), int(source.row_n.size), verdict, sha256)


def _steps(report: pd.DataFrame) -> list[StepEntry]:
    return [
        StepEntry(str(step.source), str(step.step), str(step.unit), int(step.rows_in), int(step.dropped), str(step.why))
        for step in report.itertuples()
    ]


def _caption_steps(built: Built) -> list[StepEntry]:
    if not built.plan.negatives:
        return []
    return [
        StepEntry(
            source.name,
            "caption",
            "cells",
            int(source.row_n.size),
            built.plan.dropped.get(source.name, 0),
            "no caption: a value that it needs is missing",
        )
        for source in built.prepared.sources
    ]


def _captions(rule: CaptionRule, plan: Plan, prepared: Prepared) -> CaptionEntry:
    said = pd.Series(plan.caption_n)
    return CaptionEntry(rule.source, int(said.nunique()), int(prepared.n_obs - said.notna().sum()))


def _negatives(plan: Plan, options: BuildOptions) -> NegativesEntry | None:
    if not plan.negatives:
        return None
    policy = options.policy
    by_split = {split: drawn.report.to_dict() for split, drawn in plan.negatives.items()}
    report: dict[str, Any] = {key: sum(int(each[key]) for each in by_split.values()) for key in SUMMED}
    return NegativesEntry(
        policy.n,
        policy.columns,
        policy.prefer_same_batch,
        int(policy.seed),
        options.resolve,
        report | {"splits": by_split},
    )
