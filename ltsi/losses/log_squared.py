"""Squared error on the scale of the forecasts. Shape suffixes: N forecasts."""

from __future__ import annotations

from torch import Tensor

from ltsi.losses.intensity import IntensityLoss
from ltsi.windows import Points


class LogSquared(IntensityLoss):
    """`Σ (log(1 + x̂) − log(1 + x))²`, for both points.

    The back-transformed forecast lies between the median and the mean and is neither: where most bins are empty it is
    low on average, and not 0.
    """

    def __call__(self, points: Points, actual_N: Tensor) -> Tensor:
        """Returns the summed loss, a scalar; see `IntensityLoss`."""
        log_N = actual_N.log1p()
        return ((points.mean.float() - log_N).square() + (points.median.float() - log_N).square()).sum()
