"""What samples are: labels from folders, tables, or rules over what submitters wrote, each with its evidence."""

from __future__ import annotations

from corpuscle._lazy import lazy

_WHERE = {
    "store": ("Labels",),
    "summary": ("LabelSummary",),
    "folders": ("labels_from_folders",),
    "table": ("labels_from_table",),
    "rules": ("labels_by_rules",),
    "_rule_files": ("Rule", "Rules", "default_rules", "read_rules", "read_terms"),
    "characteristics": ("parse_characteristics",),
    "terms": ("Term", "Terms"),
}
__getattr__, __dir__ = lazy(
    __name__, {name: f"{__name__}.{module}" for module, names in _WHERE.items() for name in names}
)

__all__ = [
    "LabelSummary",
    "Labels",
    "Rule",
    "Rules",
    "Term",
    "Terms",
    "default_rules",
    "labels_by_rules",
    "labels_from_folders",
    "labels_from_table",
    "parse_characteristics",
    "read_rules",
    "read_terms",
]
