"""What rules and terms found, collected text by text and spread over the samples that have the text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.bulk.labels._metadata import FieldText
from corpuscle.bulk.labels._rule_files import Rules
from corpuscle.bulk.labels.terms import NOTHING, Label, Term
from corpuscle.errors import OptionError

__all__ = ["Findings", "Found", "defined_labels"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Findings:
    """One entry a finding: codes (e,) into the lists, and what came first (``rank_e``, ``at_e``: word in its text)."""

    sample_e: Array
    label_e: Array
    rule_e: Array
    field_e: Array
    text_e: Array
    rank_e: Array
    at_e: Array
    names: list[str]
    rules: list[str]
    fields: list[str]
    texts: list[str]
    table: pd.DataFrame
    #: All labels that could be found, also those that were not: lines of descent go through them.
    known: dict[str, Label]


@dataclass
class Found:
    """Collects findings, a field at a time.

    ``rank`` is a rule's place, or, for a term, the number of rules and the place of its field.
    """

    labels: dict[str, Label]
    n_rules: int
    _codes: dict[str, dict[str, int]] = field(default_factory=lambda: {"rule": {}, "field": {}, "text": {}})
    _parts: list[Array] = field(default_factory=list)
    _of_rule: list[tuple[str, str]] = field(default_factory=list)
    _place: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self._place = {name: place for place, name in enumerate(self.labels)}

    @classmethod
    def of(cls, rules: Rules) -> Found:
        """Ready for what these rules find.

        Raises
        ------
        OptionError
            One label has two kinds, parents or ids.
        """
        labels = defined_labels(
            [(rule.label, rule.name) for rule in rules.rules]
            + [(term.label, term.rule) for term in rules.terms if term.label.name != NOTHING]
        )
        return cls(labels, len(rules.rules), _of_rule=[(rule.label.name, rule.name) for rule in rules.rules])

    def add_rule(self, text: FieldText, place: int, places_h: Array, what_h: list[str]) -> None:
        """Take what an expression matched: which distinct texts (h,), and what of them."""
        label, name = self._of_rule[place]
        text_h = np.array([self._code("text", one) for one in what_h], dtype=np.int64)
        n = len(places_h)
        self._add(text, places_h, np.full(n, self._label(label)), np.full(n, self._code("rule", name)), text_h,
                  np.full(n, place), np.zeros(n, dtype=np.int64))  # fmt: skip

    def add_terms(self, text: FieldText, place: int, hits: list[tuple[int, int, Term, str]]) -> None:
        """Take the terms found in the field at this place of the order of fields."""
        codes = np.array(
            [
                (which, self._label(term.label.name), self._code("rule", term.rule), self._code("text", what), first)
                for which, first, term, what in hits
            ],
            dtype=np.int64,
        ).reshape(-1, 5)
        self._add(text, *codes[:, :4].T, np.full(len(codes), self.n_rules + place), codes[:, 4])

    def findings(self) -> Findings:
        """All of it; of terms, only those of the first field of each kind and sample."""
        parts = np.concatenate(self._parts, axis=1) if self._parts else np.zeros((7, 0), dtype=np.int64)
        kind_l = pd.factorize(np.array([label.kind for label in self.labels.values()], dtype=object))[0]
        parts = parts[:, _of_first_field(parts, kind_l, self.n_rules)]
        used, label_e = np.unique(parts[1], return_inverse=True)
        definitions = [list(self.labels.values())[k] for k in used]
        table = pd.DataFrame(
            {"label": [d.name for d in definitions], "kind": [d.kind for d in definitions],
             "parent": [d.parent for d in definitions], "id": [d.id for d in definitions]}
        )  # fmt: skip
        sample_e, _, rule_e, text_e, rank_e, at_e, field_e = parts
        words = {name: list(codes) for name, codes in self._codes.items()}
        return Findings(
            sample_e, label_e, rule_e, field_e, text_e, rank_e, at_e, table["label"].tolist(), words["rule"],
            words["field"], words["text"], table,
            self.labels,
        )  # fmt: skip

    def _add(self, text: FieldText, places_h: Array, *columns: Array) -> None:
        """Spread findings on distinct texts (h,) over the samples that have these texts."""
        order = np.argsort(places_h, kind="stable")
        count_t = np.bincount(places_h, minlength=len(text.texts))
        start_t = np.append(0, np.cumsum(count_t))[:-1]
        sample_m = np.flatnonzero(text.code_n >= 0)
        sample_m = sample_m[count_t[text.code_n[sample_m]] > 0] if len(places_h) else sample_m[:0]
        if not len(sample_m):
            return
        code_m = text.code_n[sample_m]
        n_m = count_t[code_m]
        within_e = np.arange(n_m.sum()) - np.repeat(np.cumsum(n_m) - n_m, n_m)
        hit_e = order[np.repeat(start_t[code_m], n_m) + within_e]
        field_e = np.full(len(hit_e), self._code("field", text.name))
        self._parts.append(np.stack([np.repeat(sample_m, n_m), *(column[hit_e] for column in columns), field_e]))

    def _label(self, name: str) -> int:
        return self._place[name]

    def _code(self, what: str, word: str) -> int:
        codes = self._codes[what]
        return codes.setdefault(word, len(codes))


def _of_first_field(parts: Array, kind_l: Array, n_rules: int) -> Array:
    """Which findings stand: all of expressions, and of terms those of the first field for their sample and kind."""
    sample_e, label_e, rank_e = parts[0], parts[1], parts[4]
    group_e = sample_e * (int(kind_l.max()) + 1 if len(kind_l) else 1) + kind_l[label_e]
    is_term_e = rank_e >= n_rules
    kept_e = np.ones(len(sample_e), dtype=bool)
    _, group_t = np.unique(group_e[is_term_e], return_inverse=True)
    least = np.full(int(group_t.max()) + 1 if len(group_t) else 0, np.iinfo(np.int64).max)
    np.minimum.at(least, group_t, rank_e[is_term_e])
    kept_e[is_term_e] = rank_e[is_term_e] == least[group_t]
    return kept_e


def defined_labels(given: Iterable[tuple[Label, str]]) -> dict[str, Label]:
    """Every label by its name; what one place leaves out, another may say.

    Raises
    ------
    OptionError
        Two places say different things of one label.
    """
    known: dict[str, tuple[Label, str]] = {}
    for label, where in given:
        old, first = known.get(label.name, (label, where))
        for what in ("kind", "parent", "id"):
            one, other = getattr(old, what), getattr(label, what)
            if one and other and one != other:
                raise OptionError(
                    f"{where}: the {what} of label {label.name!r} is {other!r} here and {one!r} in {first}; keep one"
                )
        merged = Label(label.name, old.kind or label.kind, old.parent or label.parent, old.id or label.id)
        known[label.name] = (merged, first)
    return {name: label for name, (label, _) in known.items()}
