"""Learned models, used as those of scvi-tools are: ``setup_anndata``, construct, ``train``, ask.

They need the extra ``models``; importing this room does not.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from corpuscle.errors import MethodError

__all__ = ["SCE2TM", "CellText"]

#: Public name -> where it is; imported only when it is asked for, since PyTorch takes seconds.
_WHERE = {"SCE2TM": "corpuscle.models.sce2tm", "CellText": "corpuscle.models.celltext"}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(_WHERE[name]), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in {"torch", "lightning", "scvi", "safetensors"}:
            raise MethodError(f"{name}: needs an extra; run: pip install 'corpuscle[models]'") from None
        raise


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
