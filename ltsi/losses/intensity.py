"""What a loss of forecasts looks like. Shape suffixes: N forecasts."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from ltsi.windows import Points


class IntensityLoss(ABC):
    """A loss of forecasts, summed over them."""

    @abstractmethod
    def __call__(self, points: Points, actual_N: Tensor) -> Tensor:
        """Returns the summed loss, a scalar.

        Args:
            points: forecasts, `(N,)` each.
            actual_N: what came, not below 0.
        """
