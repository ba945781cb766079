"""One result and its page, made once."""

from __future__ import annotations

import pytest
from fake_result import make_result

import corpuscle.benchmarks.coregulation  # noqa: F401
from corpuscle.report import Result


@pytest.fixture(scope="session")
def result() -> Result:
    return make_result()


@pytest.fixture(scope="session")
def html(result: Result) -> str:
    return result.html()
