"""The input side of cells: ids, dicts or bare vectors become the features that a head takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from sentence_transformers.base.modules import InputModule

from corpuscle.errors import MethodError, OptionError, SourceError
from corpuscle.models.celltext.items import Cell

__all__ = ["OmicsInput"]

Array = np.ndarray[Any, Any]


class OmicsInput(InputModule):
    """Vectors of cells as they are, given or looked up in an attached store.

    Parameters
    ----------
    width
        Width d of the vectors.
    key
        Embedding they are of, such as ``"X_pca"``.

    Raises
    ------
    OptionError
        The width is not positive or the key is no text.
    """

    config_keys = ["width", "key"]  # noqa: RUF012  # the library's own way
    config_file_name = "omics_config.json"

    def __init__(self, width: int, key: str) -> None:
        super().__init__()
        if isinstance(width, bool) or not isinstance(width, int) or width < 1:
            raise OptionError(f"width is {width!r}; give the width of the vectors, a positive whole number")
        if not isinstance(key, str) or not key:
            raise OptionError(f"key is {key!r}; give the name of the embedding, such as 'X_pca'")
        self.width, self.key = width, key
        self.store: Any = None

    @property
    def modalities(self) -> list[Any]:
        """The one kind of input, ``"omics"``."""
        return ["omics"]

    def attach(self, store: Any) -> None:
        """Look ids up in this store; it is not saved with the model.

        Raises
        ------
        SourceError
            The store is of another embedding or width.
        """
        where = getattr(store, "folder", "store")
        if store.key != self.key:
            raise SourceError(f"{where}: holds {store.key}, not {self.key} as the model; build a store of {self.key}")
        if store.width != self.width:
            raise SourceError(
                f"{where}: vectors of {store.key} have width {store.width}, the model takes {self.width}; "
                "embed the cells with the embedder that the model was trained with"
            )
        self.store = store

    def preprocess(self, inputs: Sequence[Any], prompt: str | None = None, **kwargs: Any) -> dict[str, Any]:
        """Features of a batch: ``input_values``, shape (b, d), float32.

        Parameters
        ----------
        inputs
            Ids, :class:`Cell`, ``{"omics": vector}`` or bare vectors, in any mixture.

        Raises
        ------
        MissingId
            An id is not in the store; a KeyError too.
        MethodError
            Ids without a store, a vector of another width, or values that are not finite.
        """
        values_bd = np.empty((len(inputs), self.width), dtype=np.float32)
        places: list[int] = []
        ids: list[str] = []
        for place, item in enumerate(inputs):
            if isinstance(item, (str, Cell)):
                places.append(place)
                ids.append(item.id if isinstance(item, Cell) else item)
            else:
                values_bd[place] = self._vector(item, place)
        if ids:
            if self.store is None:
                raise MethodError(f"cell {ids[0]!r}: no vectors are attached to the model; attach a store first")
            values_bd[places] = self.store.lookup(ids)
        return {"input_values": torch.from_numpy(values_bd)}

    def _vector(self, item: Any, place: int) -> Array:
        if isinstance(item, Mapping):
            if set(item) != {"omics"}:
                raise MethodError(f'cell {place}: a dict of {sorted(map(str, item))}; give {{"omics": vector}}')
            item = item["omics"]
        try:
            vector_d = np.asarray(item, dtype=np.float32)
        except (TypeError, ValueError):
            raise MethodError(f"cell {place}: {type(item).__name__} is no vector; give {self.width} numbers") from None
        if vector_d.shape != (self.width,):
            raise MethodError(
                f"cell {place}: the vector has shape {vector_d.shape} and not ({self.width},) as {self.key}; "
                "embed the cells as those the model was trained on"
            )
        if not np.isfinite(vector_d).all():
            raise MethodError(f"cell {place}: the vector is not finite; embed the cell again or leave it out")
        return vector_d

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Pass ``input_values`` on as ``sentence_embedding``, shape (b, d)."""
        features["sentence_embedding"] = features["input_values"]
        return features

    def get_embedding_dimension(self) -> int:
        """Width of the vectors."""
        return self.width

    def save(self, output_path: str, *args: Any, **kwargs: Any) -> None:
        """Write the configuration to a folder; the vectors stay where they are."""
        self.save_config(output_path)

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", **kwargs: Any) -> OmicsInput:
        """Read the configuration from a folder."""
        return cls(**cls.load_config(model_name_or_path, subfolder=subfolder, local_files_only=True))
