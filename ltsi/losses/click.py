"""What a loss for clicks looks like. Shape suffixes: E examples."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor


class ClickLoss(ABC):
    """A loss of labelled examples, summed over them."""

    @abstractmethod
    def __call__(self, logit_E: Tensor, label_E: Tensor) -> Tensor:
        """Returns the summed loss, a scalar.

        Args:
            logit_E: the logarithm of the odds of each example to be positive.
            label_E: float32, 1 for positive examples, 0 for the others.
        """
