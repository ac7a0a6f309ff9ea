"""Networks: a history becomes a state at each position, and the state is compared with the catalogue.

Shape suffixes: B histories, L positions, I items, D model width, E width of what is compared (see `items.py`),
N real positions of a batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from ltsi.histories import Histories, TrainingBatch
from ltsi.losses.next_item import Catalogue, NextItemLoss
from ltsi.models.encoding import Encode, encode
from ltsi.models.interest import InterestModel
from ltsi.models.items import Items
from ltsi.models.layers import Dropout
from ltsi.models.packing import pack
from ltsi.models.popularity import count_items
from ltsi.models.times import Wait
from ltsi.sequences.split import Split


class Encoder(nn.Module, ABC):
    """Turns an embedded history into a state at each position: one view of the user.

    Attributes:
        compiles: whether torch compiles it, once for all lengths: it refuses recurrent layers, and takes a loop over
            positions apart anew for each length.
    """

    compiles: ClassVar[bool] = True

    @abstractmethod
    def forward(self, x_BLD: Tensor, histories: Histories) -> Tensor:
        """Encodes histories.

        Args:
            x_BLD: the embedded items, after dropout; padding on the right.
            histories: the same histories, for whoever looks at their times.

        Returns:
            state_BLD, normalised; the state at a position knows that position and what came before it, nothing later.
        """

    @property
    def packs(self) -> bool:
        """Whether rows may hold several histories; see `SequenceNetwork.packs`."""
        return False

    def fit_statistics(self, split: Split) -> None:
        """Counts what the encoder needs on the training part of a split; see `InterestModel.fit_statistics`.

        Raises:
            DataError: the encoder needs times and the log has none.
        """


class SequenceNetwork(InterestModel):
    """A network that turns each position of a history into a state and compares it with item vectors.

    Who has no history yet is answered with popularity, smoothed by one event an item; the encoder never sees it.

    Args:
        items: the catalogue as vectors.
        embedding_dropout: dropout on the embedded history.
        wait: whether the answer depends on how long ago the last event was; see `ltsi.models.times.Wait`. In a log
            without a clock all waits are alike, and nothing comes of it.
    """

    learns = True
    prior_I: Tensor

    def __init__(self, items: Items, embedding_dropout: float, wait: bool = False) -> None:
        super().__init__()
        self.items = items
        self.embedding_dropout = Dropout(embedding_dropout)
        self.wait = Wait(items.dim) if wait else None
        self.register_buffer("prior_I", torch.full((items.n_items,), 1.0 / items.n_items).log())

    @property
    def packs(self) -> bool:
        """Whether it keeps histories that share a row apart (`Histories.first_BL`), and does not ask who the user is.

        Such a network learns from packed windows (`ltsi.models.packing`), with the same gradient.
        """
        return False

    def mind_the_wait(self) -> None:
        """Lets the answer depend on the wait from here on, as `wait=True` does from the start."""
        if self.wait is None:
            self.wait = Wait(self.items.dim)

    def fit_statistics(self, split: Split) -> None:
        """Counts the popularity of the items and what their vectors need."""
        count_I = count_items(split) + 1
        self.prior_I = (count_I / count_I.sum()).log().to(self.prior_I.device)
        self.items.fit_statistics(split)

    @abstractmethod
    def states(self, histories: Histories) -> Tensor:
        """Encodes histories.

        Returns:
            state_BLD; the state at a position knows that position and what came before it, nothing later.
        """

    def answers(self, histories: Histories) -> Tensor:
        """Returns the states as of the times they are asked at, `(B, L, D)`: what is compared with the items."""
        state_BLD = self.states(histories)
        return state_BLD if self.wait is None else self.wait(state_BLD, histories)

    def forward(self, histories: Histories) -> Tensor:
        """Scores the catalogue with the state at the last position; see `InterestModel.forward`."""
        empty_B = histories.length_B == 0
        if not empty_B.any():
            return self.items.scores(histories.last(self.answers(histories)))
        shown = replace(histories, length_B=histories.length_B.clamp(min=1))
        score_BI = self.items.scores(shown.last(self.answers(shown)))
        return torch.where(empty_B[:, None], self.prior_I.to(score_BI.dtype), score_BI)

    def training_loss(self, batch: TrainingBatch, loss: NextItemLoss) -> Tensor:
        """Sums the loss over the positions of all groups that have a target; see `InterestModel.training_loss`."""
        groups = [group.histories for group in batch.groups]
        return self.loss_of(self.encoded(self.answers, groups), batch, loss)

    def encoded(self, encoder: Encode, groups: Sequence[Histories]) -> Tensor:
        """Encodes the real positions of all groups to learn from them; see `encode`."""
        self.items.catch_up(torch.cat([histories.item_BL.flatten() for histories in groups]))
        table = self.items.embedding
        learned, sparse = list(self.parameters()), [table.weight] if table.sparse else []
        # Elsewhere than on a CPU, reading the lengths would wait for the device.
        if not self.packs or groups[0].item_BL.device.type != "cpu":
            return encode(encoder, groups, learned, sparse)
        packed = pack(groups, self.items.n_items)
        return encode(encoder, packed.parts, learned, sparse).index_select(0, packed.order_N)

    def loss_of(self, state_ND: Tensor, batch: TrainingBatch, loss: NextItemLoss) -> Tensor:
        """Returns the loss of a batch whose real positions have been encoded, group after group; a scalar."""
        target_N = batch.real_targets()
        asked_N = target_N < self.items.n_items
        ready_NE = self.items.ready(state_ND[asked_N])
        catalogue = Catalogue(self.items.n_items, self.items.vectors, self.prior_I)
        return loss(ready_NE, catalogue, target_N[asked_N]) / batch.n_targets
