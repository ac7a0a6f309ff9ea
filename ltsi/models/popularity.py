"""What everybody takes: the training counts of the items.

Shape suffixes: B histories, I items.
Source: Cremonesi et al. 2010, "Performance of Recommender Algorithms on Top-N Recommendation Tasks" (TopPop).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ltsi.histories import Histories
from ltsi.models.interest import InterestModel
from ltsi.sequences.split import Split, Targets


def count_items(split: Split) -> Tensor:
    """Counts the training events of each item, each with the weight of its behaviour, float32 `(I,)`."""
    weight, count_I = split.store.behavior_weight, np.zeros(split.store.n_items)
    for block in split.training_blocks():
        count_I += np.bincount(block.item, weight[block.behavior], minlength=len(count_I))
    return torch.from_numpy(count_I.astype(np.float32))


def shares_within(count_I: Tensor, category_I: Tensor) -> Tensor:
    """Returns the share that each item has in the events of its category, `(I,)`; 0 where the category has none.

    Args:
        count_I: weighted events of each item.
        category_I: category of each item, int64.
    """
    count_C = count_I.new_zeros(int(category_I.max()) + 1).index_add_(0, category_I, count_I)
    # Any weight is enough: behaviours may weigh less than 1.
    return count_I / count_C[category_I].clamp(min=1e-9)


def left_out_shares(
    split: Split, targets: Targets, count_I: NDArray[np.float64], category_I: NDArray[np.integer]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the share that targets have in all events, and in those of their category, without themselves.

    A fit that looked at counts which contain the answer would learn to trust them.

    Args:
        split: the split.
        targets: `N` targets of its training part.
        count_I: what `count_items` counted.
        category_I: category of each item.

    Returns:
        `(N,)` each, above zero: an item of one event keeps half of it.
    """
    store = split.store
    item_N, weight_N = store.item[targets.event], store.behavior_weight[store.behavior[targets.event]]
    category_N, count_C = category_I[item_N], np.bincount(category_I, weights=count_I)
    own_N = np.maximum(count_I[item_N] - weight_N, weight_N / 2)
    return own_N / count_I.sum(), own_N / np.maximum(count_C[category_N] - weight_N, weight_N)


class Popularity(InterestModel):
    """p(item) in proportion to its training events, whoever asks.

    Args:
        n_items: size of the catalogue.
    """

    count_I: Tensor

    def __init__(self, n_items: int) -> None:
        super().__init__()
        self.register_buffer("count_I", torch.zeros(n_items))

    def fit_statistics(self, split: Split) -> None:
        """Counts the items."""
        self.count_I = count_items(split).to(self.count_I.device)

    def forward(self, histories: Histories) -> Tensor:
        """Scores the catalogue; see `InterestModel.forward`."""
        return self.count_I.log().repeat(len(histories), 1)
