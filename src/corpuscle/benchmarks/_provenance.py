"""How a result came to be: command, versions, parameters, checksums of the inputs, machine."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from corpuscle import __version__
from corpuscle._versions import installed

__all__ = ["provenance", "sha256"]

PACKAGES = (
    "numpy",
    "scipy",
    "pandas",
    "anndata",
    "scanpy",
    "scikit-learn",
    "numba",
    "h5py",
    "torch",
    "scvi-tools",
    "sctransform",
)


def sha256(path: Path) -> str:
    """SHA-256 of a file, or of a folder's relative names and files in name order."""
    digest = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
        if path.is_dir():
            digest.update(str(file.relative_to(path)).encode() + b"\0")
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def provenance(parameters: dict[str, Any], inputs: Iterable[dict[str, str]], seconds: float) -> dict[str, Any]:
    """The content of ``run.json``."""
    return {
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "versions": {"corpuscle": __version__, "python": platform.python_version(), **installed(PACKAGES)},
        "parameters": parameters,
        "inputs": list(inputs),
        "machine": {"system": platform.system(), "processor": platform.machine(), "cores": os.cpu_count()},
        "seconds": round(seconds, 3),
    }
