"""Items of a history that vote for others with weights kept as compressed sparse rows.

Shape suffixes: B histories, I items, E kept weights, R voters, P pairs of voter and weight.
"""

from __future__ import annotations

import torch
from torch import Tensor


def add_votes(
    score_BI: Tensor, row_R: Tensor, item_R: Tensor, say_R: Tensor, offset_I: Tensor, next_E: Tensor, weight_E: Tensor
) -> None:
    """Adds `say · weight(item → i)` of each voter to its history's scores, in place.

    Args:
        score_BI: the scores.
        row_R: int64, the history that each voter is in.
        item_R: int64, the item that votes.
        say_R: how much its vote counts.
        offset_I: int64 `(I + 1,)`, where each item's weights begin.
        next_E: the items they are for.
        weight_E: the weights.
    """
    size_R = offset_I[item_R + 1] - offset_I[item_R]
    which_P = torch.repeat_interleave(torch.arange(len(row_R), device=size_R.device), size_R)
    nth_P = torch.arange(len(which_P), device=size_R.device) - (size_R.cumsum(0) - size_R)[which_P]
    pair_P = offset_I[item_R][which_P] + nth_P
    cell_P = row_R[which_P] * score_BI.shape[1] + next_E[pair_P]
    score_BI.view(-1).index_add_(0, cell_P, weight_E[pair_P] * say_R[which_P])
