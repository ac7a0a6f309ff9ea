"""The best items of each history, in the order in which evaluation ranks them.

Shape suffixes: B histories, I items, P recommended pairs of history and item, C candidates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ltsi.errors import RunError


@dataclass(frozen=True)
class Recommended:
    """Recommended items, history by history, best first.

    Attributes:
        row_P: int64, the history of the batch.
        item_P: int64, the item.
        place_P: int64, from 1.
        score_P: float32, the score.
        part_P: the parts of the scores by name; none where a score is of one piece.
    """

    row_P: NDArray[np.int64]
    item_P: NDArray[np.int64]
    place_P: NDArray[np.int64]
    score_P: NDArray[np.float32]
    part_P: dict[str, NDArray[np.float32]]


def best(score_BI: Tensor, parts: Mapping[str, Tensor], k: int) -> Recommended:
    """Finds the k best items of each history.

    The order is that of `ltsi.evaluation.ranking.target_ranks`. Items of one score stand in the order of the catalogue,
    where evaluation takes the middle of their places. What has a probability of zero (a score of minus infinity, as
    hidden items have) is not recommended, so there can be fewer than k.

    Args:
        score_BI: the scores, the higher the better.
        parts: parts of the scores by name, `(B, I)` each.
        k: how many.

    Raises:
        RunError: a score is NaN, as after a training that diverged.
    """
    if torch.isnan(score_BI.amax(dim=1)).any():
        raise RunError("The model gives scores that are NaN: its training diverged; train again with a lower rate.")
    least_B1 = score_BI.topk(min(k, score_BI.shape[1]), dim=1).values[:, -1:]
    # All that tie with the last place are candidates: topk alone would choose among them at random.
    row_C, item_C = ((score_BI >= least_B1) & (score_BI > -torch.inf)).nonzero(as_tuple=True)
    order_C = np.lexsort((item_C.numpy(), -score_BI[row_C, item_C].numpy(), row_C.numpy()))
    row, item = row_C.numpy()[order_C], item_C.numpy()[order_C]
    begins = np.searchsorted(row, row)
    place = np.arange(len(row)) - begins + 1
    kept = place <= k
    row, item = row[kept], item[kept]
    where = torch.from_numpy(row), torch.from_numpy(item)
    return Recommended(
        row_P=row,
        item_P=item,
        place_P=place[kept],
        score_P=score_BI[where].numpy(),
        part_P={name: part_BI[where].numpy() for name, part_BI in parts.items()},
    )
