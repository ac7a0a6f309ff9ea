"""What a loss for the next item looks like, and what it is given of the catalogue.

Shape suffixes: N positions, E width of what is compared, I items, U some items, X any shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor
from torch.nn import functional


class Vectors(Protocol):
    """Hands out item vectors: all, or those that are asked for."""

    def __call__(self, item_U: Tensor | None = None) -> Tensor:
        """Returns the vectors of all items, `(I, E)`, or of some, `(U, E)`."""
        ...


@dataclass(frozen=True)
class Catalogue:
    """What states are compared with. A loss that draws negatives asks for the vectors it has drawn and no others.

    Attributes:
        n_items: size I.
        vectors: the vectors of all items or of some.
        log_popularity_I: logarithm of each item's share of the training events, smoothed: finite for all.
    """

    n_items: int
    vectors: Vectors
    log_popularity_I: Tensor

    def look_up(self, item_X: Tensor) -> tuple[Tensor, Tensor]:
        """Asks once for the vectors of items, however often they are named: each request costs a gradient.

        Args:
            item_X: int64.

        Returns:
            vector_UE, and where the vector of each item stands in it, int64 in the shape of `item_X`.
        """
        if item_X.numel() >= self.n_items:
            return self.vectors(), item_X
        item_U, place_X = item_X.unique(return_inverse=True)
        return self.vectors(item_U), place_X


class NextItemLoss(Protocol):
    """A loss summed over positions."""

    def __call__(self, state_NE: Tensor, catalogue: Catalogue, target_N: Tensor) -> Tensor:
        """Returns the summed loss, a scalar.

        Args:
            state_NE: states, ready to be compared.
            catalogue: what they are compared with.
            target_N: int64, the item that came next.
        """
        ...


def own_logits(state_NE: Tensor, vector_UE: Tensor, place_N: Tensor) -> Tensor:
    """Returns the product of each state with one vector, that of its target, `(N,)`."""
    return (state_NE * functional.embedding(place_N, vector_UE)).sum(dim=1)
