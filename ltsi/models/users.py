"""What is learned of each user, and of whoever is not known.

Shape suffixes: B histories, D width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ltsi.histories import Histories
from ltsi.models.layers import Dropout, looked_up


class UserVectors(nn.Module):
    """A learned vector for each user: one that all have in common, and what is the user's own.

    What is a user's own is zero at first and stays so for whoever is not trained on: such a user, and one the store
    does not know, has the common vector alone.

    Args:
        dim: width D.
        masked: probability with which a user is treated as a stranger while training.
    """

    def __init__(self, dim: int, masked: float = 0.0) -> None:
        super().__init__()
        self.mask = Dropout(masked)
        self.common = nn.Parameter(torch.zeros(dim))
        # Row 0 is of whoever the store does not know, user u has row u + 1.
        self.own = nn.Embedding(1, dim, padding_idx=0)
        self.make_room(0)

    def make_room(self, n_users: int) -> None:
        """Makes a vector for each user of a store; what was learned is forgotten."""
        weight = self.own.weight
        self.own.weight = nn.Parameter(weight.new_zeros(n_users + 1, weight.shape[1]))

    def forward(self, histories: Histories) -> Tensor:
        """Returns the users' vectors, `(B, D)`."""
        user_B = histories.user_B
        row_B = histories.length_B.new_zeros(len(histories)) if user_B is None else user_B + 1
        known_B = row_B < len(self.own.weight)
        own_BD = looked_up(torch.where(known_B, row_B, 0), self.own.weight, 0)
        if self.training and self.mask.p:
            own_BD = own_BD * (self.mask(own_BD.new_ones(len(own_BD), 1)) > 0)
        return self.common + own_BD

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # The store gave it its size, which a freshly built model cannot know.
        stored = state_dict.get(f"{prefix}own.weight")
        if stored is not None and len(stored):
            self.make_room(len(stored) - 1)
        super()._load_from_state_dict(state_dict, prefix, *args)
