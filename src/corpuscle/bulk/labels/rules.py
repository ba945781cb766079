"""Labels from what submitters wrote: ordered regular expressions and a dictionary of terms over metadata fields."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.bulk.labels._conflicts import CONFLICTS, settled
from corpuscle.bulk.labels._evidence import coded
from corpuscle.bulk.labels._findings import Found
from corpuscle.bulk.labels._metadata import FieldText, Metadata
from corpuscle.bulk.labels._rule_files import ANY_FIELD, Rule, Rules
from corpuscle.bulk.labels._text import name_of, spelt, tokens
from corpuscle.bulk.labels.store import Labels
from corpuscle.errors import MethodError, OptionError, SourceError

__all__ = ["labels_by_rules"]

Array = np.ndarray[Any, Any]
Progress = Callable[[int, int, str], None]

#: Seconds that one expression may take, and more for every distinct text; a sound one takes a millionth.
PATIENCE, PATIENCE_A_TEXT = 30.0, 1e-3
#: Texts between two looks at the clock.
BATCH = 64


def labels_by_rules(
    obs: pd.DataFrame,
    rules: Rules,
    *,
    conflict: str = "ambiguous",
    name: str = "the metadata",
    info: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> tuple[Labels, list[str]]:
    """Label samples by rules and terms over their metadata.

    An expression gives its label to every sample whose field it matches. Terms are looked for in their fields; of each
    kind of label, the first field that has a term decides, and all terms in it count. Every distinct text is looked at
    once, and of each its first 500 characters.

    Parameters
    ----------
    obs
        One row a sample.
    rules
        See :func:`~corpuscle.bulk.labels.read_rules`, :func:`~corpuscle.bulk.labels.read_terms` and
        :func:`~corpuscle.bulk.labels.default_rules`.
    conflict
        What becomes of a sample that gets several labels of one kind: ``multi`` keeps them all; ``ambiguous`` gives it none
        of that kind; ``first`` gives it that of the first expression, or else of the term that comes first. A label that
        another of the same kind descends from is no conflict: for the last two, the more special one stands.
    name
        What messages call the metadata.
    info
        Stored with the labels.
    progress
        Called with (steps done, all steps, what is being done).

    Returns
    -------
    tuple
        The labels, whose evidence also has what was set aside, and one line for each thing to know.

    Raises
    ------
    OptionError
        ``conflict`` is none of those, a label has two meanings, or none of the fields exists.
    SourceError
        The fields have no text, or a sample is there twice.
    MethodError
        An expression takes too long on these texts, or nothing matched.
    """
    if conflict not in CONFLICTS:
        raise OptionError(f"conflict {conflict!r} is unknown; choose one of: {', '.join(CONFLICTS)}")
    samples = pd.Index(obs.index.astype(str), dtype=object)
    found = Found.of(rules)
    notes = _search(Metadata(obs), rules, found, name, progress or (lambda *_: None))
    findings = found.findings()
    if not len(findings.sample_e):
        raise MethodError(
            f"{name}: no rule or term matched the text of any of {len(samples):,} samples; look at the fields with "
            "inspect, and add rules"
        )
    y_nl, more = settled(findings, len(samples), conflict)
    words = {"sample": samples.tolist(), "label": findings.names, "rule": findings.rules, "field": findings.fields}
    codes = {"sample": findings.sample_e, "label": findings.label_e, "rule": findings.rule_e, "field": findings.field_e}
    evidence = coded({**codes, "text": findings.text_e}, {**words, "text": findings.texts})
    labels = Labels(samples, tuple(findings.names), y_nl, findings.table, evidence, dict(info or {}))
    unlabelled = len(samples) - labels.n_labelled
    if unlabelled:
        more.append(f"{unlabelled:,} of {len(samples):,} samples got no label")
    return labels, notes + more


def _search(metadata: Metadata, rules: Rules, found: Found, name: str, progress: Progress) -> list[str]:
    """Look at every field that is there; notes on those that are not, and on long texts."""
    wanted = list(dict.fromkeys(field for rule in rules.rules for field in _fields(rule, rules)))
    wanted += [field for field in (rules.fields if len(rules.terms) else ()) if field not in wanted]
    there = [field for field in wanted if metadata.column(field) is not None]
    listed = ", ".join(wanted)
    if not there:
        raise OptionError(
            f"{name}: has none of the fields looked at ({listed}); name others, or label by one column of obs"
        )
    notes = [f"{name}: has no column for the field {field}" for field in wanted if field not in there]
    any_text, n_cut = False, 0
    for done, field in enumerate(there):
        progress(done, len(there), field)
        text = metadata.text(field)
        any_text |= bool((text.code_n >= 0).any())
        n_cut += text.n_cut
        _search_field(text, rules, found, name)
    progress(len(there), len(there), "")
    if not any_text:
        raise SourceError(f"{name}: the fields looked at have no text ({listed}); name others, or label by a table")
    if n_cut:
        notes.append(f"{name}: {n_cut:,} texts are longer than what is looked at, their first 500 characters")
    return notes


def _fields(rule: Rule, rules: Rules) -> tuple[str, ...]:
    return rules.fields if rule.field == ANY_FIELD else (rule.field,)


def _search_field(text: FieldText, rules: Rules, found: Found, name: str) -> None:
    for place, rule in enumerate(rules.rules):
        if text.name in _fields(rule, rules):
            found.add_rule(text, place, *_matches(rule, text, name))
    if text.name in rules.fields and len(rules.terms):
        found.add_terms(text, rules.fields.index(text.name), list(_terms(text, rules)))


def _matches(rule: Rule, text: FieldText, name: str) -> tuple[Array, list[str]]:
    """Places of the texts that a rule matches, and what of them."""
    search, texts = rule.pattern.search, text.texts
    end = time.monotonic() + PATIENCE + PATIENCE_A_TEXT * len(texts)
    places: list[int] = []
    what: list[str] = []
    for first in range(0, len(texts), BATCH):
        if time.monotonic() > end:
            raise MethodError(
                f"{name}: the pattern of {rule.name} takes too long on {text.name}; make it simpler, or split it"
            )
        for place, one in enumerate(texts[first : first + BATCH], first):
            match = search(one)
            if match is not None:
                places.append(place)
                what.append(name_of(match[0]))
    return np.array(places, dtype=np.int64), what


def _terms(text: FieldText, rules: Rules) -> Iterator[tuple[int, int, Any, str]]:
    """(place of the text, first word, term, what it says) of every term in every text."""
    find = rules.terms.find
    for place, one in enumerate(text.texts):
        for first, last, term in find(tokens(one)):
            yield place, first, term, name_of(spelt(one, first, last))
