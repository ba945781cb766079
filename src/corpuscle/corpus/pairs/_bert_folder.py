"""A folder with the weights of a BERT model, read without running or fetching anything that it names."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from corpuscle.errors import MethodError, SourceError

__all__ = ["BertFolder", "checked_settings", "find_stored", "read_bert_folder"]

#: Environment variable with the folder of the weights, or one that holds it: a stored embedding names its weights by the
#: name of their folder and their SHA-256, not by a path of the machine that it was made on.
FOLDERS = "CORPUSCLE_GENEFORMER"

CONFIG, WEIGHTS, SHARDS = "config.json", "model.safetensors", "model-*-of-*.safetensors"
MOST_CONFIG = 1_000_000
#: Whole numbers that make a model, and the most that any could have: a configuration may claim anything.
SIZES = {
    "hidden_size": 65_536, "num_hidden_layers": 1_000, "num_attention_heads": 1_024, "intermediate_size": 262_144,
    "max_position_embeddings": 1_048_576, "vocab_size": 10_000_000,
}  # fmt: skip
#: What a configuration may leave out.
DEFAULTS: dict[str, Any] = {"type_vocab_size": 2, "layer_norm_eps": 1e-12, "hidden_act": "gelu", "pad_token_id": 0}
ACTIVATIONS = ("gelu", "gelu_new", "relu", "silu")
#: Parts of a checkpoint that a cell's vectors do not go through.
UNUSED = ("cls.", "pooler.", "classifier.", "embeddings.position_ids")


@dataclass(frozen=True, eq=False)
class BertFolder:
    """Settings and weights of a BERT model.

    Attributes
    ----------
    folder
        Where they are.
    settings
        Sizes, activation and the like: all that decides what the weights compute.
    files
        The files of weights.
    """

    folder: Path
    settings: dict[str, Any]
    files: tuple[Path, ...]

    @cached_property
    def sha256(self) -> str:
        """Of all weights."""
        digest = hashlib.sha256()
        for path in self.files:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    def load(self, device: str) -> Any:
        """The model, ready to be asked; every weight is from the files.

        Raises
        ------
        SourceError
            Weights are missing, too many, of other shapes, or damaged.
        MethodError
            PyTorch or transformers is not installed, or there is no such device.
        """
        try:
            import torch
            from safetensors.torch import load_file
            from transformers import BertConfig, BertModel
        except ModuleNotFoundError:
            raise MethodError("embedding geneformer: needs extras; run: pip install 'corpuscle[models,text]'") from None
        config = BertConfig(**self.settings, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        try:
            # On no device at all nothing is allocated, drawn at random or left as it was drawn.
            with torch.device("meta"):
                model = BertModel(config, add_pooling_layer=False)
            weights: dict[str, Any] = {}
            for path in self.files:
                weights |= {_plain(key): value.float() for key, value in load_file(path).items()}
            used = {key: value for key, value in weights.items() if not key.startswith(UNUSED)}
            model.load_state_dict(used, assign=True, strict=True)
        except Exception as error:  # of several libraries, each with errors of its own
            text = " ".join(str(error).split())[:200]
            raise SourceError(
                f"{self.folder}: its weights are not those of its {CONFIG} ({text}); get the model again"
            ) from None
        for name, buffer in list(model.embeddings.named_buffers()):  # neither is ever part of a checkpoint
            places = torch.arange(buffer.shape[-1]).expand(buffer.shape)
            setattr(model.embeddings, name, places if name == "position_ids" else torch.zeros_like(places))
        try:
            return model.eval().requires_grad_(False).to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        except (RuntimeError, AssertionError) as error:
            text = (str(error).splitlines() or ["unknown"])[0][:200]
            raise MethodError(
                f"embedding geneformer: device={device} cannot be used ({text}); take device=cpu"
            ) from None


def read_bert_folder(folder: Path) -> BertFolder:
    """Find settings and weights; the weights are not read yet.

    Raises
    ------
    SourceError
        There is no such folder, it has no safetensors, or it is another kind of model.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder}: is no folder of a BERT model; no weights come with Corpuscle, give your own")
    whole = folder / WEIGHTS
    files = (whole,) if whole.is_file() else tuple(sorted(path for path in folder.glob(SHARDS) if path.is_file()))
    if not files:
        pickled = sorted(path.name for path in folder.glob("*.bin"))
        why = f"; {pickled[0]} is a pickle, which may run code and is never read" if pickled else ""
        raise SourceError(
            f"{folder}: has no {WEIGHTS}{why}: give a folder with config.json and weights as safetensors (none come with "
            "Corpuscle)"
        )
    return BertFolder(folder, checked_settings(_config(folder / CONFIG), str(folder)), files)


def find_stored(name: str, sha256: str, settings: dict[str, Any], embedding: str) -> BertFolder:
    """The folder of weights of an embedding that was stored, which holds its name and their SHA-256 alone.

    Raises
    ------
    SourceError
        It is not found, or holds other weights.
    """
    given = os.environ.get(FOLDERS, "")
    places = [Path(given), Path(given) / name] if given else [Path(name)]
    where = f"name their folder with the environment variable {FOLDERS}"
    place = next((one for one in places if (one / CONFIG).is_file()), None)
    if place is None:
        raise SourceError(
            f"embedding {embedding}: its weights ({name}, SHA-256 {sha256[:12]}...) are not part of it; {where}"
        )
    found = read_bert_folder(place)
    if found.sha256 != sha256 or found.settings != settings:
        raise SourceError(
            f"{place}: holds other weights than embedding {embedding} was made with (SHA-256 {sha256[:12]}...); {where}"
        )
    return found


def _config(path: Path) -> Any:
    try:
        if not path.is_file() or path.stat().st_size > MOST_CONFIG:
            raise SourceError(f"{path}: is no configuration of a model; get the model again")
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        raise SourceError(f"{path}: cannot be read as JSON; get the model again") from None


def checked_settings(given: Any, where: str) -> dict[str, Any]:
    """What of a configuration is used; the rest is never looked at.

    Raises
    ------
    SourceError
        It is no plain BERT encoder, or a value makes no sense.
    """
    if not isinstance(given, Mapping) or given.get("model_type", "bert") != "bert":
        kind = given.get("model_type") if isinstance(given, Mapping) else type(given).__name__
        raise SourceError(f"{where}: is a model of kind {str(kind)[:40]!r}; only BERT encoders can be used")
    for key, plain in (("auto_map", None), ("quantization_config", None), ("position_embedding_type", "absolute")):
        if given.get(key) not in (None, plain):
            raise SourceError(f"{where}: its configuration has {key}, so it is no plain BERT encoder; refused")
    if given.get("is_decoder") or given.get("add_cross_attention"):
        raise SourceError(f"{where}: is a decoder; only BERT encoders can be used")
    settings: dict[str, Any] = {key: given.get(key) for key in SIZES} | {
        key: given.get(key, DEFAULTS[key]) for key in DEFAULTS
    }
    for key, most in (SIZES | {"type_vocab_size": 1_000}).items():
        if type(settings[key]) is not int or not 1 <= settings[key] <= most:
            raise SourceError(f"{where}: {key} is no whole number from 1 to {most:,}; get the model again")
    pad, epsilon = settings["pad_token_id"], settings["layer_norm_eps"]
    right = (
        settings["hidden_act"] in ACTIVATIONS
        and (pad is None or (type(pad) is int and 0 <= pad < settings["vocab_size"]))
        and type(epsilon) is float
        and 0 < epsilon < 1
        and settings["hidden_size"] % settings["num_attention_heads"] == 0
    )
    if not right:
        raise SourceError(f"{where}: its configuration is not that of a BERT encoder; get the model again")
    return settings


def _plain(key: str) -> str:
    """Name of a weight in the encoder alone, whatever head the checkpoint was saved with."""
    return key.removeprefix("bert.")
