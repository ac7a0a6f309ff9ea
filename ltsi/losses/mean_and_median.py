"""Each point forecast by a score that is lowest where it is right. Shape suffixes: N forecasts."""

from __future__ import annotations

import math

from torch import Tensor

from ltsi.errors import ConfigError
from ltsi.losses.intensity import IntensityLoss
from ltsi.windows import Points

LEAST = 1e-6
"""A mean is at least that."""


class MeanAndMedian(IntensityLoss):
    """`Σ 2 (√m − √x)² / √m + w · |log(1 + q) − log(1 + x)|`, m the forecast mean and q the forecast median.

    The first is lowest, on average, where m is the mean of x, however x is distributed (Tweedie's deviance of power
    1.5), without leaving everything to the few heavy users as a squared error does; the second where q is the median,
    on any scale that rises with x.
    Sources: Gneiting 2011, "Making and evaluating point forecasts"; Jørgensen 1987, "Exponential dispersion models".

    Args:
        median_weight: w. An absolute error pulls equally hard from afar and from near, and where most bins are empty it
            says little at a time: the network would learn the mean well before the median.

    Raises:
        ConfigError: the weight is not above 0.
    """

    def __init__(self, median_weight: float = 5.0) -> None:
        if not 0 < median_weight < math.inf:
            raise ConfigError(f"loss.median_weight={median_weight} must be a number above 0.")
        self.median_weight = median_weight

    def __call__(self, points: Points, actual_N: Tensor) -> Tensor:
        """Returns the summed loss, a scalar; see `IntensityLoss`."""
        root_N = points.mean.float().expm1().clamp(min=LEAST).sqrt()
        deviance_N = 2 * (root_N - actual_N.sqrt()).square() / root_N
        distance_N = (points.median.float() - actual_N.log1p()).abs()
        return deviance_N.sum() + self.median_weight * distance_N.sum()
