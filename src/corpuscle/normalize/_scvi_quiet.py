"""scvi-tools without its chatter, and seeded without disturbing anybody else's random numbers."""

from __future__ import annotations

import logging
import os
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from corpuscle.errors import MethodError

__all__ = ["import_scvi", "quiet_and_seeded"]

LOGGERS = ("scvi", "lightning.pytorch", "lightning.fabric")


def import_scvi() -> Any:
    """Import scvi-tools, without the warnings it starts with.

    Raises
    ------
    MethodError
        It is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import scvi
    except ImportError:
        raise MethodError("scvi: needs an extra; run: pip install 'corpuscle[models]'") from None
    return scvi


@contextmanager
def quiet_and_seeded(seed: int) -> Iterator[None]:
    """Seed every generator scvi-tools draws from, silence it, and afterwards leave all as they were."""
    import torch

    scvi = import_scvi()
    python_state, numpy_state, old_seed = random.getstate(), np.random.get_state(), scvi.settings.seed  # noqa: NPY002
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    environment_seed = os.environ.get("PL_GLOBAL_SEED")
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with torch.random.fork_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scvi.settings.seed = seed
            try:
                yield
            finally:
                scvi.settings.seed = old_seed
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        os.environ.pop("PL_GLOBAL_SEED", None)
        if environment_seed is not None:
            os.environ["PL_GLOBAL_SEED"] = environment_seed
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
