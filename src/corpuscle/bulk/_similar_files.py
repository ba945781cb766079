"""An index of samples as a folder, and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from corpuscle._folders import new_folder
from corpuscle.bulk._features_files import arrays_of, damaged, load_features, read_json, write_features
from corpuscle.errors import OutputError

if TYPE_CHECKING:
    from corpuscle.bulk.similar import SampleIndex

__all__ = ["load_index", "save_index"]

FORMAT = "corpuscle sample index 1"


def save_index(index: SampleIndex, folder: Path) -> None:
    """Write a folder that is there when it is complete; only an index is replaced."""

    def check() -> None:
        if folder.exists() and not (folder / "index.json").is_file() and (folder.is_file() or any(folder.iterdir())):
            raise OutputError(f"{folder}: holds something else than an index; choose another folder")

    with new_folder(folder, check) as made:
        (made / "features").mkdir()
        write_features(index.features, made / "features")
        about = {"format": FORMAT, "about": index.about, "has_series": index.series_n is not None}
        (made / "index.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
        series_n = np.zeros(0, "U1") if index.series_n is None else index.series_n
        np.savez(made / "index.npz", unit_nd=index.unit_nd, samples=index.samples, series_n=series_n)


def load_index(folder: Path) -> SampleIndex:
    """Read it back, refusing what does not fit together."""
    from corpuscle.bulk.similar import SampleIndex

    about = read_json(folder / "index.json", FORMAT)
    features = load_features(folder / "features")
    arrays = arrays_of(folder / "index.npz", ("unit_nd", "samples", "series_n"))
    unit_nd, samples, series_n = arrays["unit_nd"], arrays["samples"], arrays["series_n"]
    known = about.get("about")
    if not isinstance(known, dict) or not {"samples", "n_samples", "sources"} <= set(known):
        raise damaged(folder, "index.json does not name its collection")
    n = len(samples) if samples.ndim == 1 else -1
    whole = unit_nd.shape == (n, features.n_dims) and unit_nd.dtype == np.float32 and bool(np.isfinite(unit_nd).all())
    texts = samples.dtype.kind == "U" and series_n.dtype.kind == "U"
    if not whole or not texts or series_n.shape != ((n,) if about.get("has_series") else (0,)):
        raise damaged(folder, "its vectors, names and series do not fit together")
    return SampleIndex(features, unit_nd, samples, series_n if about["has_series"] else None, known)
