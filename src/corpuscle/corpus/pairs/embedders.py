"""Initial embeddings of cells: a vector a cell, by a method that was fitted on the training cells alone."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np

from corpuscle._plugins import Plugins
from corpuscle.corpus.pairs._block import CellBlock
from corpuscle.corpus.pairs._embed_file import read_arrays, write_arrays
from corpuscle.corpus.pairs._embed_genes import Blocks, TrainingBlocks
from corpuscle.corpus.pairs._embed_panel import panel_from_expression, read_panel
from corpuscle.errors import CorpuscleError, MethodError, OptionError, SourceError

__all__ = [
    "ENTRY_POINT_GROUP",
    "Embedder",
    "embed_block",
    "embedder",
    "embedder_names",
    "embedding_words",
    "fit_embedders",
    "load_embedder",
    "panel_from_expression",
    "read_panel",
    "save_embedder",
]

Array = np.ndarray[Any, Any]

#: A package adds its own embedding with an entry point of this group: ``my_embedding = "my_package:MyEmbedding"``.
ENTRY_POINT_GROUP = "corpuscle.pair_embeddings"

#: Word -> where the class is; imported only when it is asked for.
BUILT_IN = {
    "hvg": "_embed_values:HighlyVariable",
    "pca": "_embed_pca:PrincipalComponents",
    "panel": "_embed_values:Panel",
    "scvi": "_embed_scvi:ScviLatent",
    "geneformer": "_embed_geneformer:Geneformer",
}
PLUGINS = Plugins("embedding", ENTRY_POINT_GROUP, "corpuscle.corpus.pairs", BUILT_IN)


@runtime_checkable
class Embedder(Protocol):
    """What an embedding must offer; another package's class needs only this, and an entry point.

    Attributes
    ----------
    kind
        The word that it is registered under.
    name
        What the vectors are called: ``X_<name>``.
    width
        Numbers a cell, known once it is fitted.
    """

    kind: str
    name: str

    @property
    def width(self) -> int:
        """Numbers a cell."""
        ...

    def fit(self, blocks: Blocks) -> Self:
        """Learn from the training cells; ``blocks()`` starts a pass over them and may be called more than once."""
        ...

    def transform(self, block: CellBlock) -> Array:
        """Vectors of the cells of a block: (n, width) float32. Genes are aligned by name; missing ones are 0."""
        ...

    def to_arrays(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """What was learnt: float arrays, and a description that is plain JSON."""
        ...

    @classmethod
    def from_arrays(cls, arrays: dict[str, Array], meta: dict[str, Any]) -> Self:
        """The same embedding again. The file may be anybody's: check all of it."""
        ...


def embedder_names() -> list[str]:
    """Words of every embedding that can be asked for, ours first."""
    return PLUGINS.names()


def embedding_words(text: str) -> list[str]:
    """Cut ``"hvg:n=512,pca:n_components=50,n_genes=2000"`` into its embeddings: a part with ``=`` alone is an option."""
    words: list[str] = []
    for part in (part.strip() for part in text.split(",")):
        if words and re.match(r"[A-Za-z_]\w*=", part):
            words[-1] += ("," if ":" in words[-1] else ":") + part
        elif part:
            words.append(part)
    return words


def embedder(word: str | Embedder) -> Embedder:
    """Make the embedding that a word names, not yet fitted.

    Parameters
    ----------
    word
        ``"hvg"``, or with options ``"hvg:n=512"``, ``"pca:n_components=50,n_genes=2000"``, ``"panel:genes=FILE"``,
        ``"scvi:n_latent=50,max_epochs=20"``, ``"geneformer:model=FOLDER"``; ``name=`` gives the vectors another name. An
        embedding is returned as it is.

    Raises
    ------
    OptionError
        No such embedding, option or value.
    SourceError, GeneError
        The file of a panel cannot be used.
    """
    if not isinstance(word, str):
        if not isinstance(word, Embedder):
            raise OptionError(f"a {type(word).__name__} is no embedding; it needs fit, transform, name and width")
        return word
    kind, colon, rest = word.strip().partition(":")
    made = PLUGINS.find(kind)
    options = _options(kind, rest) if colon else {}
    parameters = inspect.signature(made).parameters
    for option in options:
        if option not in parameters:
            raise OptionError(f"embedding {kind} has no option {option!r}; it has: {', '.join(parameters) or 'none'}")
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and parameter.kind not in (2, 4) and name not in options:
            raise OptionError(f"embedding {kind} needs {name}; write {kind}:{name}=...")
    built: Embedder = made(**options)
    return built


def _options(kind: str, text: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if not equals or not key.strip() or key.strip() in options:
            raise OptionError(f"embedding {kind}: {part!r} is no option; write {kind}:option=value, each option once")
        options[key.strip()] = _value(value.strip())
    return options


def _value(text: str) -> Any:
    for kind, pattern in ((int, r"[+-]?\d{1,18}"), (float, r"[+-]?\d*\.?\d+([eE][+-]?\d+)?")):
        if re.fullmatch(pattern, text):
            return kind(text)
    return text


def fit_embedders(embedders: Sequence[Embedder], blocks: Blocks) -> None:
    """Fit them all on the training cells, with one pass for what they share.

    Parameters
    ----------
    embedders
        Of different names.
    blocks
        Starts a pass over the training cells, and no others.

    Raises
    ------
    OptionError
        Two embeddings have the same name.
    MethodError, GeneError
        One cannot be fitted.
    """
    names = [one.name for one in embedders]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise OptionError(f"two embeddings are called {twice}; give one another name with name=")
    shared = TrainingBlocks(blocks)
    for one in embedders:
        one.fit(shared)


def embed_block(embedders: Iterable[Embedder], block: CellBlock) -> dict[str, Array]:
    """Vectors of the cells of a block, by ``X_<name>``, each (n, width) float32 and finite.

    Raises
    ------
    MethodError
        An embedding returned something else.
    GeneError
        The block has none of an embedding's genes.
    """
    vectors: dict[str, Array] = {}
    for one in embedders:
        x_nd = one.transform(block)
        wanted = (block.n_obs, one.width)
        if not isinstance(x_nd, np.ndarray) or x_nd.shape != wanted or x_nd.dtype != np.float32:
            found = f"{x_nd.shape} {x_nd.dtype}" if isinstance(x_nd, np.ndarray) else type(x_nd).__name__
            raise MethodError(
                f"embedding {one.name} returned {found} for {block.source}, not {wanted} float32; mend it"
            )
        if not np.isfinite(x_nd).all():
            cell = block.obs.index[int(np.argmin(np.isfinite(x_nd).all(axis=1)))]
            raise MethodError(f"embedding {one.name} gives cell {cell} of {block.source} a NaN or infinite value")
        vectors[f"X_{one.name}"] = x_nd
    return vectors


def save_embedder(fitted: Embedder, path: str | Path) -> Path:
    """Store a fitted embedding as ``.npz``, whole or not at all; the same embedding gives the same bytes.

    Raises
    ------
    MethodError
        It is not fitted.
    OutputError
        It cannot be written, or holds what cannot be stored as plain arrays.
    """
    path = Path(path).expanduser()
    arrays, meta = fitted.to_arrays()
    write_arrays(path, fitted.kind, arrays, meta)
    return path


def load_embedder(path: str | Path) -> Embedder:
    """Read what :func:`save_embedder` wrote. Nothing is unpickled; the file may be anybody's.

    Raises
    ------
    SourceError
        It is missing, damaged, no stored embedding, or of a package that is not installed.
    """
    path = Path(path).expanduser()
    kind, arrays, meta = read_arrays(path)
    try:
        loaded: Embedder = PLUGINS.find(kind, SourceError).from_arrays(arrays, meta)
    except SourceError as error:
        raise SourceError(f"{path}: {error}") from None
    except (CorpuscleError, KeyError, TypeError, ValueError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise SourceError(f"{path}: what it says of embedding {kind} makes no sense ({reason}); make it anew") from None
    return loaded
