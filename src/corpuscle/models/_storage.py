"""A model as a folder: weights as safetensors, all else as readable JSON, and nothing that could run code.

The two files have fixed names, so that no path is ever read from a file, and the JSON holds the SHA-256 of the weights.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpuscle import __version__
from corpuscle._folders import new_folder
from corpuscle._versions import installed
from corpuscle.errors import MethodError, OutputError, SourceError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["CARD", "WEIGHTS", "check_model_target", "read_model", "save_model"]

CARD, WEIGHTS = "model.json", "weights.safetensors"
FORMAT = 1
#: A card holds gene names and a training history: a few MB. More is no card.
MOST_CARD_BYTES = 64 * 2**20
PACKAGES = ("torch", "scvi-tools", "lightning", "safetensors", "numpy")
GET_AGAIN = "get the folder again, or train the model anew"


def save_model(
    directory: str | Path,
    *,
    kind: str,
    state: Mapping[str, Tensor],
    about: Mapping[str, Any],
    overwrite: bool = False,
) -> None:
    """Write a model as a folder that appears when it is complete.

    Parameters
    ----------
    directory
        The folder; its parent must exist.
    kind
        Class of the model; :func:`read_model` asks for it.
    state
        Weights by name.
    about
        Whatever else the model needs, as JSON has it; no NaN.
    overwrite
        Replace a model that is there. Anything else that is there is never replaced.

    Raises
    ------
    OutputError
        Something is there already, or it cannot be written.
    MethodError
        safetensors is not installed.
    """
    directory = Path(directory).expanduser()
    with new_folder(directory, lambda: check_model_target(directory, overwrite=overwrite)) as folder:
        _write_weights(folder / WEIGHTS, state)
        card = {
            "format": FORMAT,
            "kind": kind,
            "weights_sha256": _sha256(folder / WEIGHTS),
            "versions": {"corpuscle": __version__, **installed(PACKAGES)},
            "about": dict(about),
        }
        (folder / CARD).write_text(json.dumps(card, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def check_model_target(directory: Path, *, overwrite: bool) -> None:
    """Refuse a folder that cannot be written or must not be, before any work is done.

    Raises
    ------
    OutputError
        Its parent is missing, or something is there that may not be replaced.
    MethodError
        safetensors is not installed.
    """
    _need_safetensors()
    if not directory.parent.is_dir():
        raise OutputError(f"{directory}: there is no folder {directory.parent}; make it first")
    if not os.path.lexists(directory) or (directory.is_dir() and not any(directory.iterdir())):
        return
    if not (directory / CARD).is_file():
        raise OutputError(f"{directory}: is there already and is not a model; give another name")
    if not overwrite:
        raise OutputError(f"{directory}: a model is there already; give another name, or ask to overwrite it")


def read_model(directory: str | Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`save_model` wrote.

    Returns
    -------
    state
        Weights by name, on the CPU, all finite.
    about
        What was stored beside them. Its content is not checked here.

    Raises
    ------
    SourceError
        There is no such model, it is of another kind or a newer format, or it is damaged.
    MethodError
        safetensors is not installed.
    """
    _need_safetensors()
    directory = Path(directory).expanduser()
    card = _read_card(directory)
    if card.get("kind") != kind:
        raise SourceError(f"{directory}: holds a model of kind {str(card.get('kind'))[:60]!r}, not {kind}")
    weights = directory / WEIGHTS
    if not weights.is_file():
        raise SourceError(f"{directory}: {WEIGHTS} is missing; {GET_AGAIN}")
    try:
        changed = _sha256(weights) != card.get("weights_sha256")
    except OSError as error:
        raise SourceError(f"{weights}: cannot be read: {error.strerror}") from None
    if changed:
        raise SourceError(f"{weights}: truncated or changed since it was written; {GET_AGAIN}")
    about = card.get("about")
    if not isinstance(about, dict):
        raise SourceError(f"{directory / CARD}: says nothing about the model; {GET_AGAIN}")
    return _read_weights(weights), about


def _need_safetensors() -> None:
    if find_spec("safetensors") is None:
        raise MethodError("models are stored with safetensors, which is missing; run: pip install 'corpuscle[models]'")


def _read_card(directory: Path) -> dict[str, Any]:
    path = directory / CARD
    if not directory.is_dir():
        raise SourceError(f"{directory}: there is no such folder; check the path")
    if not path.is_file():
        raise SourceError(f"{directory}: is not a model (there is no {CARD} in it); check the path")
    try:
        if path.stat().st_size > MOST_CARD_BYTES:
            raise SourceError(f"{path}: is too large to be the card of a model; {GET_AGAIN}")
        card = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise SourceError(f"{path}: is not valid JSON; it is damaged: {GET_AGAIN}") from None
    if not isinstance(card, dict) or not isinstance(card.get("format"), int):
        raise SourceError(f"{path}: is not the card of a model; check the path")
    if card["format"] != FORMAT:
        raise SourceError(f"{path}: is of format {card['format']}, this version reads {FORMAT}; update corpuscle")
    return card


def _write_weights(path: Path, state: Mapping[str, Tensor]) -> None:
    from safetensors.torch import save_file

    # Cloned, since safetensors refuses tensors that share memory.
    save_file({name: tensor.detach().cpu().clone().contiguous() for name, tensor in state.items()}, path)


def _read_weights(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state: dict[str, Tensor] = load_file(path, device="cpu")
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError, AttributeError, MemoryError) as error:
        reason = " ".join(str(error).split())[:200]
        raise SourceError(f"{path}: is not a valid safetensors file ({reason}); {GET_AGAIN}") from None
    for name, tensor in state.items():
        if not bool(tensor.isfinite().all()):
            raise SourceError(f"{path}: {name[:60]} is not finite; {GET_AGAIN}")
    return state


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
