"""What a loss for the next item looks like. Shape suffixes: N positions, D width, I items."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class NextItemLoss(Protocol):
    """A loss summed over positions."""

    def __call__(self, state_ND: Tensor, vector_ID: Tensor, target_N: Tensor) -> Tensor:
        """Returns the summed loss, a scalar.

        Args:
            state_ND: states.
            vector_ID: output vectors of the catalogue.
            target_N: int64, the item that came next.
        """
        ...
