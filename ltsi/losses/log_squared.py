"""Squared error on the scale of the forecasts. Shape suffixes: N forecasts."""

from __future__ import annotations

from torch import Tensor

from ltsi.losses.intensity import IntensityLoss


class LogSquared(IntensityLoss):
    """`Σ (log(1 + x̂) − log(1 + x))²`.

    Intensities are skewed: on their own scale a few heavy users would be all there is to learn. The back-transformed
    forecast lies between the median and the mean: where most bins are empty it is low on average.
    Source: system D of the project's seeds.
    """

    def __call__(self, log_N: Tensor, actual_N: Tensor) -> Tensor:
        """Returns the summed loss, a scalar; see `IntensityLoss`."""
        return (log_N.float() - actual_N.log1p()).square().sum()
