"""``corpuscle train cell-text``: cells and words in one space, from a data set of pairs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from corpuscle.cli._app import console, emit_json
from corpuscle.cli._notes import model_notes
from corpuscle.cli._progress import steps
from corpuscle.cli.train import train
from corpuscle.errors import OptionError, OutputError, SourceError

__all__ = ["train_cell_text"]


@train.command("cell-text", epilog="Example: corpuscle train cell-text study.pairs --key X_pca -o study.model")
def train_cell_text(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that corpus pair wrote.")],
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="MODEL", help="The model's folder to write.", show_default=False)
    ],
    key: Annotated[
        str | None, typer.Option("--key", help="Embedding of the cells, e.g. X_pca; the first of DIR's.")
    ] = None,
    text_model: Annotated[
        str | None, typer.Option("--text-model", metavar="FOLDER|NAME", help="Text encoder; MiniLM, which is offline.")
    ] = None,
    dim: Annotated[int, typer.Option("--dim", help="Dimensions of the shared space.")] = 256,
    head: Annotated[str, typer.Option("--head", help="linear or mlp.")] = "linear",
    epochs: Annotated[int, typer.Option("--epochs", help="Passes over the training rows.")] = 30,
    batch_size: Annotated[
        int, typer.Option("--batch-size", help="Rows at once; they are each other's negatives.")
    ] = 64,
    text_rate: Annotated[
        float | None, typer.Option("--text-rate", help="Learning rate of the text encoder; frozen if not given.")
    ] = None,
    learning_rate: Annotated[float, typer.Option("--learning-rate", help="Learning rate of the heads.")] = 1e-3,
    freeze_epochs: Annotated[
        int, typer.Option("--freeze-epochs", metavar="N", help="Epochs before the text encoder is trained too.")
    ] = 0,
    plain: Annotated[bool, typer.Option("--plain", help="Let cells of one caption be each other's negatives.")] = False,
    symmetric: Annotated[bool, typer.Option("--symmetric", help="Also tell cells apart given a caption.")] = False,
    negatives: Annotated[bool, typer.Option("--negatives", help="Use the rows' own negatives too.")] = False,
    mine: Annotated[
        int,
        typer.Option("--mine", metavar="N", help="Train on for a third of the epochs with N mined negatives a cell."),
    ] = 0,
    mine_skip: Annotated[
        int, typer.Option("--mine-skip", metavar="K", help="Nearest captions that are not mined.")
    ] = 0,
    mine_max_score: Annotated[
        float, typer.Option("--mine-max-score", metavar="S", help="Highest cosine of a cell and a mined caption.")
    ] = 1.0,
    seed: Annotated[int, typer.Option("--seed", help="Seed of everything random.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace a model that is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")] = False,
) -> None:
    """Learn a space in which a cell is near its caption, and say how well held-out cells find theirs.

    Scores are of new cells of known captions. A type that no training caption names is not recognised by such a model.
    """
    if out.exists() and not force:
        raise OutputError(f"{out}: is there already; give another name, or --force to replace it")
    training: dict[str, Any] = {
        "epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate, "text_learning_rate": text_rate,
        "freeze_text_epochs": freeze_epochs, "mask_same_caption": not plain, "symmetric": symmetric,
        "negatives": negatives, "seed": seed,
    }  # fmt: skip
    mining = _mining(mine, mine_skip, mine_max_score)
    from corpuscle.corpus.pairs import build_store, read_pairs_manifest

    manifest = read_pairs_manifest(directory)
    chosen = _key(manifest, key, directory)
    embedder = _embedder(manifest, chosen, directory)
    with model_notes(), tempfile.TemporaryDirectory(prefix=".cell-text-", dir=_beside(out)) as work:
        from corpuscle.models.celltext.model import CellText

        rows = _rows(directory)
        store = build_store(rows, chosen, Path(work) / "vectors", cache=Path(work) / "cache", base=directory)
        model = CellText.create(width=store.width, key=chosen, text_model=text_model, dim=dim, head=head, seed=seed)
        history = _fit(model, rows, store, training, mining)
        model.embedder, model.captions = embedder, _captions(rows, manifest)
        found = {split: _held_out(model, rows[split]) for split in ("validation", "test") if rows.get(split)}
        model.save(out, force=force)
    _show(out, chosen, history, found, as_json)


def _mining(n: int, skip: int, max_score: float) -> dict[str, Any] | None:
    if not n and (skip or max_score != 1.0):
        raise OptionError("--mine-skip and --mine-max-score are of mined negatives; give --mine N too")
    return {"n": n, "skip": skip, "max_score": max_score} if n else None


def _fit(model: Any, rows: Any, store: Any, training: dict[str, Any], mining: dict[str, Any] | None) -> Any:
    """Train, in rounds where negatives are mined; the bar counts the epochs of all."""
    from corpuscle.models.celltext.rounds import n_epochs, train_with_mining
    from corpuscle.models.celltext.train import train

    total = n_epochs(training["epochs"]) if mining else training["epochs"]
    with steps("train: cell-text") as progress:
        told = None if progress is None else _told(progress, total)
        if mining is None:
            return train(model, rows, store, progress=told, **training)
        return train_with_mining(model, rows, store, progress=told, **mining, **training)


def _told(progress: Any, total: int) -> Callable[[dict[str, float]], None]:
    """What the training calls after an epoch, for a bar that counts epochs."""
    return lambda entry: progress(int(entry["epoch"]), total, f"loss {entry['loss']:.3f}")


def _beside(out: Path) -> Path:
    if not out.parent.is_dir():
        raise OutputError(f"{out}: there is no folder {out.parent}; make it, or give another name")
    return out.parent


def _key(manifest: Any, key: str | None, directory: Path) -> str:
    have = sorted({name for entry in manifest.archives for name in entry.obsm})
    if not have:
        raise OptionError(f"{directory}: has no embeddings; build it with --embeddings")
    if key is not None and key not in have:
        raise OptionError(f"--key {key!r} must be one of: {', '.join(have)}")
    return key or have[0]


def _embedder(manifest: Any, key: str, directory: Path) -> Any:
    """The fitted embedder that made the vectors; it goes with the model, so that any counts can be searched."""
    from corpuscle.corpus.pairs import load_embedder

    file = next((entry.file for entry in manifest.embedders if entry.key == key), None)
    return None if file is None else load_embedder(directory / file)


def _captions(rows: Any, manifest: Any) -> Any:
    from corpuscle.models.celltext.known import Known

    return Known.of_rows(rows, manifest.captions.source if manifest.captions else None)


def _rows(directory: Path) -> Any:
    from datasets import load_from_disk

    rows = load_from_disk(str(directory))
    columns = rows["train"].column_names if "train" in rows else []
    if "positive" not in columns and "caption" not in columns:
        raise SourceError(f"{directory}: has no captions to train on; build it with --format multiplets or pairs")
    return rows


def _held_out(model: Any, rows: Any) -> dict[str, float]:
    """Metrics of cells against all captions of their split."""
    from corpuscle.models.celltext.zero_shot import label_metrics, zero_shot

    own = "positive" if "positive" in rows.column_names else "caption"
    kept = rows if own == "positive" else rows.filter(lambda label: label == 1.0, input_columns="label")
    pairs = dict(zip(kept["sample_idx"], kept[own], strict=True))
    labels = sorted(set(pairs.values()))
    score_nk = zero_shot(model.encode_cells(list(pairs)), model.encode_texts(labels))
    found = label_metrics(score_nk, list(pairs.values()), labels)
    return {str(name): float(value) for name, value in found["value"].items()}


def _show(
    out: Path, key: str, history: list[dict[str, float]], found: dict[str, dict[str, float]], as_json: bool
) -> None:
    if as_json:
        emit_json({"out": str(out), "key": key, "epochs": len(history), "loss": history[-1]["loss"], "held_out": found})
        return
    for split, numbers in found.items():
        words = ", ".join(
            f"{name} {numbers[name]:.3f}" for name in ("accuracy", "macro_f1", "mean_auc", "mrr") if name in numbers
        )
        console.print(f"{split}, new cells of known captions: {words}", soft_wrap=True, markup=False, highlight=False)
    console.print(f"{key}, {len(history)} epochs: {out}", soft_wrap=True, markup=False, highlight=False)
