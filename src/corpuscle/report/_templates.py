"""The templates. Autoescaping is on for all of them: a name in a file can never become markup or script."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

__all__ = ["asset", "embedded_json", "piece"]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("corpuscle.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["embedded_json"] = embedded_json
    return environment


def piece(template: str, **values: Any) -> Markup:
    """Fill in a template."""
    return Markup(_environment().get_template(template).render(**values))


def asset(name: str) -> str:
    """Text of a style sheet or script that goes into the page as it is."""
    return (files("corpuscle.report") / "templates" / name).read_text(encoding="utf-8")


def embedded_json(value: Any) -> Markup:
    """JSON that is safe inside a ``script`` element: no character of it can end the element or a line."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)
