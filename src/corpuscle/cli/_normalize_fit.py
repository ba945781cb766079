"""What ``corpuscle normalize`` is to learn, and from which samples; kept beside the output until that is whole."""

from __future__ import annotations

import hashlib
import inspect
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpuscle.cli._app import console
from corpuscle.errors import OptionError, SourceError

if TYPE_CHECKING:
    from corpuscle.counts import Counts
    from corpuscle.counts._passes import Progress
    from corpuscle.normalize import FittedInfo, Normalizer

__all__ = ["Choice", "chosen_counts", "fitted", "frozen", "note"]


@dataclass(frozen=True)
class Choice:
    """Which counts are normalised, by a method fitted on what; see the options of the command."""

    layer: str | None
    train: Path | None
    save_fit: Path | None
    info: FittedInfo | None
    drop_flagged: bool
    one_per_symbol: bool
    scheduler: str | None


def note(text: str) -> None:
    """Say something on stderr that is no error."""
    console.print(f"note: {text}", style="yellow", highlight=False, markup=False, soft_wrap=True)


def frozen(path: Path, method: str) -> tuple[Normalizer, FittedInfo]:
    """The method that was saved, fitted.

    Raises
    ------
    OptionError
        Another method was asked for.
    """
    from corpuscle.normalize import load_fitted

    made, info = load_fitted(path)
    if method and method != info.method:
        raise OptionError(f"{path}: holds a fit of {info.method}, not of {method}; leave --method out")
    return made, info


def chosen_counts(opened: Counts, choice: Choice, method: Normalizer) -> tuple[Counts, list[str]]:
    """The samples and genes that are left, on the scheduler asked for, and notes on what is not.

    Raises
    ------
    OptionError
        The method cannot be run that way, or no sample is left.
    GeneError
        Genes of a saved fit are missing.
    """
    from corpuscle.counts._duplicates import one_per_symbol
    from corpuscle.counts._identity import check_genes, gene_hash

    if method.needs == "matrix" and (choice.scheduler or choice.train or choice.save_fit):
        raise OptionError(
            f"{method.name} knows only the cells it is fitted on, all at once; leave --train, --save-fit and "
            "--scheduler out"
        )
    counts = opened if choice.scheduler is None else opened.on(choice.scheduler)
    notes: list[str] = []
    if choice.drop_flagged:
        counts, said = _unflagged(counts)
        notes += said
    if choice.one_per_symbol:
        index, said = one_per_symbol(counts)
        counts = counts.view(genes=index) if index.size < counts.n_vars else counts
        notes += said
    if choice.info is not None and gene_hash(counts.var_names) != choice.info.hash:
        what = f"the saved fit of {choice.info.method}"
        counts = counts.view(genes=check_genes(choice.info.genes, counts, what))
    for line in notes:
        note(line)
    return counts, notes


def _unflagged(counts: Counts) -> tuple[Counts, list[str]]:
    from corpuscle.counts._sample_flags import sample_flags

    flags = sample_flags(counts)
    kinds = ["single_cell_like", "shallow", "few_genes"]
    flagged = flags[kinds].fillna(False).to_numpy(bool)
    bad_n = flagged.any(axis=1)
    notes = list(flags.attrs.get("notes", []))
    if bad_n.all():
        raise OptionError(f"{counts.name}: all {counts.n_obs:,} samples are flagged; leave --drop-flagged out")
    if bad_n.any():
        each = ", ".join(f"{n:,} {kind.replace('_', ' ')}" for kind, n in zip(kinds, flagged.sum(0), strict=True) if n)
        notes.append(f"{bad_n.sum():,} of {counts.n_obs:,} samples are left out ({each})")
        counts = counts.view(cells=~bad_n)
    return counts, notes


def fitted(
    counts: Counts, method: Normalizer, choice: Choice, out: Path | None, progress: Progress | None
) -> dict[str, Any]:
    """Fit the method, unless it is: ``n`` samples, ``path`` of the saved fit, ``kept`` beside the output, ``notes``."""
    from corpuscle.normalize import save_fitted

    if choice.info is not None:
        return {"n": choice.info.n, "path": None, "kept": None, "notes": []}
    trained, notes = _training(counts, choice.train)
    kept = None if out is None else _beside(out, method)
    key = "" if kept is None else _key(trained, method, choice.layer)
    earlier = kept is not None and _resume(method, kept, key)
    if earlier:
        notes.append(f"{out}: an earlier run was stopped after it had fitted {method.name}; that fit is used")
    else:
        steps = {"progress": progress} if "progress" in inspect.signature(method.fit).parameters else {}
        method.fit(trained, **steps)
    if n_empty := getattr(method, "n_empty_", 0):
        notes.append(f"{n_empty:,} samples without any count were fitted; leave them out with --drop-flagged")
    for line in notes:
        note(line)
    if choice.save_fit is not None:
        save_fitted(method, choice.save_fit, trained)
    if kept is not None and not earlier:
        save_fitted(method, kept, trained, key=key)
    return {"n": trained.n_obs, "path": choice.save_fit and str(choice.save_fit), "kept": kept, "notes": notes}


def _training(counts: Counts, train: Path | None) -> tuple[Counts, list[str]]:
    """The samples that a file names, and how many of its names there are none of."""
    if train is None:
        return counts, []
    try:
        lines = train.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise SourceError(f"{train}: cannot be read: {reason}; give names of samples, one a line") from None
    names = {line.strip() for line in lines} - {""}
    index = counts.obs.index.astype(str)
    in_train_n = index.isin(names)
    absent = len(names - set(index))
    if not in_train_n.any():
        raise OptionError(
            f"{train}: none of its {len(names):,} names is a sample of {counts.name}; its samples are called like "
            f"{index[0]}"
        )
    notes = [f"{train}: {absent:,} of its {len(names):,} names are no sample of {counts.name}"] if absent else []
    return counts.view(cells=in_train_n), notes


def _beside(out: Path, method: Normalizer) -> Path | None:
    """Where a fit that took a pass over bulk samples waits until the values are written."""
    from corpuscle.normalize import normalizer_names

    if not (method.reads_dense and method.inductive and method.name in normalizer_names()):
        return None
    return out.parent / f".{out.name}.fit.npz"


def _key(trained: Counts, method: Normalizer, layer: str | None) -> str:
    """What a fit depends on: files, samples, genes, method with its parameters, our version."""
    from corpuscle import __version__
    from corpuscle.counts._identity import gene_hash, identities

    samples = hashlib.sha256("\n".join(map(str, trained.obs.index)).encode()).hexdigest()
    parts = [
        identities(trained), layer, samples, gene_hash(trained.var_names), method.name,
        sorted(method.get_params(deep=False).items()), _lengths(method), __version__,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()


def _lengths(method: Normalizer) -> str | None:
    """Content of a file that is a parameter."""
    path = method.get_params(deep=False).get("lengths")
    if not isinstance(path, str) or not Path(path).is_file():
        return None
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _resume(method: Normalizer, kept: Path, key: str) -> bool:
    """Give the method what an earlier run has learnt, if that is of the very same."""
    from corpuscle.normalize import load_fitted

    if not kept.exists():
        return False
    try:
        earlier, info = load_fitted(kept)
    except SourceError:
        return False
    if info.key != key or type(earlier) is not type(method):
        return False
    method.__dict__.update(vars(earlier))
    return True
