"""Cells in mini-batches: rows of a sparse matrix as they are asked for, each with a neighbour drawn afresh.

Batches stay sparse. On one core, 512 cells x 5,000 genes into 200 units, forward and weight gradient, take 23 ms as a
dense batch and 3, 7 and 12 ms as weighted sums of weight rows at densities of 3, 8 and 15 %; cutting the rows out takes
0.1 ms. A network that is better off with a dense batch, as on a GPU, makes it dense there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import lightning
import numpy as np
import scipy.sparse as sp
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from corpuscle.errors import MethodError
from corpuscle.models._neighbours import NeighbourLists
from corpuscle.seeds import stream

__all__ = ["Batch", "CellBatches", "SparseRows", "checked_view", "sparse_rows"]

Array = np.ndarray[Any, Any]


class SparseRows(NamedTuple):
    """Some cells in compressed rows: ``crow`` (b + 1,) and ``col`` int32, ``values`` float32, ``shape`` (b, V)."""

    crow: torch.Tensor
    col: torch.Tensor
    values: torch.Tensor
    shape: tuple[int, int]


#: What a mini-batch has, by name.
Batch = dict[str, torch.Tensor | SparseRows]


def sparse_rows(x_bg: sp.csr_matrix) -> SparseRows:
    """CSR matrix as tensors, which share its memory where its types are these."""
    crow, col = (torch.from_numpy(part.astype(np.int32, copy=False)) for part in (x_bg.indptr, x_bg.indices))
    return SparseRows(crow, col, torch.from_numpy(x_bg.data.astype(np.float32, copy=False)), x_bg.shape)


def checked_view(view_ne: Any, n_cells: int, *, key: str, cells: Any = None) -> Array:
    """A second view of the cells as (n, E) float32.

    Parameters
    ----------
    view_ne
        One row of numbers per cell, dense or sparse.
    n_cells
        Cells of the expression matrix.
    key
        Name of the view, for the message.
    cells
        Names of the cells, for the message; their numbers by default.

    Raises
    ------
    MethodError
        Not numbers, not one row per cell, no column, or a value that is NaN or infinite.
    """
    try:
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused below
            dense_ne = np.asarray(view_ne.toarray() if sp.issparse(view_ne) else view_ne, dtype=np.float32)
    except (TypeError, ValueError):
        raise MethodError(
            f"the second view {key!r} is not a matrix of numbers; give one row of numbers per cell"
        ) from None
    if dense_ne.ndim != 2 or dense_ne.shape[0] != n_cells or dense_ne.shape[1] == 0:
        shape = " x ".join(f"{size:,}" for size in dense_ne.shape)
        raise MethodError(f"the second view {key!r} is {shape} for {n_cells:,} cells; give one row of numbers per cell")
    bad_n = ~np.isfinite(dense_ne).all(axis=1)
    if bad_n.any():
        first = int(np.argmax(bad_n))
        column = int(np.argmax(~np.isfinite(dense_ne[first])))
        raise MethodError(
            f"the second view {key!r} is NaN or infinite in {int(bad_n.sum()):,} of {n_cells:,} cells, first at cell "
            f"{first if cells is None else cells[first]!s}, column {column}; embed those cells again or drop them"
        )
    return np.ascontiguousarray(dense_ne)


@dataclass(frozen=True)
class Visit:
    """The cells of one mini-batch, and under which name their neighbours are drawn."""

    rows: Array
    epoch: int
    step: int


class _Visits(Sampler[Visit]):
    """Mini-batches of one pass after another; the pass and the seed alone decide which cells go together."""

    def __init__(self, rows: Array, batch_size: int, seed: int, *, shuffle: bool) -> None:
        self.rows, self.seed, self.shuffle = rows, seed, shuffle
        self.edges = _edges(rows.size, batch_size)
        self.epoch = 0

    def __len__(self) -> int:
        return self.edges.size - 1

    def set_epoch(self, epoch: int) -> None:
        """Say which pass comes next; Lightning does, and otherwise it is the one after the last."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Visit]:
        epoch = self.epoch if self.shuffle else 0
        self.epoch += 1
        rows = stream(self.seed, "order", str(epoch)).permutation(self.rows) if self.shuffle else self.rows
        for step in range(len(self)):
            yield Visit(rows[self.edges[step] : self.edges[step + 1]], epoch, step)


def _edges(n: int, batch_size: int) -> Array:
    """Where batches begin and end. A last batch of one cell joins the one before: it has no variance to normalise by."""
    edges = np.append(np.arange(0, n, batch_size), n)
    return np.delete(edges, -2) if edges.size > 2 and edges[-1] - edges[-2] == 1 else edges


class _Cells(Dataset[Batch]):
    """What the network sees of the cells of a visit."""

    def __init__(
        self,
        x_ng: sp.csr_matrix,
        view_ne: Array | None,
        batch_n: Array | None,
        lists: list[NeighbourLists | None],
        seed: int,
        purpose: str,
    ) -> None:
        self.x_ng, self.view_ne, self.batch_n = x_ng, view_ne, batch_n
        self.lists, self.view_lists = lists
        self.seed, self.purpose = seed, purpose

    def __getitem__(self, visit: Visit) -> Batch:
        rows = visit.rows
        x_bg = self.x_ng[rows]
        row_sum = np.asarray(x_bg.sum(axis=1, dtype=np.float64), np.float32).ravel()
        seen: Batch = {"x": sparse_rows(x_bg), "row_sum": torch.from_numpy(row_sum)}
        if self.batch_n is not None:
            seen["batch"] = torch.from_numpy(self.batch_n[rows])
        if self.view_ne is not None:
            seen["view"] = torch.from_numpy(self.view_ne[rows])
        rng = stream(self.seed, self.purpose, str(visit.epoch), str(visit.step))
        if self.lists is not None:
            seen["x_neighbour"] = sparse_rows(self.x_ng[self.lists.draw(rows, rng)])
        if self.view_ne is not None and self.view_lists is not None:
            seen["view_neighbour"] = torch.from_numpy(self.view_ne[self.view_lists.draw(rows, rng)])
        return seen


class CellBatches(lightning.LightningDataModule):
    """Mini-batches for training, as dictionaries.

    Every batch is a function of the seed, the epoch and its number alone. Each epoch shuffles the cells anew; the last,
    smaller batch is kept. Held-out cells are never drawn as neighbours in training.

    Parameters
    ----------
    x_ng
        Cells x genes, float32, sparse by row; it is not copied and never made dense.
    batch_size
        Cells in a batch.
    seed
        Of the order of the cells and the draws of neighbours.
    view_ne
        Second view of the cells, (n, E) float32; see :func:`checked_view`.
    neighbours, view_neighbours
        Neighbour lists of the cells in expression and in the second view.
    batch_n
        (n,) experimental batch of each cell, numbered from 0.
    train_index, validation_index
        Cells to train on (all, by default) and to validate on (none, by default).

    Attributes
    ----------
    train_idx, val_idx, test_idx
        (n_train,), (n_val,) and (n_rest,) int64 positions of the cells trained on, validated on, and left out.

    Notes
    -----
    A batch of b cells has ``x``, :class:`SparseRows` (b, V), and ``row_sum`` (b,) its sums; ``x_neighbour``, likewise, one
    neighbour of each; ``view`` and ``view_neighbour`` (b, E); ``batch`` (b,) int64. What was not given is absent.

    Raises
    ------
    MethodError
        Fewer than 2 cells to train on, one to train on is held out, or the parts are not of the same cells.
    """

    def __init__(
        self,
        x_ng: sp.csr_matrix,
        *,
        batch_size: int,
        seed: int,
        view_ne: Array | None = None,
        neighbours: NeighbourLists | None = None,
        view_neighbours: NeighbourLists | None = None,
        batch_n: Array | None = None,
        train_index: Array | None = None,
        validation_index: Array | None = None,
    ) -> None:
        super().__init__()
        n = x_ng.shape[0]
        parts = {
            "second view": view_ne,
            "batches": batch_n,
            "neighbours": neighbours,
            "neighbours in the second view": view_neighbours,
        }
        for what, part in parts.items():
            if part is not None and len(part) != n:
                raise MethodError(f"{what}: {len(part):,} rows for {n:,} cells; give one per cell")
        self.x_ng = x_ng.astype(np.float32, copy=False)
        self.view_ne = None if view_ne is None else np.asarray(view_ne, np.float32)
        self.batch_n = None if batch_n is None else np.asarray(batch_n, np.int64)
        self.neighbours, self.view_neighbours = neighbours, view_neighbours
        self.batch_size, self.seed = batch_size, seed
        self.train_idx, self.val_idx, self.test_idx = _split(n, train_index, validation_index)

    @property
    def n_train(self) -> int:
        """Number of cells trained on."""
        return self.train_idx.size

    @property
    def n_val(self) -> int:
        """Number of cells validated on."""
        return self.val_idx.size

    def train_dataloader(self) -> DataLoader[Batch]:
        """Batches of the cells to train on, in a new order each epoch."""
        kept_n = np.zeros(self.x_ng.shape[0], bool)
        kept_n[self.train_idx] = True
        lists = [None if one is None else one.among(kept_n) for one in (self.neighbours, self.view_neighbours)]
        return self._loader(self.train_idx, lists, "train", shuffle=True)

    def val_dataloader(self) -> DataLoader[Batch] | list[Any]:
        """Batches of the held-out cells, the same in every epoch; an empty list if there are none."""
        if not self.n_val:
            return []
        return self._loader(self.val_idx, [self.neighbours, self.view_neighbours], "validation", shuffle=False)

    def _loader(
        self, rows: Array, lists: list[NeighbourLists | None], purpose: str, *, shuffle: bool
    ) -> DataLoader[Batch]:
        cells = _Cells(self.x_ng, self.view_ne, self.batch_n, lists, self.seed, purpose)
        visits = _Visits(rows, self.batch_size, self.seed, shuffle=shuffle)
        # A visit is a batch already. Worker processes would cost more than the fraction of a millisecond that it takes.
        return DataLoader(cells, sampler=visits, batch_size=None, num_workers=0, collate_fn=_as_is)


def _as_is(batch: Batch) -> Batch:
    return batch


def _split(n: int, train_index: Array | None, validation_index: Array | None) -> tuple[Array, Array, Array]:
    held_out = np.unique(np.asarray([] if validation_index is None else validation_index, np.int64))
    rest = np.setdiff1d(np.arange(n), held_out)
    train = rest if train_index is None else np.unique(np.asarray(train_index, np.int64))
    if np.intersect1d(train, held_out).size:
        raise MethodError("a cell is both to train on and held out; give disjoint sets of cells")
    for index in (train, held_out):
        if index.size and not 0 <= index[0] <= index[-1] < n:
            raise MethodError(f"a cell to train or validate on is not one of 0 to {n - 1:,}; give positions of cells")
    if train.size < 2:
        raise MethodError(f"{train.size} cell to train on; a mini-batch needs 2 or more to normalise by")
    return train, held_out, np.setdiff1d(rest, train)
