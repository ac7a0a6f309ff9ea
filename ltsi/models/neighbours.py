"""Item-item weights of which each item keeps its strongest, and histories that vote with them.

Shape suffixes: B histories, L positions, I items, E kept weights, K kept in a row, R rows.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from ltsi.errors import ConfigError
from ltsi.histories import Histories
from ltsi.models.fading import Fading
from ltsi.models.linear import LinearModel
from ltsi.models.votes import add_votes


class NeighbourModel(LinearModel):
    """`s_i = Σ_j w_j · W_ji`, over the events j of the history with their faded weights w.

    The matrix W is kept as compressed sparse rows: a checkpoint of all weights of 20,000 items would be 1.6 GB.

    Args:
        n_items: size of the catalogue.
        fading: what past events still weigh.
        neighbours: weights an item keeps.

    Raises:
        ConfigError: an item keeps no weight.
    """

    offset_I: Tensor
    next_E: Tensor
    weight_E: Tensor

    def __init__(self, n_items: int, fading: Fading, neighbours: int) -> None:
        super().__init__(n_items, fading)
        if neighbours < 1:
            raise ConfigError(f"model.neighbours={neighbours} must be at least 1.")
        self.neighbours = neighbours
        self.register_buffer("offset_I", torch.zeros(n_items + 1, dtype=torch.int64))
        self.register_buffer("next_E", torch.zeros(0, dtype=torch.int32))
        self.register_buffer("weight_E", torch.zeros(0))

    def keep(self, blocks: Iterable[tuple[Tensor, Tensor, Tensor]]) -> None:
        """Takes the weights of all items.

        Args:
            blocks: consecutive rows of W: the number of weights in each row, their columns and their values.
        """
        sizes, columns, values = zip(*blocks, strict=True)
        device = self.weight_E.device
        self.offset_I = torch.cat([torch.zeros(1, dtype=torch.int64), torch.cat(sizes).cumsum(0)]).to(device)
        self.next_E = torch.cat(columns).int().to(device)
        self.weight_E = torch.cat(values).float().to(device)

    def linear_scores(self, histories: Histories) -> Tensor:
        """Lets the history vote, `(B, I)`."""
        weight_BL = self.fading(histories)
        score_BI = self.weight_E.new_zeros(len(histories), self.n_items)
        # Position by position: all pairs at once would be many times the scores.
        for position in range(weight_BL.shape[1]):
            row_R = torch.nonzero(weight_BL[:, position]).squeeze(1)
            item_R = histories.item_BL[row_R, position]
            say_R = weight_BL[row_R, position]
            add_votes(score_BI, row_R, item_R, say_R, self.offset_I, self.next_E, self.weight_E)
        return score_BI


def strongest(weight_RI: Tensor, n_kept: int) -> tuple[Tensor, Tensor, Tensor]:
    """Keeps the weights of largest magnitude in each row, without zeros.

    Args:
        weight_RI: rows of W.
        n_kept: how many a row keeps at most.

    Returns:
        The number of weights in each row `(R,)`, their columns `(E,)` in ascending order, and their values `(E,)`.
    """
    if n_kept < weight_RI.shape[1]:
        column_RK = weight_RI.abs().topk(n_kept, dim=1, sorted=False).indices
        weight_RI = torch.zeros_like(weight_RI).scatter_(1, column_RK, weight_RI.gather(1, column_RK))
    row_E, column_E = weight_RI.nonzero(as_tuple=True)
    return row_E.bincount(minlength=len(weight_RI)), column_E, weight_RI[row_E, column_E]
