"""Cells and text in one space: two sides, each with a head, and the same unit sphere at the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from corpuscle.errors import MethodError, OptionError, SourceError
from corpuscle.models.celltext._folder import router_modules
from corpuscle.models.celltext._heads import Head
from corpuscle.models.celltext._omics import OmicsInput
from corpuscle.models.celltext._saving import read_beside, read_model, write_model
from corpuscle.models.celltext._text import text_modules
from corpuscle.models.celltext.items import Cell, check_texts, split_items
from corpuscle.models.celltext.known import Known
from corpuscle.seeds import stream_seed

__all__ = ["Cell", "CellText"]

Array = np.ndarray[Any, Any]
#: Vectors that go through the head at once.
_CELLS = 8192


class CellText:
    """A text encoder and an input of cell vectors, each with a head to one space of unit vectors.

    Made by :meth:`create` or :meth:`load`. Text is pooled before its head, so that it can be cached.

    Attributes
    ----------
    model
        The sentence-transformers model: a router with the routes ``"text"`` and ``"omics"``, and a normalisation.
    embedder
        The fitted embedder of :mod:`corpuscle.corpus.pairs` that turns raw counts into the cells' vectors, or None;
        saved with the model, so that it can be asked about cells of any source.
    captions
        The :class:`~corpuscle.models.celltext.known.Known` captions of the training, or None; saved too.
    """

    def __init__(self, model: Any, embedder: Any = None, captions: Known | None = None) -> None:
        self.model = model
        self.embedder = embedder
        self.captions = captions

    @classmethod
    def create(
        cls,
        *,
        width: int,
        key: str,
        text_model: Any = None,
        dim: int = 256,
        head: str = "linear",
        seed: int = 0,
        device: str | None = None,
    ) -> CellText:
        """A model with untrained heads.

        Parameters
        ----------
        width, key
            Width of the cells' vectors and the embedding they are of, such as ``"X_pca"``.
        text_model
            Folder of a sentence-transformers model, or one in memory, whose modules are used and not copied;
            all-MiniLM-L6-v2 of the extra ``text`` if None.
        dim
            Width of the shared space.
        head
            ``"linear"`` or ``"mlp"``.
        seed
            Of the heads' first weights.
        device
            Such as ``"cpu"``; the library's choice if None.

        Raises
        ------
        OptionError
            An option makes no sense, or the text model is of another build.
        SourceError
            The text model cannot be read.
        MethodError
            No text model was given and the extra is not installed.
        """
        text = text_modules(text_model)
        text_width = text[-1].get_embedding_dimension()
        omics = OmicsInput(width, key)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(seed, "celltext", "heads"))
            heads = Head(text_width, dim, head), Head(width, dim, head)
        modules = router_modules([*text, heads[0]], [omics, heads[1]])
        return cls(SentenceTransformer(modules=modules, device=device))

    @property
    def _omics(self) -> Any:
        return self.model[0].sub_modules["omics"][0]

    @property
    def width(self) -> int:
        """Width of the cells' vectors."""
        return int(self._omics.width)

    @property
    def key(self) -> str:
        """The embedding that the cells' vectors are of."""
        return str(self._omics.key)

    @property
    def dim(self) -> int:
        """Width of the shared space."""
        return int(self.model[0].sub_modules["omics"][-1].out_width)

    @property
    def store(self) -> Any:
        """The attached store of vectors, or None."""
        return self._omics.store

    def attach(self, store: Any) -> CellText:
        """Look up ids of cells in a :class:`~corpuscle.corpus.pairs.vectors.VectorStore`; returns the model.

        Raises
        ------
        SourceError
            The store is of another key or width than the model was made for.
        """
        self._omics.attach(store)
        return self

    def encode_cells(self, cells: Any, *, batch_size: int = 64) -> Array:
        """Cells in the shared space, shape (n, dim), float32, of unit length.

        Parameters
        ----------
        cells
            Vectors, shape (n, width); or a list of ids, :class:`Cell` and ``{"omics": vector}``.
        batch_size
            Cells at a time.

        Raises
        ------
        MethodError
            The width is wrong, a value is not finite, or ids are given and no store is attached.
        MissingId
            An id is not in the store.
        """
        if hasattr(cells, "to_numpy"):  # a data frame, a column or an index
            cells = cells.to_numpy()
        if isinstance(cells, np.ndarray) and cells.dtype.kind not in "OUS":
            if cells.ndim != 2 or cells.shape[1] != self.width:
                raise MethodError(
                    f"cells: have shape {cells.shape} and not (n, {self.width}) as {self.key}; "
                    "embed the cells as those the model was trained on"
                )
            return self._encode_vectors(cells, batch_size)
        if isinstance(cells, (str, dict, Cell)) or not hasattr(cells, "__iter__"):
            raise OptionError(f"cells: one {type(cells).__name__} was given and not a list; put it in a list")
        # The library takes a bare vector for sound, so vectors go as dicts.
        found: list[Any] = [one if isinstance(one, (str, Cell, dict)) else {"omics": one} for one in cells]
        return self._encode(found, "omics", batch_size)

    def _encode_vectors(self, vectors_nd: Array, batch_size: int) -> Array:
        """The same as cell by cell, without the library's walk over single items: a head is cheap, a million calls are not."""
        _check_batch(batch_size)
        out_nd = np.empty((len(vectors_nd), self.dim), dtype=np.float32)
        step = max(batch_size, _CELLS)
        self.model.eval()
        for start in range(0, len(vectors_nd), step):
            part_nd = np.array(vectors_nd[start : start + step], dtype=np.float32)  # a copy: torch wants to write
            bad_n = ~np.isfinite(part_nd).all(axis=1)
            if bad_n.any():
                first = start + int(np.argmax(bad_n))
                raise MethodError(f"cell {first}: the vector is not finite; embed the cell again or leave it out")
            features = {"input_values": torch.from_numpy(part_nd).to(self.model.device)}
            with torch.inference_mode():
                for module in (*self.model[0].sub_modules["omics"], *list(self.model)[1:]):
                    features = module(features)
            out_nd[start : start + step] = features["sentence_embedding"].float().cpu().numpy()
        return out_nd

    def encode_texts(self, texts: Sequence[str], *, batch_size: int = 64) -> Array:
        """Texts in the shared space, shape (n, dim), float32, of unit length.

        Raises
        ------
        OptionError
            An item is no text, or is the id of a cell (``"omics:..."`` or an id in the attached store).
        """
        return self._encode(check_texts(texts, self.store), "text", batch_size)

    def encode(self, items: Sequence[Any], *, batch_size: int = 64) -> Array:
        """A mixed list of texts, ``{"omics": vector}`` and :class:`Cell`, shape (n, dim), in the order given.

        Raises
        ------
        OptionError, MethodError, MissingId
            As for :meth:`encode_texts` and :meth:`encode_cells`.
        """
        cells, texts = split_items(items)
        out_nd = np.empty((len(items), self.dim), dtype=np.float32)
        # Texts first: what is wrong with them is found before anything is computed.
        checked = check_texts([items[place] for place in texts], self.store)
        out_nd[texts] = self._encode(checked, "text", batch_size)
        out_nd[cells] = self._encode([items[place] for place in cells], "omics", batch_size)
        return out_nd

    def _encode(self, items: list[Any], task: str, batch_size: int) -> Array:
        _check_batch(batch_size)
        if not items:
            return np.empty((0, self.dim), dtype=np.float32)
        out_nd = self.model.encode(items, task=task, batch_size=batch_size, show_progress_bar=False)
        return np.asarray(out_nd, dtype=np.float32)

    def similarity(self, cells: Any, texts: Sequence[str], *, batch_size: int = 64) -> Array:
        """Cosine of each cell with each text, shape (cells, texts), float32."""
        text_kd = self.encode_texts(texts, batch_size=batch_size)
        return self.encode_cells(cells, batch_size=batch_size) @ text_kd.T

    def save(self, folder: str | Path, *, force: bool = False) -> None:
        """Write the model to one folder: JSON, safetensors and the embedder's arrays, no pickle; vectors stay out of it.

        Parameters
        ----------
        folder
            To write; it must not be there.
        force
            Replace a model of ours that is there.

        Raises
        ------
        OutputError
            The folder is there already or cannot be written.
        OptionError
            The embedder makes other vectors than the model takes.
        """
        if self.embedder is not None and not self._fits(self.embedder):
            raise OptionError(
                f"embedder: makes X_{self.embedder.name} of width {self.embedder.width}, and the model takes {self.key} "
                f"of width {self.width}; give the embedder that it was trained with"
            )
        about = {"key": self.key, "width": self.width, "dim": self.dim}
        write_model(self.model, Path(folder), about, embedder=self.embedder, captions=self.captions, force=force)

    def _fits(self, embedder: Any) -> bool:
        return (f"X_{embedder.name}", embedder.width) == (self.key, self.width)

    @classmethod
    def load(cls, folder: str | Path, *, device: str | None = None) -> CellText:
        """Read what :meth:`save` wrote; nothing is fetched and no code of the folder is run.

        Raises
        ------
        SourceError
            The folder is no model of ours, is damaged, or asks for code.
        """
        folder = Path(folder)
        mark, modules = read_model(folder)
        found = cls(SentenceTransformer(modules=modules, device=device), *read_beside(folder))
        if found.embedder is not None and not found._fits(found.embedder):
            raise SourceError(f"{folder}: its embedder makes other vectors than the model takes; save it again")
        if [mark.get("key"), mark.get("width"), mark.get("dim")] != [found.key, found.width, found.dim]:
            raise SourceError(f"{folder}: its mark and its modules are of different models; save it again")
        return found


def _check_batch(batch_size: Any) -> None:
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise OptionError(f"batch_size is {batch_size!r}; give a positive whole number")
