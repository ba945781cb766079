"""The golden matrix in every format, and where the real data is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from count_files import WRITERS, golden


@pytest.fixture(scope="session")
def golden_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The golden matrix in every format, written once."""
    paths = {}
    for i, (kind, write) in enumerate(WRITERS.items()):
        folder = tmp_path_factory.mktemp(f"golden{i}")
        paths[kind] = write(folder, golden())
    return paths


@pytest.fixture
def files(golden_files: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    """A copy of one golden file that a test may damage."""

    def copy(kind: str) -> Path:
        source = golden_files[kind]
        target = tmp_path / source.name
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
        return target

    return copy


@pytest.fixture
def real_data() -> Path:
    path = Path(os.environ.get("CORPUSCLE_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not (path / "coregulation").is_dir():
        pytest.skip("no real data: set CORPUSCLE_DATA")
    return path
