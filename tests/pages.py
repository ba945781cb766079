"""What tests look at in a page of HTML."""

from __future__ import annotations

import re
from html.parser import HTMLParser


class Seen(HTMLParser):
    """Elements with their attributes, and every piece of text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def values(self, attribute: str) -> list[str]:
        return [attrs[attribute] or "" for _, attrs in self.tags if attribute in attrs]


def rows_of(html: str, id: str) -> list[list[str]]:
    """Text of the cells of a table, row by row."""
    body = html.split(f'<table id="{id}"')[1].split("</table>")[0].split("<tbody>")[1]
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in body.split("</tr>")[:-1]]
    return [[re.sub(r"<[^>]*>", "", cell).strip() for cell in row] for row in rows]
