"""What makes the numbers of a run: versions of the packages that compute, and the source of the methods."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from corpuscle import __version__
from corpuscle._versions import installed

__all__ = ["engine_versions", "source_digest"]

ENGINES = (
    "numpy", "scipy", "pandas", "scikit-learn", "anndata", "scanpy", "numba", "igraph", "louvain", "umap-learn",
    "pynndescent", "torch", "lightning", "scvi-tools", "gseapy",
    "sentence-transformers", "transformers", "datasets",
)  # fmt: skip


@cache
def engine_versions() -> dict[str, str]:
    """Package -> version, of those installed whose version can change a number."""
    return {"corpuscle": __version__, "python": platform.python_version(), **installed(ENGINES)}


@cache
def source_digest(modules: tuple[str, ...]) -> str:
    """SHA-256 of the source of modules and packages: code under development changes without its version."""
    digest = hashlib.sha256()
    for module in sorted(set(modules)):
        for file in _files(module):
            digest.update(f"{module}/{file.name}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def _files(module: str) -> Iterable[Path]:
    """Source files of a module, or of all modules of a package; none where it has no file."""
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        return []
    if spec is None:
        return []
    if spec.submodule_search_locations:
        return sorted(file for folder in spec.submodule_search_locations for file in Path(folder).rglob("*.py"))
    return [Path(spec.origin)] if spec.has_location and spec.origin else []
