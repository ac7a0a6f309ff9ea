"""Networks: a history becomes a state at each position, and the state is compared with the catalogue.

Shape suffixes: B histories, L positions, I items, D model width, N real positions of a batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ltsi.histories import Histories, TrainingBatch
from ltsi.losses.next_item import NextItemLoss
from ltsi.models.encoding import encode
from ltsi.models.interest import InterestModel
from ltsi.models.items import Items
from ltsi.models.layers import Dropout

if TYPE_CHECKING:
    from ltsi.sequences.split import Split


class Encoder(nn.Module, ABC):
    """Turns an embedded history into a state at each position: one view of the user."""

    @abstractmethod
    def forward(self, x_BLD: Tensor, histories: Histories) -> Tensor:
        """Encodes histories.

        Args:
            x_BLD: the embedded items, after dropout; padding on the right.
            histories: the same histories, for whoever looks at their times.

        Returns:
            state_BLD, normalised; the state at a position knows that position and what came before it, nothing later.
        """

    def fit_statistics(self, split: Split) -> None:
        """Counts what the encoder needs on the training part of a split; see `InterestModel.fit_statistics`.

        Raises:
            DataError: the encoder needs times and the log has none.
        """


class SequenceNetwork(InterestModel):
    """A network that turns each position of a history into a state and compares it with item vectors.

    Args:
        items: the catalogue as vectors.
        embedding_dropout: dropout on the embedded history.
    """

    learns = True

    def __init__(self, items: Items, embedding_dropout: float) -> None:
        super().__init__()
        self.items = items
        self.embedding_dropout = Dropout(embedding_dropout)

    @abstractmethod
    def states(self, histories: Histories) -> Tensor:
        """Encodes histories.

        Returns:
            state_BLD; the state at a position knows that position and what came before it, nothing later.
        """

    def forward(self, histories: Histories) -> Tensor:
        """Scores the catalogue with the state at the last position; see `InterestModel.forward`."""
        return histories.last(self.states(histories)) @ self.items.vectors().T

    def training_loss(self, batch: TrainingBatch, loss: NextItemLoss) -> Tensor:
        """Sums the loss over the positions of all groups that have a target; see `InterestModel.training_loss`."""
        groups = [group.histories for group in batch.groups]
        state_ND = encode(self.states, groups, list(self.parameters()))
        target_N = torch.cat([group.target_BL[group.histories.real_BL()] for group in batch.groups])
        asked_N = target_N < self.items.n_items
        return loss(state_ND[asked_N], self.items.vectors(), target_N[asked_N]) / batch.n_targets
