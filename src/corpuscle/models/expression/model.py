"""Generators as a user meets them: set up, construct, train, generate, save."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch

from corpuscle.counts import open_counts
from corpuscle.errors import OptionError, SourceError
from corpuscle.models._storage import read_model, save_model
from corpuscle.models.expression._features import LogComponents
from corpuscle.models.expression._labels import LabelSetup, label_codes
from corpuscle.models.expression._training import Progress
from corpuscle.models.expression.generator import Generator, fit_generator
from corpuscle.models.expression.recipe import Recipe, recipe_of

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["ExpressionDiffusion", "ExpressionGAN", "ExpressionVAE"]

Array = np.ndarray[Any, Any]


class _ExpressionModel:
    """What the three models share.

    Parameters
    ----------
    adata
        Samples x genes with raw counts, registered by :meth:`setup_anndata`. Give the samples to train on only: genes,
        components and weights are all learnt from them.
    recipe
        Choices of the network and its training, or their name; ours by default.
    preset
        Another way to name a recipe, such as ``"reference"`` of the GAN; not both.
    n_genes, n_pcs
        Genes that vary most, and principal components of their z-scored log2(1 + CPM) that the network learns.

    Attributes
    ----------
    labels_
        Names of the labels, sorted.
    genes_
        Names of the genes.
    recipe_
        The choices.
    history
        Data frame of the looks at training: ``step``, losses, and ``mmd``, the discrepancy from held-out samples.

    Raises
    ------
    OptionError
        The AnnData is not set up, samples have no label, or a choice makes no sense.
    MethodError
        A label has fewer than 2 samples, a sample has no counts, or all samples are alike.
    NotCountsError
        The matrix is not raw counts.
    """

    kind: ClassVar[str]
    _score_nk: Array | None
    _code_n: Array | None
    _generator: Generator | None = None

    def __init__(
        self,
        adata: AnnData,
        recipe: Recipe | str | None = None,
        *,
        preset: str | None = None,
        n_genes: int = 2000,
        n_pcs: int = 100,
    ) -> None:
        if recipe is not None and preset is not None:
            raise OptionError(f"recipe and preset={preset!r} both name the choices; give one of them")
        self.recipe_ = recipe_of(self.kind, recipe if preset is None else preset)
        self._setup = LabelSetup.of(adata, type(self).__name__)
        self.labels_, self._code_n = label_codes(adata.obs, self._setup.labels_key)
        with open_counts(adata, self._setup.layer) as counts:
            self._features, self._score_nk = LogComponents.fit(counts, n_genes, n_pcs)

    @classmethod
    def setup_anndata(cls, adata: AnnData, labels_key: str, layer: str | None = None) -> None:
        """Say where the model finds its input; the matrix itself is not touched.

        Parameters
        ----------
        adata
            Samples x genes.
        labels_key
            Column of ``obs`` with one label per sample.
        layer
            Layer of the raw counts; None is ``X``.

        Raises
        ------
        OptionError
            There is no such column or layer, or samples have no label.
        """
        LabelSetup(labels_key, layer).write(adata)

    @property
    def genes_(self) -> list[str]:
        """Names of the genes."""
        return self._features.genes

    @property
    def history(self) -> pd.DataFrame:
        """Looks at training."""
        return self._trained().history

    def _trained(self) -> Generator:
        if self._generator is None:
            raise OptionError(f"{type(self).__name__}: not trained yet; call train first")
        return self._generator

    def train(self, max_steps: int | None = None, seed: int = 0, progress: Progress | None = None) -> None:
        """Train from the beginning.

        Parameters
        ----------
        max_steps
            Most steps of the optimiser; the recipe's by default. Training stops earlier where it no longer helps.
        seed
            Of everything random; with one thread of PyTorch the same seed gives the same model.
        progress
            Called with (steps done, most steps, what).

        Raises
        ------
        OptionError
            The model was loaded and has no samples, or ``max_steps`` is not 1 or more.
        MethodError
            Training diverged.
        """
        if self._score_nk is None or self._code_n is None:
            raise OptionError(f"{type(self).__name__}: a loaded model has no samples to train on; construct a new one")
        changes = {} if max_steps is None else {"max_steps": max_steps}
        recipe = recipe_of(self.kind, self.recipe_, **changes)
        self._generator = fit_generator(
            self.kind, self._score_nk, self._code_n, recipe=recipe, seed=seed, progress=progress
        )  # fmt: skip

    def generate(self, label: str, n: int, seed: int = 0) -> AnnData:
        """Draw samples of a label.

        Parameters
        ----------
        label
            One of ``labels_``.
        n
            Samples.
        seed
            Of the draw.

        Returns
        -------
        AnnData
            n samples x ``genes_``, log2(1 + CPM) as float32, none below 0; ``obs`` has the label and
            ``synthetic=True``. These are not counts.

        Raises
        ------
        OptionError
            No such label, ``n`` is not 1 or more, or the model is not trained.
        """
        from anndata import AnnData

        generator = self._trained()
        if label not in self.labels_:
            known = ", ".join(self.labels_[:10]) + (", ..." if len(self.labels_) > 10 else "")
            raise OptionError(f"label {label!r} is not one the model knows: {known}")
        value_ng = self._features.expression(generator.sample(self.labels_.index(label), n, seed))
        obs = pd.DataFrame(
            {self._setup.labels_key: pd.Categorical([label] * n), "synthetic": True},
            index=[f"synthetic_{i}" for i in range(n)],
        )
        about = {"model": type(self).__name__, "values": "log2(1 + CPM)", "seed": seed}
        return AnnData(value_ng, obs=obs, var=pd.DataFrame(index=self.genes_), uns={"synthetic": about})

    def save(self, dir_path: str | Path, overwrite: bool = False) -> None:
        """Write the trained model as a folder: ``weights.safetensors`` and ``model.json``; no pickle, no samples.

        Raises
        ------
        OutputError
            Something is there already (``overwrite`` replaces a model, and nothing else), or it cannot be written.
        OptionError
            The model is not trained.
        """
        arrays, generator = self._trained().state()
        arrays |= {f"features.{name}": one for name, one in self._features.arrays().items()}
        about = {
            "generator": generator,
            "genes": self.genes_,
            "labels": self.labels_,
            "labels_key": self._setup.labels_key,
            "layer": self._setup.layer,
        }
        state = {name: torch.from_numpy(np.ascontiguousarray(one)) for name, one in arrays.items()}
        save_model(dir_path, kind=type(self).__name__, state=state, about=about, overwrite=overwrite)

    @classmethod
    def load(cls, dir_path: str | Path) -> Self:
        """Read a model that :meth:`save` wrote. It generates the same samples, and cannot be trained on.

        Raises
        ------
        SourceError
            The folder does not hold such a model, or is damaged.
        """
        state, about = read_model(dir_path, cls.__name__)
        model = cls.__new__(cls)
        model._score_nk = model._code_n = None
        try:
            arrays = {name: one.numpy() for name, one in state.items()}
            prefix = "features."
            parts = {name[len(prefix) :]: one for name, one in arrays.items() if name.startswith(prefix)}
            model._features = LogComponents.from_arrays([str(gene) for gene in about["genes"]], parts)
            model._generator = Generator.from_state(arrays, about["generator"])
            model.labels_ = [str(label) for label in about["labels"]]
            model._setup = LabelSetup(str(about["labels_key"]), about["layer"])
            sizes = (len(model.labels_), model._features.component_gk.shape[1])
            if sizes != (model._generator.n_codes, model._generator.n_features) or model._generator.kind != cls.kind:
                raise ValueError
        except (KeyError, TypeError, ValueError, SourceError):
            raise SourceError(f"{dir_path}: its parts do not fit together; get the folder again") from None
        model.recipe_ = model._generator.recipe
        return model


class ExpressionGAN(_ExpressionModel):
    """Conditional Wasserstein GAN with gradient penalty, of principal components of log expression [1]_.

    ``preset="reference"`` is the published notebook's unconditional GAN per label at reduced width, for comparison.

    References
    ----------
    .. [1] Gulrajani et al. 2017, Improved training of Wasserstein GANs. NeurIPS 30. For expression: Lacan, Sebag &
       Hanczar 2023, GAN-based data augmentation for transcriptomics. Bioinformatics 39 (Supplement 1).

    Examples
    --------
    >>> ExpressionGAN.setup_anndata(adata, labels_key="tissue")  # doctest: +SKIP
    >>> model = ExpressionGAN(adata)  # doctest: +SKIP
    >>> model.train(seed=0)  # doctest: +SKIP
    >>> more = model.generate("placenta", 100)  # doctest: +SKIP
    """

    kind = "gan"


class ExpressionVAE(_ExpressionModel):
    """Conditional variational autoencoder of principal components of log expression."""

    kind = "vae"

    def get_latent_representation(self, adata: AnnData | None = None) -> Array:
        """Posterior means of samples, (n, latent) float32; by default of those trained on.

        Parameters
        ----------
        adata
            Other samples with raw counts where the model was set up to find them; genes are found by name. Their labels
            must be known to the model, since the encoder looks at the label too.

        Raises
        ------
        OptionError
            Not trained, no samples, or a label that the model does not know.
        GeneError
            A gene of the model is missing.
        """
        generator = self._trained()
        if adata is None:
            if self._score_nk is None or self._code_n is None:
                raise OptionError(f"{type(self).__name__}: a loaded model has no samples; give an AnnData")
            return generator.encode(self._score_nk, self._code_n)
        _, code_n = label_codes(adata.obs, self._setup.labels_key, self.labels_)
        with open_counts(adata, self._setup.layer) as counts:
            return generator.encode(self._features.scores(counts), code_n)


class ExpressionDiffusion(_ExpressionModel):
    """Denoising diffusion, given a label, of principal components of log expression."""

    kind = "diffusion"
