"""Sets of types at which labels of different depth can be compared."""

from __future__ import annotations

from corpuscle.errors import OptionError

__all__ = ["LEVELS", "level"]

_LYMPHOID = {
    "CL:0000624": "CD4-positive, alpha-beta T cell",
    "CL:0000625": "CD8-positive, alpha-beta T cell",
    "CL:0000084": "T cell",
}
_BLOOD = {
    "CL:0000775": "neutrophil",
    "CL:0000771": "eosinophil",
    "CL:0000767": "basophil",
    "CL:0000097": "mast cell",
    "CL:0000556": "megakaryocyte",
    "CL:0000233": "platelet",
    "CL:0000764": "erythroid lineage cell",
    "CL:0008001": "hematopoietic precursor cell",
}

#: Name -> {id: label}. A type goes to the most specific member that it is a kind of, so members may be kinds of
#: each other: ``T cell`` collects the T cells that are neither CD4 nor CD8.
LEVELS: dict[str, dict[str, str]] = {
    # lineages of the whole body, as a first annotation names them
    "broad": {
        "CL:0000236": "B cell",
        "CL:0000946": "antibody secreting cell",
        **_LYMPHOID,
        "CL:0000623": "natural killer cell",
        "CL:0001065": "innate lymphoid cell",
        "CL:0000576": "monocyte",
        "CL:0000129": "microglial cell",
        "CL:0000235": "macrophage",
        "CL:0000451": "dendritic cell",
        **_BLOOD,
        "CL:0000115": "endothelial cell",
        "CL:0000182": "hepatocyte",
        "CL:0000066": "epithelial cell",
        "CL:0000057": "fibroblast",
        "CL:0000669": "pericyte",
        "CL:0000192": "smooth muscle cell",
        "CL:0000746": "cardiac muscle cell",
        "CL:0000188": "cell of skeletal muscle",
        "CL:0000136": "adipocyte",
        "CL:0000138": "chondrocyte",
        "CL:0000499": "stromal cell",
        "CL:0000127": "astrocyte",
        "CL:0000128": "oligodendrocyte",
        "CL:0002453": "oligodendrocyte precursor cell",
        "CL:0000125": "glial cell",
        "CL:0000540": "neuron",
        "CL:0008024": "pancreatic endocrine cell",
        # kinds of both epithelial cell and neuron in the ontology
        "CL:0000165": "neuroendocrine cell",
        "CL:0000586": "germ cell",
    },
    # blood and immune cells, as finely as transcripts commonly tell them apart
    "immune": {
        "CL:0000788": "naive B cell",
        "CL:0000787": "memory B cell",
        "CL:0000236": "B cell",
        "CL:0000946": "antibody secreting cell",
        "CL:0000815": "regulatory T cell",
        "CL:0000895": "naive thymus-derived CD4-positive, alpha-beta T cell",
        "CL:0000897": "CD4-positive, alpha-beta memory T cell",
        "CL:0000900": "naive thymus-derived CD8-positive, alpha-beta T cell",
        "CL:0000909": "CD8-positive, alpha-beta memory T cell",
        **_LYMPHOID,
        "CL:0000798": "gamma-delta T cell",
        "CL:0000940": "mucosal-associated invariant T cell",
        "CL:0000814": "mature NK T cell",
        "CL:0000893": "thymocyte",
        "CL:0000623": "natural killer cell",
        "CL:0001065": "innate lymphoid cell",
        "CL:0000860": "classical monocyte",
        "CL:0000875": "non-classical monocyte",
        "CL:0000576": "monocyte",
        "CL:0000235": "macrophage",
        # a kind of both the conventional and the plasmacytoid ones in the ontology, so it stands for itself
        "CL:0002394": "CD141-positive myeloid dendritic cell",
        "CL:0000990": "conventional dendritic cell",
        "CL:0000784": "plasmacytoid dendritic cell",
        "CL:0000451": "dendritic cell",
        **_BLOOD,
    },
}


def level(name: str) -> tuple[str, ...]:
    """Ids of a ready-made level: ``"broad"`` (lineages of the body) or ``"immune"`` (blood and immune cells, finer).

    Raises
    ------
    OptionError
        There is no such level.
    """
    if name not in LEVELS:
        raise OptionError(f"no level {name!r}; there are {', '.join(LEVELS)}, or give a list of Cell Ontology ids")
    return tuple(LEVELS[name])
