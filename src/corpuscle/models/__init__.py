"""Learned models, used as those of scvi-tools are: ``setup_anndata``, construct, ``train``, ask.

They need the extra ``models``; importing this room does not.
"""

from __future__ import annotations

from corpuscle._lazy import lazy

__all__ = ["SCE2TM", "CellText", "ExpressionDiffusion", "ExpressionGAN", "ExpressionVAE"]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "SCE2TM": "corpuscle.models.sce2tm",
        "CellText": "corpuscle.models.celltext",
        "ExpressionDiffusion": "corpuscle.models.expression",
        "ExpressionGAN": "corpuscle.models.expression",
        "ExpressionVAE": "corpuscle.models.expression",
    },
    extra="models",
    optional=frozenset({"torch", "lightning", "scvi", "safetensors"}),
)
