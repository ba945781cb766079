"""A model's folder: what may be in it, and how it is read without running anything that it names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sentence_transformers.base.modules import Normalize, Router, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding
from transformers.utils import logging

from corpuscle.errors import SourceError
from corpuscle.models.celltext._heads import Head
from corpuscle.models.celltext._omics import OmicsInput

__all__ = ["EMBEDDER", "ROUTES", "TEXT_MODULES", "check_folder", "quiet", "read_modules", "router_modules"]

ROUTES = {("omics", None): "omics", ("text", None): "text", (None, "text"): "text", (None, "omics"): "omics"}
#: Modules that a text encoder may consist of; a final normalisation is left out, since the head follows.
TEXT_MODULES = (Transformer, Pooling, StaticEmbedding)
_KNOWN = {
    "sentence_transformers": {one.__name__: one for one in (*TEXT_MODULES, Router, Normalize)},
    "corpuscle": {one.__name__: one for one in (Head, OmicsInput)},
}
#: The one file that is neither settings nor weights: arrays in a zip, whose reader unpickles nothing.
EMBEDDER = "embedder.npz"
_SUFFIXES = {".json", ".safetensors", ".txt", ".model", ".jinja"}
#: Entries by which a configuration would fetch or run code, or read weights from elsewhere.
_HOSTILE = {
    *("auto_map", "base_model_name_or_path", "custom_pipelines", "gguf_file", "kernel_config", "quantization_config"),
    *("trust_remote_code", "use_kernels", "model_kwargs", "model_args", "config_kwargs", "config_args"),
}
_VOCABULARIES = {"tokenizer.json", "vocab.json", "added_tokens.json"}
_FOLDER_NAME = re.compile(r"[A-Za-z0-9_]+")
_MOST_JSON = 100_000_000


@contextmanager
def quiet() -> Iterator[None]:
    """Without the library's bars for the reading and writing of weights."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def check_folder(folder: Path) -> None:
    """Refuse a folder that holds, or whose configuration names, anything but weights and plain settings.

    Raises
    ------
    SourceError
        A link, a file of another kind (code, pickles), or a configuration that asks for code or for other weights.
    """
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise SourceError(f"{folder}: {name} is a link; a model's folder holds plain files, save it again")
        if path.is_dir():
            continue
        if path.suffix not in _SUFFIXES and name.as_posix() != EMBEDDER:
            raise SourceError(f"{folder}: {name} is no part of a model of cells and text; remove it or save again")
        if path.suffix == ".json" and path.name not in _VOCABULARIES:
            for key, value in _entries(read_json(path)):
                plain = value is None or (isinstance(value, str) and value.isidentifier())
                named = key.endswith("attn_implementation") and not plain
                method = key == "method" and value not in ("forward", None)
                if (key in _HOSTILE and value) or named or method:
                    raise SourceError(f"{folder}: {name} has {key}, which may run code; take a model of ours")


def read_json(path: Path) -> Any:
    """Contents of a JSON file.

    Raises
    ------
    SourceError
        It is missing, too large or no JSON.
    """
    try:
        if path.stat().st_size > _MOST_JSON:
            raise SourceError(f"{path}: is too large for a configuration; save the model again")
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SourceError(f"{path}: cannot be read ({type(error).__name__}); save the model again") from None


def _entries(value: Any) -> Iterable[tuple[str, Any]]:
    """All keys and values of nested dicts and lists."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield from one.items()
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)


def _known(folder: Path, name: object) -> Any:
    """The class of a name; nothing is ever imported because a file says so."""
    package, _, rest = str(name).partition(".")
    found = _KNOWN.get(package, {}).get(rest.rpartition(".")[2])
    if found is None:
        raise SourceError(f"{folder}: asks for the class {str(name)[:80]!r}, which is not ours; take a model of ours")
    return found


def read_modules(folder: Path) -> list[Any]:
    """Router and normalisation of a folder that :func:`check_folder` passed, read offline.

    Raises
    ------
    SourceError
        The folder is damaged, hostile, or of another kind of model.
    """
    try:
        stages = read_json(folder / "modules.json")
        found = [_known(folder, stage["type"]) for stage in stages]
        if found != [Router, Normalize]:
            raise SourceError(f"{folder}: is not a model of cells and text; take a folder that CellText.save wrote")
        config = read_json(folder / "router_config.json")
        routes = {
            route: [_read_module(folder, name, config["types"][name]) for name in config["structure"][route]]
            for route in ("text", "omics")
        }
    except SourceError:
        raise
    except Exception as error:  # the readers of several libraries, each with errors of its own
        text = " ".join(str(error).split())[:200]
        raise SourceError(
            f"{folder}: the model cannot be read ({type(error).__name__}: {text}); save it again"
        ) from None
    return router_modules(routes["text"], routes["omics"], folder)


def _read_module(folder: Path, name: str, type_name: str) -> Any:
    if not _FOLDER_NAME.fullmatch(name):
        raise SourceError(f"{folder}: {name!r} is no folder of a model; save it again")
    kind = _known(folder, type_name)
    if kind in (Router, Normalize):
        raise SourceError(f"{folder}: has a {kind.__name__} inside a route; take a folder that CellText.save wrote")
    with quiet():
        return kind.load(str(folder / name), local_files_only=True, trust_remote_code=False)


def router_modules(text: list[Any], omics: list[Any], where: object = "model") -> list[Any]:
    """The two stages of a model: a router between the sides, and the normalisation to unit length.

    Raises
    ------
    SourceError
        A side does not have the modules that it must have, or the sides end in different widths.
    """
    right = (
        len(text) > 1
        and isinstance(text[-1], Head)
        and all(isinstance(one, TEXT_MODULES) for one in text[:-1])
        and [type(one) for one in omics] == [OmicsInput, Head]
    )
    if not right or text[-1].out_width != omics[-1].out_width or omics[0].width != omics[-1].in_width:
        raise SourceError(f"{where}: its modules do not fit together; take a folder that CellText.save wrote")
    router = Router({"text": text, "omics": omics}, default_route="text", route_mappings=dict(ROUTES))
    return [router, Normalize()]
