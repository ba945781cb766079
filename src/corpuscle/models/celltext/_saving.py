"""Writing a model to a folder whole or not at all, and reading it back only if its weights are those written."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from corpuscle._folders import new_folder
from corpuscle.errors import OutputError, SourceError
from corpuscle.models.celltext._folder import check_folder, quiet, read_json, read_modules

__all__ = ["check_target", "read_model", "write_model"]

_MARK = "celltext.json"
_SCHEMA = 1


def write_model(model: Any, folder: Path, about: dict[str, Any], *, force: bool) -> None:
    """Write modules, and a mark with ``about`` and the digests of all weights.

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
        mark = {**about, "schema": _SCHEMA, "weights": _digests(work)}
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
    return mark, read_modules(folder)


def _digests(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.rglob("*.safetensors")):
        with path.open("rb") as stream:
            found[path.relative_to(folder).as_posix()] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found
