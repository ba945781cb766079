"""What the command line prints as JSON can be read by any JSON reader."""

from __future__ import annotations

import json

import pytest

from corpuscle.cli._app import emit_json


def test_undefined_numbers_are_null(capsys: pytest.CaptureFixture[str]) -> None:
    emit_json([{"value": float("nan"), "low": float("-inf"), "n": 3, "name": "NaN"}])

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no JSON")

    assert json.loads(capsys.readouterr().out, parse_constant=refuse) == [
        {"value": None, "low": None, "n": 3, "name": "NaN"}
    ]
