"""A page: what was learnt, then sections. One file that loads nothing from anywhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from corpuscle import __version__
from corpuscle.report._templates import asset, piece

__all__ = ["Page", "Section", "panels", "prose", "render", "side_by_side", "terms", "unfold"]


@dataclass(frozen=True)
class Section:
    """Part of a page: ``id`` is its anchor, ``short`` its name in the navigation."""

    id: str
    title: str
    short: str
    body: Markup


@dataclass(frozen=True)
class Page:
    """What a reader gets.

    Attributes
    ----------
    kicker
        The question, one short line above the headline.
    headline
        What was learnt, in one plain sentence.
    learnt, unsaid
        Sentences: what else the numbers say, and what they cannot say.
    facts
        (name, value) of the run, shown in one line.
    sections
        In reading order.
    """

    title: str
    kicker: str
    headline: str
    learnt: Sequence[str] = ()
    unsaid: Sequence[str] = ()
    facts: Sequence[tuple[str, str]] = ()
    sections: Sequence[Section] = field(default_factory=list)


def render(page: Page) -> str:
    """Render the page as one HTML document, with a policy that lets the browser load and run nothing else."""
    style, script = asset("page.css"), asset("page.js")
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return str(
        piece("page.html", page=page, style=Markup(style), script=Markup(script), policy=policy, version=__version__)
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def prose(*paragraphs: str) -> Markup:
    """Plain paragraphs."""
    return Markup("\n").join(Markup("<p>{}</p>").format(text) for text in paragraphs if text)


def terms(entries: Sequence[tuple[str, str]]) -> Markup:
    """Draw a list of words and their meanings."""
    return piece("terms.html", entries=entries)


def side_by_side(*figures: Markup) -> Markup:
    """Put figures beside each other where the page is wide enough; empty ones are left out."""
    return Markup('<div class="beside-each-other">{}</div>').format(
        Markup().join(figure for figure in figures if figure)
    )


def unfold(summary: str, body: Markup) -> Markup:
    """Something to open for those who want it."""
    return piece("unfold.html", summary=summary, body=body)


def panels(id: str, label: str, entries: Sequence[tuple[str, Markup]], *, topic: str = "") -> Markup:
    """Panels of which a picker shows one; without scripts all are shown, one below the other.

    Parameters
    ----------
    id, label
        Anchor and label of the picker.
    entries
        (title, panel).
    topic
        Pickers of one topic move together, and the address keeps their choice (``#TOPIC=title``).
    """
    return piece("panels.html", id=id, label=label, entries=entries, topic=topic or id)
