"""Writing a model to a folder whole or not at all, and reading it back only if its weights are those written."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from corpuscle._folders import new_folder
from corpuscle.corpus.pairs.embedders import load_embedder, save_embedder
from corpuscle.errors import OutputError, SourceError
from corpuscle.models.celltext._folder import EMBEDDER, check_folder, quiet, read_json, read_modules
from corpuscle.models.celltext.known import Known

__all__ = ["check_target", "read_beside", "read_model", "write_model"]

_MARK, _CAPTIONS = "celltext.json", "captions.json"
_SCHEMA = 1


def write_model(
    model: Any,
    folder: Path,
    about: dict[str, Any],
    *,
    embedder: Any = None,
    captions: Known | None = None,
    force: bool,
) -> None:
    """Write modules, what stands beside them, and a mark with ``about`` and the digests of all of it.

    Raises
    ------
    OutputError
        The folder is there already or cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror}); choose another folder") from None
    with new_folder(folder, lambda: check_target(folder, force=force)) as work:
        with quiet():
            model.save(str(work), create_model_card=False, safe_serialization=True)
        if embedder is not None:
            save_embedder(embedder, work / EMBEDDER)
        if captions is not None:
            (work / _CAPTIONS).write_text(json.dumps(captions.to_dict()) + os.linesep, encoding="utf-8")
        mark = {**about, "schema": _SCHEMA, "weights": _digests(work), "beside": _beside(work)}
        (work / _MARK).write_text(json.dumps(mark, indent=1, sort_keys=True) + os.linesep, encoding="utf-8")
        for path in (work, *work.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        check_folder(work)  # what could not be loaded again is not left behind


def check_target(folder: Path, *, force: bool) -> None:
    """Refuse a folder that is there and is no model of ours, or may not be replaced, before any work is done.

    Raises
    ------
    OutputError
        It is there.
    """
    # Only a model of ours is ever replaced: whatever else lies there is not ours to remove.
    if folder.exists() and not (force and (folder / _MARK).is_file()):
        raise OutputError(f"{folder}: is there already; remove it or choose another folder")


def read_model(folder: Path) -> tuple[dict[str, Any], list[Any]]:
    """Mark and modules of a folder.

    Raises
    ------
    SourceError
        It is no model of ours, is damaged, or asks for code.
    """
    if not (folder / _MARK).is_file():
        raise SourceError(f"{folder}: is no model of cells and text; take a folder that CellText.save wrote")
    mark = read_json(folder / _MARK)
    if not isinstance(mark, dict) or mark.get("schema") != _SCHEMA:
        raise SourceError(f"{folder}: is no model of schema {_SCHEMA}; save it again")
    check_folder(folder)
    # A text encoder whose weights are missing in part would otherwise be filled up with random ones.
    if mark.get("weights") != _digests(folder):
        raise SourceError(f"{folder}: its weights are not those that were saved; copy or save it again")
    if mark.get("beside", {}) != _beside(folder):
        raise SourceError(f"{folder}: its embedder or captions are not those that were saved; copy or save it again")
    return mark, read_modules(folder)


def read_beside(folder: Path) -> tuple[Any, Known | None]:
    """Embedder and captions of a folder that :func:`read_model` has read; None for what it does not have.

    Raises
    ------
    SourceError
        One of them is not of its form, or the embedder is of a package that is not installed.
    """
    embedder, captions = folder / EMBEDDER, folder / _CAPTIONS
    return (
        load_embedder(embedder) if embedder.is_file() else None,
        Known.from_dict(read_json(captions), str(captions)) if captions.is_file() else None,
    )


def _digests(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): _sha256(path) for path in sorted(folder.rglob("*.safetensors"))}


def _beside(folder: Path) -> dict[str, str]:
    return {name: _sha256(folder / name) for name in (_CAPTIONS, EMBEDDER) if (folder / name).is_file()}


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
