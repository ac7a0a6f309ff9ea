"""What everybody takes: the training counts of the items.

Shape suffixes: B histories, I items.
Source: Cremonesi et al. 2010, "Performance of Recommender Algorithms on Top-N Recommendation Tasks" (TopPop).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ltsi.histories import Histories
from ltsi.models.interest import InterestModel
from ltsi.sequences.split import Split


def count_items(split: Split) -> Tensor:
    """Counts the training events of each item, each with the weight of its behaviour, float32 `(I,)`."""
    weight, count_I = split.store.behavior_weight, np.zeros(split.store.n_items)
    for block in split.training_blocks():
        count_I += np.bincount(block.item, weight[block.behavior], minlength=len(count_I))
    return torch.from_numpy(count_I.astype(np.float32))


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
