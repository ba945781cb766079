"""Opening a folder of rows that somebody else has made, without following it out of itself."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpuscle.errors import SourceError

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["open_splits"]

_LARGEST_JSON = 16 * 2**20
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_SHARD = re.compile(r"-\d{5}-of-\d{5}$")


def open_splits(path: str | Path) -> dict[str, Dataset]:
    """Splits of a saved ``DatasetDict``, a saved ``Dataset``, or a folder of parquet files.

    Raises
    ------
    SourceError
        It is none of these, is damaged, or points out of its folder.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise SourceError(
            f"{folder}: no such folder of rows; give one that datasets has saved, or one of parquet files"
        )
    if (folder / "dataset_dict.json").is_file():
        names = _json(folder / "dataset_dict.json").get("splits")
        if not isinstance(names, list) or not names:
            raise SourceError(f"{folder / 'dataset_dict.json'}: lists no splits; is the folder complete?")
        return {name: _saved(folder / _inside(folder, name)) for name in names}
    if (folder / "state.json").is_file():
        split = _json(folder / "state.json").get("_split")
        return {split if isinstance(split, str) and split else "all": _saved(folder)}
    files = sorted([*folder.glob("*.parquet"), *(folder / "data").glob("*.parquet")])
    if not files:
        raise SourceError(f"{folder}: holds neither a saved data set nor parquet files")
    by_split: dict[str, list[Path]] = {}
    for file in files:
        by_split.setdefault(_SHARD.sub("", file.stem), []).append(file)
    return {name: _parquet(parts) for name, parts in by_split.items()}


def _inside(folder: Path, name: Any) -> str:
    """Check that ``name`` is a plain name of something in ``folder``, and no link out of it."""
    if not isinstance(name, str) or not _PLAIN.fullmatch(name):
        raise SourceError(f"{folder}: refers to {str(name)[:80]!r}, which is not a plain file name; it is not opened")
    if (folder / name).is_symlink() and not (folder / name).resolve().is_relative_to(folder.resolve()):
        raise SourceError(f"{folder}: {name} is a link out of the folder; it is not opened")
    return name


def _json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LARGEST_JSON:
            raise SourceError(f"{path}: larger than {_LARGEST_JSON // 2**20} MiB; that is no description of rows")
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path}: not JSON ({str(error)[:120]}); is the file complete?") from None
    if not isinstance(found, dict):
        raise SourceError(f"{path}: not a JSON object; is the file complete?")
    return found


def _saved(folder: Path) -> Dataset:
    state = _json(folder / "state.json")
    indices = state.get("_indices_data_files")
    listed = [state.get("_data_files"), indices if indices is not None else []]
    for files in listed:
        if not isinstance(files, list) or not all(isinstance(file, dict) for file in files):
            raise SourceError(f"{folder / 'state.json'}: its list of data files is damaged")
        for file in files:
            _inside(folder, file.get("filename"))
    from datasets import Dataset, DatasetInfo

    description = _json(folder / "dataset_info.json")
    try:
        if not state["_data_files"]:
            # datasets saves a split without rows as no file at all, and then cannot open it.
            info = DatasetInfo.from_dict(description)
            return Dataset(info.features.arrow_schema.empty_table(), info=info)
        return Dataset.load_from_disk(str(folder))
    except Exception as error:  # datasets and pyarrow raise many kinds on a damaged folder
        raise SourceError(f"{folder}: datasets cannot open it ({_said(error)}); is it complete?") from None


def _parquet(files: list[Path]) -> Dataset:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from datasets import Dataset

    try:
        return Dataset(pa.concat_tables([pq.read_table(file, memory_map=True) for file in files]))
    except Exception as error:  # as above
        raise SourceError(f"{files[0]}: not a parquet file of rows ({_said(error)})") from None


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
