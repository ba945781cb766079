"""Names for cells: scores from many sources, and their refinement on the cells' own neighbour graph.

What needs more than NumPy, pandas and SciPy is imported when it is first asked for.
"""

from __future__ import annotations

from corpuscle._lazy import lazy

# Functions that have the name of their module are bound here, or the module would take the name when it is imported.
from corpuscle.annotate.diagnose import diagnose
from corpuscle.annotate.refine import refine, solve
from corpuscle.annotate.refine_logits import refine_logits
from corpuscle.annotate.scores import Scores
from corpuscle.annotate.transform import transform

#: Module -> what it gives.
_WHERE = {
    "annotate.baselines": ("gated_knn", "knn_vote", "label_spreading", "majority_vote", "propagate"),
    "annotate._changes": ("compare",),
    "annotate._door": ("write_scores", "read_scores_of"),
    "annotate.guards": ("refine_guarded",),
    "annotate.ontology": ("CellOntology", "cell_ontology", "load_cell_ontology", "roll_up_scores"),
    "annotate.path": ("choose_lam", "score_path"),
    "annotate.run": ("annotate", "refine_file", "roll_up_labels"),
    "annotate.sources.celltext": ("cell_text_scores",),
    "annotate.sources.celltypist": ("celltypist_scores",),
    "annotate.sources.files": ("read_scores",),
    "annotate.sources.langcell": ("langcell_scores",),
    "annotate.sources.marker_table": ("asctb_markers", "read_markers"),
    "annotate.sources.markers": ("marker_scores",),
    "annotate.sources.prototypes": ("Prototypes", "class_prototypes", "prototype_scores", "seeded_prototypes"),
    "annotate.sources.reference": ("ReferenceClassifier", "reference_scores", "train_reference"),
    "annotate.sources.sentences": ("cell_sentences",),
    "annotate.sources.text": ("embedding_scores", "text_scores"),
}
__getattr__, __dir__ = lazy(
    __name__, {name: f"corpuscle.{module}" for module, names in _WHERE.items() for name in names}
)

__all__ = [
    "CellOntology",
    "Prototypes",
    "ReferenceClassifier",
    "Scores",
    "annotate",
    "asctb_markers",
    "cell_ontology",
    "cell_sentences",
    "cell_text_scores",
    "celltypist_scores",
    "choose_lam",
    "class_prototypes",
    "compare",
    "diagnose",
    "embedding_scores",
    "gated_knn",
    "knn_vote",
    "label_spreading",
    "langcell_scores",
    "load_cell_ontology",
    "majority_vote",
    "marker_scores",
    "propagate",
    "prototype_scores",
    "read_markers",
    "read_scores",
    "read_scores_of",
    "reference_scores",
    "refine",
    "refine_file",
    "refine_guarded",
    "refine_logits",
    "roll_up_labels",
    "roll_up_scores",
    "score_path",
    "seeded_prototypes",
    "solve",
    "text_scores",
    "train_reference",
    "transform",
    "write_scores",
]
