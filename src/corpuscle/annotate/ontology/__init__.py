"""The Cell Ontology: what a cell type is called, what it is a kind of, and how far two types are apart."""

from corpuscle.annotate.ontology._ontology import CellOntology
from corpuscle.annotate.ontology._open import cell_ontology, load_cell_ontology
from corpuscle.annotate.ontology._terms import Term, normal_id
from corpuscle.annotate.ontology.label_map import LabelMap
from corpuscle.annotate.ontology.levels import LEVELS, level
from corpuscle.annotate.ontology.roll_up import roll_up_scores

__all__ = [
    "LEVELS",
    "CellOntology",
    "LabelMap",
    "Term",
    "cell_ontology",
    "level",
    "load_cell_ontology",
    "normal_id",
    "roll_up_scores",
]
