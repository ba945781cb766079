"""The steps of a build: shards in input order, their final order, and the files beside them."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from corpuscle import __version__
from corpuscle.corpus._arrow import features_of
from corpuscle.corpus._building import Building
from corpuscle.corpus._corpus_plan import Choices, CorpusPlan
from corpuscle.corpus._fingerprint import source_digest
from corpuscle.corpus._order import WINDOW, rewrite, row_order
from corpuscle.corpus._shard import Job, build_shard, finished_shard, shard_name, write_parquet
from corpuscle.corpus._units import opened
from corpuscle.corpus.manifest import FORMAT, MANIFEST, file_sha256, write_atomic, write_json
from corpuscle.corpus.vocabulary import RankVocabulary
from corpuscle.corpus.vocabulary_io import write_vocab
from corpuscle.counts._workers import Workers
from corpuscle.errors import GeneError

__all__ = ["Build", "refuse_nothing"]

Array = np.ndarray[Any, Any]
Progress = Callable[[int, int, str], None]
Record = dict[str, Any]


class Build:
    """One build; :meth:`run` does it."""

    def __init__(
        self,
        building: Building,
        crew: Workers,
        plan: CorpusPlan,
        choices: Choices,
        vocabulary: RankVocabulary,
        progress: Progress | None,
    ) -> None:
        self.building, self.crew, self.plan, self.choices = building, crew, plan, choices
        self.vocabulary, self.progress = vocabulary, progress
        self.job = Job(
            building.folder, vocabulary, plan.attributes, choices.keep_counts, choices.token_dtype, choices.depth
        )

    def run(self) -> Record:
        """Make the data set, give it its name, and return its manifest."""
        records = self._shards()
        try:
            refuse_nothing(self.plan, records)
        except GeneError:
            self.building.clear()  # nothing worth going on with
            raise
        lengths = [np.load(self._first(i).with_suffix(".npy")) for i in range(len(records))]
        length_n = np.concatenate(lengths)
        if self.choices.order == "input":
            shards = self._renamed(records)
        else:
            order_n = row_order(self.choices.order, self.choices.seed, length_n)
            length_n, shards = length_n[order_n], self._reordered(order_n)
        paths = [self.building.final / shard["file"] for shard in shards]
        parquet = self.crew.map(write_parquet, paths) if self.choices.parquet else [None] * len(paths)
        shards = [{**shard, "parquet": made} for shard, made in zip(shards, parquet, strict=True)]
        manifest = self._manifest(records, shards, self._files(length_n, shards))
        write_json(self.building.final / MANIFEST, manifest)
        self.building.publish()
        return manifest

    # -- shards ----------------------------------------------------------------------------------------------

    def _first(self, index: int) -> Path:
        return self.building.folder / shard_name(index)

    def _final(self, index: int) -> Path:
        return self.building.final / f"data-{index:05d}-of-{len(self.plan.units):05d}.arrow"

    def _shards(self) -> list[Record]:
        """The record of every shard, made now unless an interrupted build had finished it."""
        records: dict[int, Record] = {}
        for unit in self.plan.units:
            first, final = self._first(unit.index), self._final(unit.index)
            done = finished_shard(self.building.folder, unit, first if first.exists() else final)
            if done is not None:
                records[unit.index] = done
            else:
                first.with_suffix(".json").unlink(missing_ok=True)
        missing = [unit for unit in self.plan.units if unit.index not in records]
        count = _Counter(self.progress, self.plan.n_obs, "cells")
        count(self.plan.n_obs - sum(unit.n_obs for unit in missing))
        alone = not self.crew.distributed
        work = partial(build_shard, self.job, advance=count) if alone else partial(build_shard, self.job)
        tasks = _Tasks(self.plan, missing)
        for unit, record in zip(missing, self.crew.map(work, tasks), strict=True):
            records[unit.index] = record
            if not alone:
                count(unit.n_obs)
        return [records[unit.index] for unit in self.plan.units]

    def _renamed(self, records: Sequence[Record]) -> list[Record]:
        """Shards under their final names; one may have it since before an interruption."""
        shards = []
        for index, record in enumerate(records):
            first, final = self._first(index), self._final(index)
            if first.exists():
                first.replace(final)
            keys = ("source", "start", "stop", "rows")
            pieces = [{key: piece[key] for key in keys} for piece in record["pieces"]]
            shards.append(
                {"file": final.name, **{key: record[key] for key in ("rows", "bytes", "sha256")}, "pieces": pieces}
            )
        return shards

    def _reordered(self, order_n: Array) -> list[Record]:
        for left in self.building.final.iterdir():
            left.unlink()
        paths = [self._first(index) for index in range(len(self.plan.units))]
        count = _Counter(self.progress, order_n.size, "rows put in order")
        return rewrite(paths, self.building.final, order_n, self.choices.shard_cells, count)

    # -- files beside them -----------------------------------------------------------------------------------

    def _files(self, length_n: Array, shards: Sequence[Record]) -> dict[str, str]:
        """Write what lies beside the shards; name -> SHA-256."""
        final, schema = self.building.final, self.job.schema
        held = io.BytesIO()
        np.save(held, length_n.astype(np.int32, copy=False))
        write_vocab(self.vocabulary, final / "vocab.tsv")
        info = {"citation": "", "description": "", "features": features_of(schema), "homepage": "", "license": ""}
        made_of = json.dumps([self.plan.recipe, [shard["sha256"] for shard in shards]], sort_keys=True)
        state: Record = {
            "_data_files": [{"filename": shard["file"]} for shard in shards],
            "_fingerprint": hashlib.sha256(made_of.encode()).hexdigest()[:16],
            "_format_columns": None,
            "_format_kwargs": {},
            "_format_type": None,
            "_output_all_columns": False,
            "_split": None,
        }
        files = {
            "lengths.npy": write_atomic(final / "lengths.npy", held.getvalue()),
            "vocab.tsv": file_sha256(final / "vocab.tsv"),
            # The order of the columns is that of the features, so these keys may not be sorted.
            "dataset_info.json": write_atomic(final / "dataset_info.json", _json(info)),
            "state.json": write_atomic(final / "state.json", _json(state)),
        }
        if self.choices.pretrainer_files:
            genes = zip(self.vocabulary.gene_ids, self.vocabulary.tokens_g.tolist(), strict=True)
            tokens = sorted([*self.vocabulary.specials.items(), *genes], key=lambda item: item[1])
            for name, value in (("lengths.pkl", length_n.tolist()), ("token_dictionary.pkl", dict(tokens))):
                files[name] = write_atomic(final / name, pickle.dumps(value, protocol=4))
        return files

    def _manifest(self, records: Sequence[Record], shards: Sequence[Record], files: dict[str, str]) -> Record:
        sources = self._sources(records)
        schema, order = self.job.schema, self.choices.order
        return {
            "format": FORMAT,
            "kind": "rank-value",
            "corpuscle": __version__,
            "options": self.plan.recipe["options"],
            "vocabulary": {
                **self.plan.recipe["vocabulary"],
                "size": self.vocabulary.size,
                "genes": len(self.vocabulary.gene_ids),
                "specials": dict(self.vocabulary.specials),
                "file": "vocab.tsv",
            },
            "columns": {column.name: _type_name(column.type) for column in schema},
            **{key: sum(source[key] for source in sources) for key in ("rows", "tokens", "truncated")},
            "order": {"kind": "input"} if order == "input" else _order_record(order, self.choices.seed),
            "shards": list(shards),
            "files": files,
            "sources": sources,
        }

    def _sources(self, records: Sequence[Record]) -> list[Record]:
        """What each source gave, added up over its pieces."""
        pieces: list[list[Record]] = [[] for _ in self.plan.sources]
        for record in records:
            for piece in record["pieces"]:
                pieces[piece["source"]].append(piece)
        out = []
        for source, parts in zip(self.plan.sources, pieces, strict=True):
            counts = opened(source.work.spec)
            blocks = {int(start): digest for part in parts for start, digest in part["blocks"].items()}
            out.append({
                "name": source.work.spec.name,
                "layer": source.work.spec.layer,
                "cells": source.work.shape[0],
                "genes": source.work.shape[1],
                "fingerprint": source_digest(counts.obs.index, counts.var.index, blocks),
                "dropped": {**source.dropped, "no vocabulary gene": sum(part["no_gene"] for part in parts)},
                "depth": source.depth,
                "match": source.match.to_dict(),
                **{
                    key: sum(part[key] for part in parts)
                    for key in ("rows", "tokens", "truncated", "counts_total", "counts_matched")
                },
            })  # fmt: skip
        return out


class _Tasks(Sequence[Any]):
    """Tasks made when they are asked for, since those of all units may be many."""

    def __init__(self, plan: CorpusPlan, units: Sequence[Any]) -> None:
        self._plan, self._units = plan, units

    def __len__(self) -> int:
        return len(self._units)

    def __getitem__(self, index: Any) -> Any:
        return self._plan.task(self._units[index])


class _Counter:
    """Adds up what is done and tells it to a progress function."""

    def __init__(self, progress: Progress | None, total: int, what: str) -> None:
        self._progress, self._total, self._what, self._done = progress, total, what, 0

    def __call__(self, more: int) -> None:
        self._done += more
        if self._progress:
            self._progress(self._done, self._total, self._what)


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def _type_name(arrow_type: Any) -> str:
    return str(arrow_type).replace("item: ", "").replace("double", "float64")


def _order_record(kind: str, seed: int) -> Record:
    return {"kind": kind, "seed": seed, **({"window": WINDOW} if kind == "bucketed" else {})}


def refuse_nothing(plan: CorpusPlan, records: Sequence[Record] | None) -> None:
    """Raise if no cell is left: at the start by what filters keep, at the end by what was encoded."""
    by = {key: sum(source.dropped[key] for source in plan.sources) for key in ("filter_pass", "qc")}
    if records is not None:
        by["no vocabulary gene"] = sum(piece["no_gene"] for record in records for piece in record["pieces"])
    if sum(by.values()) < plan.n_obs:
        return
    reasons = ", ".join(f"{n:,} by {key}" for key, n in by.items() if n)
    matched, genes = (sum(getattr(source.match, key) for source in plan.sources) for key in ("matched", "n_genes"))
    raise GeneError(
        f"no cell is left of {plan.n_obs:,}: {reasons} ({matched:,} of {genes:,} genes match the vocabulary); "
        f"check the filter, the quality control and the vocabulary"
    )
