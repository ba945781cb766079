"""Ways in which entries go missing, as words: ``constant:p=0.5``, ``uniform:low=0.2``, ``dropout:low=0.6,mask=none``.

Of two kinds. Under ``random`` masks an entry is missing whatever its value, with a probability that may differ by row
and column, and which entries are missing is known. Under ``dropout`` only values above 0 are lost, and what is left
of them is a 0 like any other: which zeros are called missing is then a choice, ``mask=``, and a column of the tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from corpuscle.benchmarks._method_words import construct, read_method
from corpuscle.benchmarks.missingness._mask_families import (
    POLICIES,
    AuthorsMask,
    Constant,
    Dropout,
    LogitNormal,
    Mask,
    Uniform,
)
from corpuscle.benchmarks.missingness.methods import Given, MissingnessMethod
from corpuscle.errors import OptionError
from corpuscle.seeds import stream, stream_seed

__all__ = ["DEFAULT", "Drawn", "Mask", "draw_mask", "mask_names", "mask_of", "parse_mask"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Drawn:
    """One draw of a mask from complete values: what all methods of the draw share.

    Attributes
    ----------
    x_nd
        (n, d) values as methods see them, NaN where one is said to be missing.
    p_nd
        (n, d) probability of being observed; None where it depends on the value.
    seed
        Of whatever is random in a method.
    missing_share, lost_share
        Share of all entries that are said to be missing, and that differ from the truth or are missing.
    found_share, false_share
        Of the entries that were lost, and of the true zeros, the share that is said to be missing; NaN without any.
    """

    x_nd: Array
    p_nd: Array | None
    seed: int
    missing_share: float
    lost_share: float
    found_share: float
    false_share: float

    def given(self, method: MissingnessMethod) -> Given:
        """What a method is shown: probabilities only if it needs them. Its arrays cannot be written."""
        x_nd, observed_nd = self.x_nd.view(), ~np.isnan(self.x_nd)
        x_nd.flags.writeable = observed_nd.flags.writeable = False
        p_nd = None
        if method.needs_p and self.p_nd is not None:
            p_nd = self.p_nd.view()
            p_nd.flags.writeable = False
        return Given(x_nd, observed_nd, p_nd, self.seed)

    def suits(self, method: MissingnessMethod) -> bool:
        """Whether the method can take part: one that needs probabilities cannot where there are none."""
        return self.p_nd is not None or not method.needs_p


def draw_mask(mask: Mask, truth_nd: Array, seed: int, *keys: str) -> Drawn:
    """Lose entries of complete values.

    Parameters
    ----------
    mask
        How.
    truth_nd
        (n, d) complete values.
    seed, keys
        Of the draw, and names it is asked under (such as the data set's).
    """
    kept_nd, p_nd = mask.draw(truth_nd, stream(seed, *keys, mask.key))
    method_seed = stream_seed(seed, *keys, mask.key, "method")
    x_nd = mask.shown(truth_nd, kept_nd, method_seed)
    missing_nd = np.isnan(x_nd)
    return Drawn(
        x_nd, p_nd, method_seed, float(missing_nd.mean()), float((missing_nd | ~kept_nd).mean()),
        _share(missing_nd, ~kept_nd), _share(missing_nd, kept_nd & (truth_nd == 0)),
    )  # fmt: skip


MASKS: dict[str, type[Mask]] = {made.word: made for made in (Constant, Uniform, AuthorsMask, LogitNormal, Dropout)}
#: The masks of the evidence; the homogeneous .95 is a control, under which little should change.
DEFAULT = (
    "constant:p=0.5", "uniform:low=0.2", "authors", "logit_normal:sd=1.2", "constant:p=0.95",
    *(f"dropout:low={low},mask={policy}" for low in (0.6, 0.3) for policy in POLICIES),
)  # fmt: skip


def mask_names() -> list[str]:
    """Words that can be asked for."""
    return list(MASKS)


def parse_mask(text: str) -> Mask:
    """Find the mask that a word stands for: ``NAME`` or ``NAME:key=value,key=value``.

    Raises
    ------
    OptionError
        No such name or parameter, or a value that makes no sense.
    """

    def registered(name: str) -> type[Mask]:
        if name not in MASKS:
            raise OptionError(f"no mask is called {name[:60]!r}; there are: {', '.join(MASKS)}")
        return MASKS[name]

    name, made, params = read_method(text, registered)
    return mask_of(construct(name, made, params))


def mask_of(mask: Any) -> Mask:
    """Check that an object is a mask.

    Raises
    ------
    OptionError
        It is not.
    """
    if not isinstance(mask, Mask):
        raise OptionError(
            f"{mask!r} is no mask: it must be an instance of a class made of corpuscle.benchmarks.missingness.masks.Mask"
        )
    return mask


def _share(marked_nd: Array, among_nd: Array) -> float:
    return float(marked_nd[among_nd].mean()) if among_nd.any() else float("nan")
