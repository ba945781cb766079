"""Data sets of transcriptome-text pairs: rows with texts, cells in archives that the rows link to, a manifest and a card.

Names are imported when they are first asked for, so that importing this costs nothing.
"""

from __future__ import annotations

import json
from pathlib import Path

from corpuscle._lazy import lazy

#: Module -> what it gives. The functions prepare and publish have the names of their modules, and are taken from there.
_WHERE = {
    "archives": ("read_archive", "write_archive"),
    "build": ("build_pairs",),
    "captions": ("Column", "Join", "Template", "parse_caption"),
    "card": ("render_card",),
    "check": ("PairsReport", "verify_pairs"),
    "embedders": ("Embedder", "embedder", "load_embedder", "save_embedder"),
    "links": ("fetch",),
    "manifest": ("PairsManifest", "read_pairs_manifest"),
    "negatives": ("NegativePolicy", "Negatives", "draw_negatives"),
    "prepare": ("QCRules",),
    "publish": ("FolderPublisher", "HubPublisher", "Publisher", "WebDAVPublisher", "ZenodoPublisher"),
    "rows": ("Rows", "build_rows", "read_rows"),
    "sentences": ("cell_sentences",),
    "split": ("split_cells",),
    "vectors": ("VectorStore", "build_store", "rows_to_anndata"),
}
__getattr__, __dir__ = lazy(
    __name__, {name: f"{__name__}.{module}" for module, names in _WHERE.items() for name in names}
)

__all__ = [
    "Column",
    "Embedder",
    "FolderPublisher",
    "HubPublisher",
    "Join",
    "NegativePolicy",
    "Negatives",
    "PairsManifest",
    "PairsReport",
    "Publisher",
    "QCRules",
    "Rows",
    "Template",
    "VectorStore",
    "WebDAVPublisher",
    "ZenodoPublisher",
    "build_pairs",
    "build_rows",
    "build_store",
    "cell_sentences",
    "draw_negatives",
    "embedder",
    "fetch",
    "is_pairs_folder",
    "load_embedder",
    "parse_caption",
    "read_archive",
    "read_pairs_manifest",
    "read_rows",
    "render_card",
    "rows_to_anndata",
    "save_embedder",
    "split_cells",
    "verify_pairs",
    "write_archive",
]


def is_pairs_folder(folder: str | Path) -> bool:
    """Whether a folder is a data set of pairs, by what its manifest says it is."""
    try:
        about = json.loads((Path(folder) / "manifest.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(about, dict) and str(about.get("schema", "")).startswith("corpuscle-pairs")
