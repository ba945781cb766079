"""Score sources of the annotation evidence: markers of the organ that each data set is of."""

from __future__ import annotations

from corpuscle.benchmarks.annotation import Draw, Scored
from corpuscle.benchmarks.annotation._sources_learned import Prototypes, Text
from corpuscle.benchmarks.annotation._sources_markers import MarkerScores

BLOOD = "blood+bone-marrow+spleen+lymph-node"
#: What a user would choose; a type that these lack takes the markers of all organs.
ORGANS = {
    "zheng_facs_3774": BLOOD,
    "pbmc3k": BLOOD,
    "kang_control": BLOOD,
    "kang_stimulated": BLOOD,
    "human_lymph_330": BLOOD,
    "baron_human_2donors": "pancreas",
    "zilionis_mouse_lung": "lung",
    "onek1k_1000g": "blood+lung",
    "paul15_mouse_myeloid": "bone-marrow+blood",
}


class _OfOrgan:
    """Sets the organs of a source for each data set."""

    def __call__(self, draw: Draw, seed: int) -> Scored:
        self.organs = ORGANS[draw.cells.name]
        return super().__call__(draw, seed)


class OrganMarkers(_OfOrgan, MarkerScores):
    pass


class OrganUCell(_OfOrgan, MarkerScores):
    name = "ucell"

    def __init__(self) -> None:
        super().__init__(scoring="ucell")


class OrganPrototypes(_OfOrgan, Prototypes):
    pass


class OrganText(_OfOrgan, Text):
    pass
