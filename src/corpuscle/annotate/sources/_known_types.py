"""Cell Ontology ids of type names that came without them."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["known_cl_ids"]


def known_cl_ids(types: Sequence[str]) -> tuple[str | None, ...]:
    """Id of each type that the bundled ontology has by label or synonym; None where it has none."""
    from corpuscle.annotate.ontology import cell_ontology

    found = cell_ontology().map_labels(list(types))
    return tuple(found[name] for name in types)
