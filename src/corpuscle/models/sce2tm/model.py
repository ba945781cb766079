"""SCE2TM as a user meets it: set up, construct, train, ask, save."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
import torch
from scvi import REGISTRY_KEYS
from scvi.data import AnnDataManager
from scvi.data.fields import CategoricalObsField, LayerField, ObsmField
from scvi.model._utils import parse_device_args
from scvi.model.base import BaseModelClass

from corpuscle.counts import Counts
from corpuscle.errors import OptionError, SourceError
from corpuscle.models._genes import match_genes
from corpuscle.models._storage import read_model, save_model
from corpuscle.models.sce2tm._answers import TopicAnswers
from corpuscle.models.sce2tm._card import Card, Expression, Setup, check_fits
from corpuscle.models.sce2tm._encode import encode_cells
from corpuscle.models.sce2tm._fit import Progress, cell_batches, fit, progress_bar
from corpuscle.models.sce2tm._input import TrainingData, check_setup, expression_blocks, open_expression, prepare
from corpuscle.models.sce2tm._outputs import history_frames, history_lists
from corpuscle.models.sce2tm.module import SCE2TMModule
from corpuscle.models.sce2tm.recipe import Recipe
from corpuscle.models.sce2tm.recipe import recipe as recipe_of
from corpuscle.normalize._scvi_quiet import quiet_and_seeded
from corpuscle.seeds import stream_seed

__all__ = ["SCE2TM"]

Array = np.ndarray[Any, Any]
KIND = "SCE2TM"
VIEW = "second_view"
#: Share of the cells trained on when early stopping holds some out.
STOPPING_TRAIN_SIZE = 0.9


class SCE2TM(TopicAnswers, BaseModelClass):
    """Embedded topic model of single cells, guided by a second view of them [1]_.

    Each cell is a mixture of K topics; topics and genes are points in one space, and the weight of a gene in a topic
    follows from their distance. A transport term keeps the topics apart, and where there is a second view of the
    cells (such as the embedding by a foundation model), the topics are trained to agree with it.

    Parameters
    ----------
    adata
        Cells x genes, registered by :meth:`setup_anndata`.
    recipe
        ``"corpuscle"`` (ours), ``"authors"`` (as published), or a :class:`Recipe`.
    seed
        Of everything random: weights, neighbours, mini-batches, sampling. The same seed on the same machine gives the
        same model, and the global random generators are left as they were.
    **changes
        Choices of the recipe to change, such as ``n_topics=20``; see :class:`Recipe`.

    Attributes
    ----------
    genes_
        Names of the V genes the model sees, in order.
    recipe_
        The choices.
    ecr_weight_
        Weight of the transport term, resolved for these data.
    history
        Measure -> data frame of its value in each epoch.

    Raises
    ------
    OptionError
        No such option, or one that makes no sense, such as more topics than genes.
    NotCountsError, MethodError
        The matrix is not raw counts, has too few cells, or an empty one.

    References
    ----------
    .. [1] Chen et al., scE2TM: toward interpretable single-cell embedding via topic modeling. arXiv 2507.08355.

    Examples
    --------
    >>> SCE2TM.setup_anndata(adata, foundation_key="X_scGPT")  # doctest: +SKIP
    >>> model = SCE2TM(adata, n_topics=50, seed=0)  # doctest: +SKIP
    >>> model.train()  # doctest: +SKIP
    >>> adata.obsm["X_topic_logits"] = model.get_latent_representation()  # doctest: +SKIP
    """

    def __init__(self, adata: Any, recipe: str | Recipe = "corpuscle", *, seed: int = 0, **changes: Any) -> None:
        chosen = recipe_of(recipe, **changes)
        _check_seed(seed)
        try:
            super().__init__(adata)
        except ValueError as error:  # scvi-tools' words for an AnnData that was not set up, or copied since
            raise OptionError(f"SCE2TM: {' '.join(str(error).split())}") from None
        setup = Setup(**self.adata_manager._registry["setup_args"])
        data = prepare(adata, setup, chosen)
        card = Card(
            genes=data.genes,
            recipe=chosen,
            setup=setup,
            seed=seed,
            mean_row_sum=data.mean_row_sum,
            ecr_weight=chosen.ecr_weight_for(data.mean_row_sum),
            view_width=None if data.view_ne is None else data.view_ne.shape[1],
            batches=data.batches,
            n_cells=data.x_ng.shape[0],
        )
        self._build(card, data.share_g, data.detected_g)
        self._data: TrainingData | None = data

    def _build(self, card: Card, share_g: Array, detected_g: Array) -> None:
        self._card, self._share_g, self._detected_g = card, share_g, detected_g
        mass_g = torch.from_numpy(share_g) if card.recipe.gene_marginal == "expression" else None
        with quiet_and_seeded(stream_seed(card.seed, "weights")):
            self.module = SCE2TMModule(
                len(card.genes),
                card.recipe,
                ecr_weight=card.ecr_weight,
                view_width=card.view_width,
                n_batches=len(card.batches),
                gene_mass_g=mass_g,
            )
        self.module.eval()
        self._model_summary_string = (
            f"SCE2TM with {card.recipe.n_topics} topics over {len(card.genes):,} genes, "
            f"{'no second view' if card.view_width is None else f'second view of width {card.view_width}'}"
        )

    @classmethod
    def setup_anndata(
        cls,
        adata: Any,
        layer: str | None = None,
        foundation_key: str | None = None,
        batch_key: str | None = None,
        expression: Expression = "counts",
        **kwargs: Any,
    ) -> None:
        """Say where the model finds its input; the matrix itself is not touched.

        Parameters
        ----------
        adata
            Cells x genes, with unique gene names.
        layer
            Layer of the expression; None is ``X``.
        foundation_key
            Key in ``obsm`` of a second view of the cells, of any width; None for none.
        batch_key
            Column of ``obs``: each batch gets an intercept per gene in the decoder.
        expression
            ``"counts"``: raw counts, which the model normalises by its recipe; ``"log"``: logged values, taken as
            they are.
        **kwargs
            For scvi-tools.

        Raises
        ------
        OptionError, GeneError, SourceError, MethodError
            Something that is named is not there, a gene name repeats, or the matrix is genes x cells.
        """
        setup_args = cls._get_setup_method_args(
            cls=cls, adata=adata, layer=layer, foundation_key=foundation_key, batch_key=batch_key, expression=expression
        )
        check_setup(adata, Setup(layer, foundation_key, batch_key, expression))
        fields: list[Any] = [LayerField(REGISTRY_KEYS.X_KEY, layer, is_count_data=False, correct_data_format=False)]
        if foundation_key is not None:
            fields.append(ObsmField(VIEW, foundation_key, correct_data_format=False))
        if batch_key is not None:
            fields.append(CategoricalObsField(REGISTRY_KEYS.BATCH_KEY, batch_key))
        manager = AnnDataManager(fields=fields, setup_method_args=setup_args)
        with quiet_and_seeded(0):
            manager.register_fields(adata, **kwargs)
        cls.register_manager(manager)

    # -- training --------------------------------------------------------------------------------------------

    def train(
        self,
        max_epochs: int | None = None,
        seed: int | None = None,
        accelerator: str = "auto",
        devices: Any = "auto",
        early_stopping: bool = False,
        early_stopping_patience: int = 45,
        train_size: float | None = None,
        progress: bool | Progress | None = None,
    ) -> None:
        """Train, or train on.

        Parameters
        ----------
        max_epochs
            Passes over the cells; the recipe's by default.
        seed
            Of neighbours, mini-batches and sampling; the model's by default.
        accelerator, devices
            ``"auto"`` takes a GPU where there is one.
        early_stopping
            Stop when the loss of held-out cells has not improved for ``early_stopping_patience`` epochs. It knows
            nothing of clusters or topics, hence it is off by default.
        train_size
            Share of the cells trained on; all, or with early stopping 0.9.
        progress
            A bar on stderr (None: if that is a terminal), or a function of (epochs done, in all, what).

        Raises
        ------
        OptionError
            There are no cells attached, or an option makes no sense.
        MethodError
            Training diverged.
        """
        card, data = self._card, self._training_data()
        epochs = card.recipe.epochs_for(data.x_ng.shape[0]) if max_epochs is None else max_epochs
        if epochs < 1:
            raise OptionError(f"max_epochs={epochs} must be 1 or more")
        if train_size is None:
            train_size = STOPPING_TRAIN_SIZE if early_stopping else 1.0
        if early_stopping and train_size == 1:
            raise OptionError("early stopping needs cells that are held out; give a train_size below 1")
        seed = card.seed if seed is None else seed
        _check_seed(seed)
        seed = stream_seed(seed, "train", str(card.epochs))  # a second call must not repeat the batches of the first
        batches = cell_batches(data, card.recipe, seed, train_size)
        with progress_bar(progress) as report:
            fit(
                self, batches, card.recipe, epochs, seed=seed, accelerator=accelerator, devices=devices,
                early_stopping=early_stopping, patience=early_stopping_patience, progress=report,
            )  # fmt: skip
        card.epochs += self.trainer.current_epoch
        card.history = history_lists(self.history_)

    def _training_data(self) -> TrainingData:
        if self._data is None:
            card = self._card
            self._data = prepare(self._attached(), card.setup, card.recipe, card.genes, card.batches)
        return self._data

    def _attached(self) -> Any:
        if self._adata is None:
            raise OptionError("SCE2TM: no cells are attached; load the model with an AnnData, or pass one")
        return self._adata

    # -- cells -----------------------------------------------------------------------------------------------

    def get_latent_representation(self, adata: Any = None, *, layer: str | None = None) -> Array:
        """Topic logits of cells (the posterior mean): what to cluster on.

        Parameters
        ----------
        adata
            New cells: an AnnData, or anything :func:`corpuscle.open_counts` takes. Genes are found by name, in any
            order; missing ones are zero, with a warning, and fewer than half of them are an error. Neither a second
            view nor a batch is needed. By default the cells of the model.
        layer
            Layer of their expression, if not the one of the setup.

        Returns
        -------
        array (n, K) float32
            NaN, with a warning, for a new cell without any count.

        Raises
        ------
        GeneError, NotCountsError, SourceError, OptionError
            The new cells cannot be read as the model's input.
        """
        self._check_if_trained()
        parts = [encode_cells(self.module, x_ng, self._card.recipe.n_topics) for x_ng in self._expression(adata, layer)]
        return np.concatenate(parts) if parts else np.empty((0, self._card.recipe.n_topics), np.float32)

    def _expression(self, adata: Any, layer: str | None = None) -> Iterator[sp.csr_matrix]:
        """Blocks of cells as the network sees them, CSR over the model's genes."""
        if adata is None:
            yield self._training_data().x_ng
            return
        card = self._card
        with self.open_cells(adata, layer) as counts:
            yield from expression_blocks(counts, card.genes, card.recipe.target_sum, card.setup.expression)

    def open_cells(self, adata: Any, layer: str | None = None) -> AbstractContextManager[Counts]:
        """Open cells, for a ``with`` statement, as the other methods do: their names are in ``obs``."""
        setup = self._card.setup
        return open_expression(adata, setup.layer if layer is None else layer, setup.expression)

    # -- files -----------------------------------------------------------------------------------------------

    def save(self, dir_path: str | Path, overwrite: bool = False) -> None:
        """Write the model as a folder: ``weights.safetensors`` and a readable ``model.json``; no pickle, no cells.

        Raises
        ------
        OutputError
            Something is there already (``overwrite`` replaces a model, and nothing else), or it cannot be written.
        """
        state = {f"module.{name}": tensor for name, tensor in self.module.state_dict().items()}
        state |= {"genes.share": torch.from_numpy(self._share_g), "genes.detected": torch.from_numpy(self._detected_g)}
        save_model(dir_path, kind=KIND, state=state, about=self._card.to_dict(), overwrite=overwrite)

    @classmethod
    def load(
        cls, dir_path: str | Path, adata: Any = None, *, accelerator: str = "auto", device: int | str = "auto"
    ) -> Self:
        """Read a model that :meth:`save` wrote.

        Parameters
        ----------
        dir_path
            The folder.
        adata
            Cells to attach, with the layer, second view and batches that it was set up with. Not needed to encode new
            cells: give those to the method.
        accelerator, device
            Where to compute.

        Raises
        ------
        SourceError
            The folder does not hold such a model, or is damaged.
        """
        state, about = read_model(dir_path, KIND)
        card = Card.from_dict(about, str(dir_path))
        share_g, detected_g = check_fits(card, state, str(dir_path))
        model = cls.__new__(cls)
        BaseModelClass.__init__(
            model, registry=cls._get_setup_method_args(cls=cls, adata=None) | {"field_registries": {}}
        )
        model._data = None
        model._build(card, share_g, detected_g)
        weights = {name.removeprefix("module."): one for name, one in state.items() if name.startswith("module.")}
        try:
            model.module.load_state_dict(weights)
        except RuntimeError:
            raise SourceError(
                f"{dir_path}: its weights are not those of the model it describes; get it again"
            ) from None
        model.is_trained_ = card.epochs > 0
        model.history_ = history_frames(card.history)
        model.to_device(parse_device_args(accelerator, device, return_device="torch", validate_single_device=True)[2])
        if adata is not None:
            model._attach(adata)
        return model

    def _attach(self, adata: Any) -> None:
        """Take other cells as the model's own."""
        match_genes([str(name) for name in adata.var_names], self.genes_, source="AnnData")
        self.setup_anndata(adata, **asdict(self._card.setup))
        key, width = self._card.setup.foundation_key, self._card.view_width
        if key is not None and adata.obsm[key].shape[1] != width:
            raise OptionError(f"AnnData: obsm[{key!r}] is of width {adata.obsm[key].shape[1]}, the model's of {width}")
        self._adata, self._data = adata, None
        self._adata_manager = self._get_most_recent_anndata_manager(adata, required=True)
        self._register_manager_for_instance(self._adata_manager)
        self.registry_, self.summary_stats = self._adata_manager.registry, self._adata_manager.summary_stats

    @property
    def adata(self) -> Any:
        """Cells of the model; those set take the place of the ones before."""
        return self._adata

    @adata.setter
    def adata(self, adata: Any) -> None:
        self._attach(adata)

    @property
    def genes_(self) -> list[str]:
        """Names of the V genes the model sees."""
        return self._card.genes

    @property
    def recipe_(self) -> Recipe:
        """The choices."""
        return self._card.recipe

    @property
    def ecr_weight_(self) -> float:
        """Weight of the transport term."""
        return self._card.ecr_weight


def _check_seed(seed: Any) -> None:
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise OptionError(f"seed={seed!r} must be a whole number, 0 or more")
