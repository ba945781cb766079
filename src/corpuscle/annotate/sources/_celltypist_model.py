"""What a CellTypist model file says: a linear classifier of standardised log expression."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from corpuscle.annotate.sources._pickled_model import read_pickled_model
from corpuscle.annotate.sources._pickled_parts import Record, Stored
from corpuscle.errors import SourceError

__all__ = ["LinearModel", "read_celltypist_model"]

Array = np.ndarray[Any, Any]
#: Estimators whose decision is ``x @ coef.T + intercept``.
LINEAR = frozenset({"LogisticRegression", "LogisticRegressionCV", "SGDClassifier"})
#: The largest published model has 24 MB.
MAX_BYTES = 1 << 30
MAX_WORDS = 300


@dataclass(frozen=True)
class LinearModel:
    """One linear decision a type, of expression standardised gene by gene.

    Parameters
    ----------
    genes
        g names.
    types
        k names.
    coef_kg, intercept_k
        (k, g) and (k,).
    mean_g, scale_g
        (g,) what is taken off a gene's log expression, and what it is divided by.
    description
        What the authors say about it, as plain text and numbers.
    """

    genes: tuple[str, ...]
    types: tuple[str, ...]
    coef_kg: Array
    intercept_k: Array
    mean_g: Array
    scale_g: Array
    description: Mapping[str, str | int | float] = field(default_factory=dict)


def read_celltypist_model(path: Path | str) -> LinearModel:
    """Read a model file of CellTypist, or of a program that writes the same format, without unpickling it.

    Parameters
    ----------
    path
        A ``.pkl`` file: a dictionary of ``Model`` (scikit-learn's ``LogisticRegression`` or ``SGDClassifier``),
        ``Scaler_`` (its ``StandardScaler``) and ``description``.

    Raises
    ------
    SourceError
        There is no such file, it is no such model, it is damaged, or it asks for what a model does not need.

    Notes
    -----
    The decision of two types has one row of coefficients; here it has two, one the negative of the other, as CellTypist
    reports it (Domínguez Conde et al. 2022, Science 376, eabl5197).
    """
    path = Path(path)
    content = read_pickled_model(_bytes(path), source=path.name)
    classifier, scaler = _parts(content, path.name)
    types = _names(classifier, "classes_", path.name)
    genes = _names(classifier, "features", path.name)
    coef_kg = _numbers(classifier, "coef_", path.name, ndim=2)
    intercept_k = _numbers(classifier, "intercept_", path.name, ndim=1)
    if len(types) == 2 and len(coef_kg) == 1 and len(intercept_k) == 1:
        coef_kg, intercept_k = np.vstack([-coef_kg, coef_kg]), np.concatenate([-intercept_k, intercept_k])
    if coef_kg.shape != (len(types), len(genes)) or intercept_k.shape != (len(types),):
        raise SourceError(
            f"{path.name}: coefficients of shape {coef_kg.shape} and {len(intercept_k)} intercepts do not fit "
            f"{len(types)} types and {len(genes):,} genes; get the file again"
        )
    mean_g, scale_g = _standards(scaler, len(genes), path.name)
    words = _description(content.get("description"))
    return LinearModel(genes, types, coef_kg, intercept_k, mean_g, scale_g, words)


def _bytes(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise SourceError(f"{path}: no such file; give the path of a CellTypist model (.pkl)")
        if path.stat().st_size > MAX_BYTES:
            raise SourceError(
                f"{path.name}: over {MAX_BYTES >> 30} GiB, which no linear model needs; give another file"
            )
        return path.read_bytes()
    except OSError as problem:
        raise SourceError(f"{path.name}: cannot be read ({problem.strerror})") from None


def _parts(content: Any, source: str) -> tuple[Record, Record]:
    if not isinstance(content, dict) or not {"Model", "Scaler_"} <= content.keys():
        raise SourceError(
            f"{source}: no CellTypist model (a dictionary of Model, Scaler_ and description); give another"
        )
    classifier, scaler = content["Model"], content["Scaler_"]
    for part, known in ((classifier, LINEAR), (scaler, frozenset({"StandardScaler"}))):
        name = part.name.rsplit(".", 1)[-1] if isinstance(part, Record) else type(part).__name__
        if not isinstance(part, Record) or name not in known:
            raise SourceError(f"{source}: holds a {name[:60]} where one of {', '.join(sorted(known))} is needed")
        if not isinstance(part.state, dict):
            raise SourceError(f"{source}: its {name} is not fitted; give a trained model")
    return classifier, scaler


def _array(record: Record, key: str, source: str) -> Array:
    value = record.field(key)
    if not isinstance(value, Stored):
        raise SourceError(f"{source}: {key} is not an array ({_kind(value)}); give a trained model")
    try:
        return value.array()
    except ValueError:
        raise SourceError(f"{source}: {key} is damaged; get the file again") from None


def _kind(value: Any) -> str:
    if value is None:
        return "absent"
    return value.name[:60] if isinstance(value, Record) else type(value).__name__


def _numbers(record: Record, key: str, source: str, *, ndim: int) -> Array:
    values = _array(record, key, source)
    if values.dtype.kind not in "fiu" or values.ndim != ndim or values.size == 0:
        raise SourceError(f"{source}: {key} has shape {values.shape} of {values.dtype}, not numbers on {ndim} axes")
    if not np.isfinite(values).all():
        raise SourceError(f"{source}: {key} holds NaN or infinity; get the file again, or train the model again")
    return values.astype(np.float64)


def _names(record: Record, key: str, source: str) -> tuple[str, ...]:
    """Names of types or genes; whole numbers become text, as labels of clusters are."""
    values = _array(record, key, source)
    try:
        found = values.tolist()
    except ValueError:
        raise SourceError(f"{source}: {key} is not valid text; get the file again") from None
    if values.ndim != 1 or not found or not all(isinstance(one, str | int) for one in found):
        raise SourceError(f"{source}: {key} is not a list of names; get the file again")
    names = tuple(str(one) for one in found)
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise SourceError(f"{source}: {key} names {name[:40]!r} {times} times; train the model with unique names")
    return names


def _standards(scaler: Record, n_genes: int, source: str) -> tuple[Array, Array]:
    with_mean, with_scale = scaler.field("with_mean") is not False, scaler.field("with_std") is not False
    mean_g = _numbers(scaler, "mean_", source, ndim=1) if with_mean else np.zeros(n_genes)
    scale_g = _numbers(scaler, "scale_", source, ndim=1) if with_scale else np.ones(n_genes)
    if mean_g.shape != (n_genes,) or scale_g.shape != (n_genes,) or not (scale_g > 0).all():
        raise SourceError(
            f"{source}: {len(mean_g):,} means and {len(scale_g):,} standard deviations (all above 0) do not fit "
            f"{n_genes:,} genes; get the file again"
        )
    return mean_g, scale_g


def _description(found: Any) -> dict[str, str | int | float]:
    if not isinstance(found, dict):
        return {}
    return {
        key[:60]: value[:MAX_WORDS] if isinstance(value, str) else value
        for key, value in found.items()
        if isinstance(key, str) and isinstance(value, str | int | float)
    }
