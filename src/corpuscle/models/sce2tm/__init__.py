"""scE2TM: an embedded topic model of single cells, guided by a second view of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from corpuscle.models.sce2tm.recipe import RECIPES, Recipe

if TYPE_CHECKING:
    from corpuscle.models.sce2tm.model import SCE2TM

__all__ = ["RECIPES", "SCE2TM", "Recipe"]


def __getattr__(name: str) -> Any:
    if name != "SCE2TM":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from corpuscle.normalize._scvi_quiet import import_scvi

    import_scvi()  # first, since this silences the warnings that its own import gives
    from corpuscle.models.sce2tm.model import SCE2TM

    return SCE2TM
