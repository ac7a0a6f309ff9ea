"""What a loss of forecasts looks like. Shape suffixes: N forecasts."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor


class IntensityLoss(ABC):
    """A loss of forecasts, summed over them."""

    @abstractmethod
    def __call__(self, log_N: Tensor, actual_N: Tensor) -> Tensor:
        """Returns the summed loss, a scalar.

        Args:
            log_N: forecasts on the scale `log(1 + x)`.
            actual_N: what came, not below 0.
        """
