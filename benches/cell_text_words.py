"""How like the captions of training are other wordings, other types, and words that name no cell?

    python -m benches.cell_text_words

Cosines of all-MiniLM-L6-v2 behind the limits below which a search, and types asked of a model, are called unlike anything
in training (``CLOSE`` in corpuscle.models.celltext.closest, ``ALIKE`` in corpuscle.annotate.sources.celltext).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from benches._pages import table
from corpuscle.annotate.ontology import cell_ontology
from corpuscle.models import CellText
from corpuscle.models.celltext import Known
from corpuscle.models.celltext.closest import closest_captions

LABELS = Path(__file__).parent / "text_labels.tsv"
STUDIES = ("kang_ifnb_2800", "zheng_facs_3774", "baron_human_2donors")
TEMPLATES = ("This is a {label} cell.", "{label}")
NO_CELLS = (
    "weather", "tax return", "violin concerto", "football", "a red bicycle", "Paris in spring", "quantum computer", "bread",
    "the stock market", "glacier", "a novel by Tolstoy", "traffic light",
)  # fmt: skip


def kinds(labels: pd.DataFrame, study: str) -> dict[str, list[str]]:
    """Queries about one study: its types in other words, the types of another organ, and words that name no cell."""
    ontology = cell_ontology()
    of = labels[labels["dataset"] == study]
    ids = [one for one in of["cl_id"] if one]
    islets = study.startswith("baron")
    others = labels[labels["dataset"].str.startswith("baron") != islets].drop_duplicates("cl_id")
    strange = [ontology.label(one) for one in others["cl_id"] if one and one not in ids]
    return {
        "another template": [f"Sample of a {label}" for label in of["label"]],
        "names of the ontology": [ontology.label(one) for one in ids],
        "types of another organ": strange,
        "words that name no cell": list(NO_CELLS),
    }


def likeness(model: CellText, captions: Sequence[str], template: str, queries: list[str]) -> pd.Series:
    known = Known(template, dict.fromkeys(captions, 1))
    return closest_captions(model.model, known, queries, top=1)["cosine"]


def main() -> None:
    labels = pd.read_csv(LABELS, sep="\t", keep_default_na=False)
    model = CellText.create(width=2, key="X_none", dim=8)
    rows = []
    for template in TEMPLATES:
        for study in STUDIES:
            captions = [template.format(label=label) for label in labels[labels["dataset"] == study]["label"]]
            for kind, queries in kinds(labels, study).items():
                found = likeness(model, captions, template, queries)
                rows.append({
                    "captions": template, "study": study, "queries": kind, "n": len(queries), "median": found.median(),
                    "reach .5": (found >= 0.5).mean(), "reach .8": (found >= 0.8).mean(),
                })  # fmt: skip
    print(table(pd.DataFrame(rows), dict.fromkeys(("median", "reach .5", "reach .8"), ".2f")))


if __name__ == "__main__":
    main()
