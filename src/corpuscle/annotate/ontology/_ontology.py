"""The Cell Ontology as an object that answers questions about types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from string import Formatter
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.annotate.ontology import _distance
from corpuscle.annotate.ontology._names import NameIndex
from corpuscle.annotate.ontology._terms import Term, normal_id
from corpuscle.annotate.ontology.aliases import NO_TYPE
from corpuscle.annotate.ontology.label_map import LabelMap
from corpuscle.annotate.ontology.levels import level as named_level
from corpuscle.errors import OptionError

__all__ = ["CellOntology"]

Array = np.ndarray[Any, Any]
FIELDS = ("id", "label", "definition", "synonyms")


class CellOntology:
    """Cell types, their names, and what each is a kind of.

    Every id may be written as ``CL:0000236``, ``cl_0000236`` or its full web address. A deprecated id stands for the
    term that replaced it.

    Parameters
    ----------
    terms
        Id -> term.
    source
        What they were read from, for messages.

    Raises
    ------
    SourceError
        A term is a kind of one that is not there, or of itself.
    """

    def __init__(self, terms: Mapping[str, Term], source: str = "Cell Ontology") -> None:
        self.terms = dict(terms)
        self.source = source
        self._up = _distance.upwards(self.terms, source)

    def __len__(self) -> int:
        return len(self.terms)

    def __contains__(self, cl_id: object) -> bool:
        return isinstance(cl_id, str) and normal_id(cl_id) in self.terms

    def __repr__(self) -> str:
        return f"CellOntology({len(self.terms):,} terms, {self.source})"

    def term(self, cl_id: str) -> Term:
        """The term of this very id, deprecated or not.

        Raises
        ------
        OptionError
            It is not an id, or not one of these terms.
        """
        found = self.terms.get(normal_id(cl_id) or "")
        if found is None:
            raise OptionError(
                f"{self.source}: no term {cl_id!r}; look a name up with find(), ids are CL: and seven digits"
            )
        return found

    def current(self, cl_id: str) -> str | None:
        """Id that is valid today: the same, or what replaced it; None where a term was withdrawn without successor."""
        term = self.term(cl_id)
        seen = set()
        while term.deprecated:
            seen.add(term.cl_id)
            following = self.terms.get(term.replaced_by or "")
            if following is None or following.cl_id in seen:
                return None
            term = following
        return term.cl_id

    def label(self, cl_id: str) -> str:
        """Label of the current term; of the withdrawn one where nothing replaced it."""
        return self._now(cl_id).label

    def definition(self, cl_id: str) -> str:
        """Definition, or an empty text: some live terms have none."""
        return self._now(cl_id).definition

    def synonyms(self, cl_id: str) -> tuple[str, ...]:
        """Exact synonyms."""
        return self._now(cl_id).synonyms

    def parents(self, cl_id: str) -> tuple[str, ...]:
        """What a type is directly a kind of."""
        return tuple(parent for parent, _ in self._now(cl_id).parents)

    def ancestors(self, cl_id: str) -> dict[str, int]:
        """All that a type is a kind of, with the fewest steps to each; the type itself is not among them."""
        now = self._now(cl_id).cl_id
        return {other: steps for other, steps in self._up[now].items() if other != now}

    def descendants(self, cl_id: str) -> set[str]:
        """All kinds of a type, and itself."""
        return set(self._down.get(self._now(cl_id).cl_id, ())) | {self._now(cl_id).cl_id}

    def find(self, text: str) -> str | None:
        """Current id that an id, label or synonym stands for.

        Spelling is taken freely: upper case, hyphens and plurals do not matter, ``+`` is ``positive``, ``cell`` may be
        missing, and common abbreviations are known (``corpuscle.annotate.ontology.aliases``).

        Returns
        -------
        str or None
            None where nothing or more than one type is meant; see `candidates`.
        """
        meant = self._meant(text)
        return meant[0] if len(meant) == 1 else None

    def candidates(self, text: str, n: int = 5) -> list[str]:
        """Up to n current ids that a text could mean: those between which it does not decide, else similar names."""
        meant = self._meant(text) or self._advised(text)
        return list(meant[:n]) if meant else self._names.similar(text, n)

    def map_labels(self, labels: Iterable[Any], extra: Mapping[str, str | None] | None = None) -> LabelMap:
        """Id for each different label, None where it means nothing here.

        Parameters
        ----------
        labels
            Texts, any number of times each; missing values are left out.
        extra
            Label -> id or name, which decides before anything else. None says that a label is no cell type, as is known
            of ``unassigned``, ``doublet`` and the like.

        Raises
        ------
        OptionError
            ``extra`` names a type that is not there.
        """
        given = {label: self._resolved(name) if name else None for label, name in (extra or {}).items()}
        different = [str(label) for label in dict.fromkeys(labels) if not pd.isna(label)]
        no_type = {label: None for label in different if label.strip().lower() in NO_TYPE}
        given = {**no_type, **given}
        found = {label: given[label] if label in given else self.find(label) for label in different}
        return LabelMap(found, self, left_out={label for label, name in given.items() if name is None})

    def roll_up(self, cl_ids: Iterable[str | None], level: str | Sequence[str]) -> list[str | None]:
        """Member of a level that each type is, or is a kind of.

        Of several, the one that is a kind of the others; else the nearest; else the first in the level's order.

        Parameters
        ----------
        cl_ids
            Ids; None stays None.
        level
            Ids or names, or the name of a ready-made level (``"broad"``, ``"immune"``).

        Returns
        -------
        list
            As long as ``cl_ids``; None where a type is no kind of any member.
        """
        members = self.members(level)
        asked = list(cl_ids)
        found = {cl_id: self._member(cl_id, members) for cl_id in set(asked) if cl_id is not None}
        return [found[cl_id] if cl_id is not None else None for cl_id in asked]

    def members(self, level: str | Sequence[str]) -> tuple[str, ...]:
        """Current ids of a level that is given by name, or as ids or names of types."""
        # Another release may not have all the members of a ready-made level.
        ready = [member for member in named_level(level) if member in self.terms] if isinstance(level, str) else None
        members = tuple(dict.fromkeys(self._resolved(entry) for entry in (level if ready is None else ready)))
        if not members:
            raise OptionError("the level is empty; give at least one Cell Ontology id")
        return members

    def distance(self, a: str, b: str) -> int | None:
        """Edges of the shortest path between two types that goes up to a common ancestor and down again.

        0 for the same type, symmetric, None without a common ancestor. It is no metric: two parents of one type may be
        further apart than the sum of their distances to it, since the path does not turn at a common kind.
        """
        return _distance.between(self._up[self._now(a).cl_id], self._up[self._now(b).cl_id])

    def distance_matrix(self, ids: Sequence[str]) -> Array:
        """(k, k) such distances of k types, NaN without a common ancestor."""
        return _distance.matrix([self._up[self._now(cl_id).cl_id] for cl_id in ids])

    def distances(self, a_n: Sequence[str | None], b_n: Sequence[str | None]) -> Array:
        """(n,) such distances of n pairs, e.g. of predicted and true types; NaN where one of a pair is None.

        Raises
        ------
        OptionError
            One is longer than the other.
        """
        if len(a_n) != len(b_n):
            raise OptionError(f"{len(a_n):,} types against {len(b_n):,}; give as many of both")
        return _distance.of_pairs(a_n, b_n, self.distance_matrix)

    def describe(self, cl_id: str, template: str = "cell type: {label}. {definition}") -> str:
        """A type in words, for a text encoder; the template is that of LangCell (Zhao et al. 2024, arXiv 2405.06708).

        Parameters
        ----------
        cl_id
            The type.
        template
            Text with any of ``{label}``, ``{definition}``, ``{synonyms}`` (joined by commas) and ``{id}``.

        Raises
        ------
        OptionError
            The template has another field, or cannot be read.
        """
        term = self._now(cl_id)
        fields = (term.cl_id, term.label, term.definition, ", ".join(term.synonyms))
        return _filled(template, dict(zip(FIELDS, fields, strict=True)))

    @cached_property
    def _names(self) -> NameIndex:
        return NameIndex(self.terms)

    @cached_property
    def _down(self) -> dict[str, list[str]]:
        out: dict[str, list[str]] = {}
        for cl_id, up in self._up.items():
            for other in up:
                out.setdefault(other, []).append(cl_id)
        return out

    def _now(self, cl_id: str) -> Term:
        return self.terms[self.current(cl_id) or self.term(cl_id).cl_id]

    def _meant(self, text: str) -> tuple[str, ...]:
        cl_id = normal_id(text)
        ids = ((cl_id,) if cl_id in self.terms else ()) if cl_id else self._names.meant(text)
        return tuple(dict.fromkeys(now for one in ids if (now := self.current(one))))

    def _advised(self, text: str) -> tuple[str, ...]:
        """What may be meant by a withdrawn id or an id with something after it."""
        start, after = text.strip()[:10], text.strip()[10:11]
        cl_id = normal_id(text) or (None if after.isalnum() else normal_id(start))
        if cl_id not in self.terms:
            return ()
        ids = (self.current(cl_id) or "", *self.term(cl_id).consider)
        return tuple(dict.fromkeys(now for one in ids if one in self.terms and (now := self.current(one))))

    def _resolved(self, name: str) -> str:
        found = self.find(name)
        if found is None:
            may = ", ".join(f"{one} {self.label(one)!r}" for one in self.candidates(name, 3))
            raise OptionError(f"{self.source}: {name!r} is no one cell type" + (f"; do you mean {may}?" if may else ""))
        return found

    def _member(self, cl_id: str, members: Sequence[str]) -> str | None:
        up = self._up[self._now(cl_id).cl_id]
        found = [member for member in members if member in up]
        narrow = [one for one in found if not any(one in self._up[other] for other in found if other != one)]
        return min(narrow, key=up.__getitem__, default=None)


def _filled(template: str, fields: Mapping[str, str]) -> str:
    try:
        other = [name for _, name, _, _ in Formatter().parse(template) if name is not None and name not in fields]
        if not other:
            return template.format_map(fields).strip()
    except (ValueError, KeyError) as error:
        raise OptionError(f"template {template[:60]!r} cannot be read: {error}") from None
    raise OptionError(f"template {template[:60]!r}: no field {other[0]!r}; there are {', '.join(fields)}")
