"""Fitted features as a folder, and back; files from others are read as data and never run."""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from corpuscle import __version__
from corpuscle._folders import new_folder
from corpuscle.counts._identity import gene_hash
from corpuscle.errors import CorpuscleError, MethodError, OutputError, SourceError
from corpuscle.normalize._fitted import load_fitted, save_fitted

if TYPE_CHECKING:
    from corpuscle.bulk._features import Features

__all__ = ["arrays_of", "load_features", "read_json", "save_features", "write_features"]

Array = np.ndarray[Any, Any]
FORMAT = "corpuscle bulk features 1"
#: More than this is not what a folder of features or an index of samples holds.
MOST_BYTES = 16 * 2**30
#: Constructor parameters, in its order.
PARAMS = ("normalizer", "n_genes", "n_pcs", "min_reads", "min_share", "scale", "clip", "random_state")
ARRAYS = ("places_k", "chosen_g", "mean_g", "sd_g", "centre_g", "variance_d", "explained_d")


def save_features(features: Features, folder: Path) -> None:
    """Write a folder that is there when it is complete; only a folder of features is replaced."""

    def check() -> None:
        if folder.exists() and not (folder / "features.json").is_file() and (folder.is_file() or any(folder.iterdir())):
            raise OutputError(f"{folder}: holds something else; choose another folder")

    with new_folder(folder, check) as made:
        write_features(features, made)


def write_features(features: Features, folder: Path) -> None:
    """Write the three files into a folder that is there."""
    fit = folder / "normalizer.npz"
    if features._fitted_on is not None:
        save_fitted(features.normalizer_, fit, features._fitted_on)
    elif features._stored_fit is not None:
        fit.write_bytes(features._stored_fit)
    else:
        raise MethodError("features: these came from another process; save them where they were fitted")
    about = {
        "format": FORMAT, "version": __version__, "params": {name: getattr(features, name) for name in PARAMS},
        "normalizer_params": dict(features.params or {}), "n_samples": features.n_samples_, "about": features.about_,
        "notes": features.notes_, "known_genes": features.known_genes_.tolist(),
        "hash": gene_hash(list(features.known_genes_)),
    }  # fmt: skip
    text = json.dumps(about, indent=1, default=_plain)
    (folder / "features.json").write_text(text, encoding="utf-8")
    axes = np.zeros((0, 0)) if features.components_dg_ is None else features.components_dg_
    named = {
        "places_k": features._places_k, "chosen_g": features._chosen_g, "mean_g": features.mean_g_,
        "sd_g": features.sd_g_, "centre_g": features.centre_g_, "variance_d": features.variance_d_,
        "explained_d": features.explained_d_, "components_dg": axes,
    }  # fmt: skip
    np.savez(folder / "features.npz", **named)  # type: ignore[arg-type]


def load_features(folder: Path) -> Features:
    """Read them back, refusing what does not fit together."""
    from corpuscle.bulk._features import Features

    about = read_json(folder / "features.json", FORMAT)
    arrays = arrays_of(folder / "features.npz", (*ARRAYS, "components_dg"))
    method, info = load_fitted(folder / "normalizer.npz")
    try:
        params = {name: about["params"][name] for name in PARAMS}
        features = Features(**params, params=dict(about["normalizer_params"]) or None)
        features._check_params()
        known = [str(name) for name in about["known_genes"]]
        features.about_ = {"genes": str(about["about"]["genes"]), "sources": list(about["about"]["sources"])}
        features.n_samples_, features.notes_ = int(about["n_samples"]), [str(line) for line in about["notes"]]
        if gene_hash(known) != about["hash"] or info.genes != known or method.name != features.normalizer:
            raise ValueError("its parts are not of one fit")
        features.known_genes_ = np.array(known)
        _place(features, arrays)
    except (KeyError, TypeError, ValueError, IndexError, CorpuscleError) as error:
        raise damaged(folder, error) from None
    features.normalizer_ = method
    features._stored_fit = (folder / "normalizer.npz").read_bytes()
    return features


def _place(features: Features, arrays: dict[str, Array]) -> None:
    """Give the features their arrays, whose shapes must agree."""
    n_known, n_genes = len(features.known_genes_), len(arrays["chosen_g"])
    axes = arrays["components_dg"]
    n_axes = len(axes) if features.n_pcs is not None else 0
    shapes = {
        "places_k": (n_known,), "chosen_g": (n_genes,), "mean_g": (n_genes,), "sd_g": (n_genes,), "centre_g": (n_genes,),
        "variance_d": (n_axes,), "explained_d": (n_axes,),
        "components_dg": (0, 0) if features.n_pcs is None else (n_axes, n_genes),
    }  # fmt: skip
    for name, shape in shapes.items():
        array = arrays[name]
        kind = "iu" if name in ("places_k", "chosen_g") else "f"
        if array.shape != shape or array.dtype.kind not in kind or not np.isfinite(array).all():
            raise ValueError(f"{name} is {array.dtype} of shape {array.shape}")
    chosen = arrays["chosen_g"]
    if not n_genes or chosen.min() < 0 or chosen.max() >= n_known or (arrays["sd_g"] <= 0).any():
        raise ValueError("its genes cannot be")
    if arrays["places_k"].min() < 0:
        raise ValueError("its genes have no place")
    features._places_k, features._chosen_g = arrays["places_k"], chosen
    features.genes_ = features.known_genes_[chosen]
    features.mean_g_, features.sd_g_, features.centre_g_ = arrays["mean_g"], arrays["sd_g"], arrays["centre_g"]
    features.variance_d_, features.explained_d_ = arrays["variance_d"], arrays["explained_d"]
    features.components_dg_ = None if features.n_pcs is None else axes


def read_json(path: Path, format: str) -> dict[str, Any]:
    """A JSON object that says that it is of this format.

    Raises
    ------
    SourceError
        It is missing or something else.
    """
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror or error}); give a folder that was saved") from None
    except (ValueError, RecursionError) as error:
        raise damaged(path.parent, error) from None
    if not isinstance(about, dict) or about.get("format") != format:
        raise damaged(path.parent, f"{path.name} does not say {format!r}")
    return about


def arrays_of(path: Path, names: tuple[str, ...]) -> dict[str, Array]:
    """The named arrays of an ``.npz`` file, without pickles.

    Raises
    ------
    SourceError
        It is missing, damaged, or too large.
    """
    try:
        with zipfile.ZipFile(path) as packed:
            if sum(member.file_size for member in packed.infolist()) > MOST_BYTES:
                raise damaged(path.parent, "it unpacks to more than it can hold")
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in names}
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror or error}); give a folder that was saved") from None
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError, zlib.error, MemoryError, SyntaxError) as error:
        raise damaged(path.parent, error) from None


def damaged(folder: Path, reason: object) -> SourceError:
    """The error that says so."""
    return SourceError(
        f"{folder}: is not what was saved, or is damaged ({' '.join(str(reason).split())[:120]}); make it again"
    )


def _plain(value: Any) -> Any:
    """Numbers of NumPy and paths as JSON knows them."""
    return value.item() if isinstance(value, np.generic) else str(value)
