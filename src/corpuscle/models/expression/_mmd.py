"""Maximum mean discrepancy with a Gaussian kernel: how far two sets of samples are from one distribution.

Gretton et al. 2012, A kernel two-sample test, Journal of Machine Learning Research 13:723.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["LabelledMMD", "median_bandwidth", "mmd_squared"]

#: Samples of a label that a discrepancy looks at, at most and (of those drawn) at least.
MOST_OF_LABEL, LEAST_DRAWN = 200, 32


def mmd_squared(x_nd: Tensor, y_md: Tensor, bandwidth: float) -> float:
    """Squared discrepancy of two sets under the kernel ``exp(-|x - y|^2 / (2 bandwidth^2))``.

    The biased estimate, which is never negative and exactly 0 for equal sets.
    """
    if x_nd.shape == y_md.shape and torch.equal(x_nd, y_md):
        return 0.0
    xx, xy, yy = (_mean_kernel(a, b, bandwidth) for a, b in ((x_nd, x_nd), (x_nd, y_md), (y_md, y_md)))
    return max(0.0, xx + yy - 2 * xy)


def _mean_kernel(x_nd: Tensor, y_md: Tensor, bandwidth: float) -> float:
    square = torch.cdist(x_nd, y_md).square_()
    return float(square.mul_(-0.5 / bandwidth**2).exp_().mean(dtype=torch.float64))


def median_bandwidth(sets: Sequence[Tensor]) -> float:
    """Median distance between two samples of one set; 1 where no two samples differ."""
    distances = torch.cat([torch.pdist(x_nd) for x_nd in sets])
    distances = distances[distances > 0]
    return float(distances.median()) if len(distances) else 1.0


class LabelledMMD:
    """Mean over labels of the squared discrepancy between held-out samples of a label and samples drawn for it.

    Every label counts alike, so that the rare ones have a say; a generator that mixes the labels up scores badly even
    where its samples are right as a whole.

    Parameters
    ----------
    x_nd, code_n
        Held-out samples and their labels.
    """

    def __init__(self, x_nd: Tensor, code_n: Tensor) -> None:
        self.codes = torch.unique(code_n).tolist()
        self.real = [x_nd[code_n == code][:MOST_OF_LABEL] for code in self.codes]
        self.bandwidth = median_bandwidth(self.real)
        self.sizes = [min(max(len(x), LEAST_DRAWN), MOST_OF_LABEL) for x in self.real]
        self.wanted = torch.repeat_interleave(torch.tensor(self.codes), torch.tensor(self.sizes))

    def __call__(self, drawn_nd: Tensor) -> float:
        """Discrepancy of samples drawn for the labels ``wanted``."""
        parts = torch.split(drawn_nd, self.sizes)
        return sum(mmd_squared(x, y, self.bandwidth) for x, y in zip(self.real, parts, strict=True)) / len(parts)
