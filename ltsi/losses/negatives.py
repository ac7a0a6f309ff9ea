"""Items drawn as negatives, from torch's own generator: the same seed draws the same.

Shape suffixes: I items, N positions, k negatives of a position, S draws, U different items
of them, H hits, R positions of one block.
Sources: Mikolov et al. 2013, "Distributed Representations of Words and Phrases and their Compositionality"
(a power of the popularity); Hidasi & Karatzoglou 2018, "Recurrent Neural Networks with Top-k Gains for Session-based
Recommendations" (the same for next items).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ltsi.losses.next_item import Catalogue

BLOCK_LOGITS = 2**18
"""Logits held at a time, by each thread: 1 MB."""

WIDE = 16
"""Positions in a block are a multiple of this, the numbers that a processor's widest vectors hold."""


@dataclass(frozen=True)
class SharedDraw:
    """Items drawn for all positions, each of them once.

    Attributes:
        item_U: int64, rising.
        count_U: how often each was drawn.
        p_U: the probability of each to be drawn, float64.
        p_N: the probability of each target to be drawn, float64.
        column_N: where the target of a position stands among the items, if it is a hit.
        hit_N: which positions have their target among the items.
    """

    item_U: Tensor
    count_U: Tensor
    p_U: Tensor
    p_N: Tensor
    column_N: Tensor
    hit_N: Tensor

    @property
    def missed_N(self) -> Tensor:
        """How many draws were not the target of a position, int64."""
        return self.count_U.sum() - torch.where(self.hit_N, self.count_U[self.column_N], 0)

    def hits(self, rows: slice) -> tuple[Tensor, Tensor]:
        """Returns row and column of the hits in a block of positions."""
        row_H = self.hit_N[rows].nonzero().squeeze(1)
        return row_H, self.column_N[rows][row_H]

    @property
    def block(self) -> int:
        """Positions whose logits make a block that stays in a processor's cache."""
        return max(1, BLOCK_LOGITS // len(self.item_U) // WIDE) * WIDE


class Negatives:
    """Draws items with probability proportional to their popularity to a power.

    A power above 0 looks at the popularity of all items at each draw, which is 1 / E of a look at their vectors.

    Args:
        count: items to draw.
        power: 0 draws all items alike, 1 as often as they are taken.
    """

    def __init__(self, count: int, power: float = 0.0) -> None:
        if count < 1:
            raise ValueError(f"negatives={count} must be at least 1")
        if not power >= 0:
            raise ValueError(f"power={power} must be at least 0")
        self.count, self.power = count, power

    def probability(self, catalogue: Catalogue) -> Tensor:
        """Returns the probability of each item to be drawn, float64 `(I,)`; uniform is one number for all, `(1,)`."""
        if not self.power:
            return torch.full(
                (1,), 1 / catalogue.n_items, dtype=torch.float64, device=catalogue.log_popularity_I.device
            )
        return (self.power * catalogue.log_popularity_I.double()).softmax(dim=0)

    def shared(self, catalogue: Catalogue, target_N: Tensor) -> SharedDraw:
        """Draws items, with repetition, that all positions share; some may be the target of a position."""
        p_I = self.probability(catalogue)
        if self.power:
            drawn_S = _at(p_I.cumsum(0), torch.rand(self.count, dtype=torch.float64, device=p_I.device))
        else:
            drawn_S = torch.randint(catalogue.n_items, (self.count,), device=p_I.device)
        item_U, count_U = drawn_S.unique(return_counts=True)
        column_N = torch.searchsorted(item_U, target_N).clamp(max=len(item_U) - 1)
        p_I = p_I.expand(catalogue.n_items)
        return SharedDraw(item_U, count_U, p_I[item_U], p_I[target_N], column_N, item_U[column_N] == target_N)

    def of_each(self, catalogue: Catalogue, target_N: Tensor) -> Tensor:
        """Draws items, with repetition, for each position; never its target, whose place in the draw is left out.

        Returns:
            drawn_Nk, int64; without a column where the catalogue has no other item.
        """
        n_items, shape, target_N1 = catalogue.n_items, (len(target_N), self.count), target_N[:, None]
        if n_items == 1:
            return target_N1[:, :0]
        if not self.power:
            drawn_Nk = torch.randint(n_items - 1, shape, device=target_N.device)
            return drawn_Nk + (drawn_Nk >= target_N1)
        end_I = self.probability(catalogue).cumsum(0)
        begin_N1 = torch.where(target_N1 > 0, end_I[target_N1 - 1], 0.0)
        own_N1 = end_I[target_N1] - begin_N1
        point_Nk = torch.rand(shape, dtype=torch.float64, device=target_N.device) * (end_I[-1] - own_N1)
        return _at(end_I, point_Nk + own_N1 * (point_Nk >= begin_N1))


def _at(end_I: Tensor, point_X: Tensor) -> Tensor:
    """Returns the item on whose stretch each point lies."""
    return torch.searchsorted(end_I, point_X, right=True).clamp(max=len(end_I) - 1)
