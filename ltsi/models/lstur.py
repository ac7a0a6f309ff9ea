"""LSTUR: who the user is, learned once, and what the user did of late, read by a GRU.

Shape suffixes: B histories, L positions, D width.
Source: An et al. 2019, "Neural News Recommendation with Long- and Short-term User Representations" (LSTUR): the user
encoders LSTUR-ini and LSTUR-con with their random mask, section 3.

Departure: item vectors stand where it has a news encoder.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ltsi.histories import Histories
from ltsi.models.items import Items
from ltsi.models.layers import Dropout
from ltsi.models.network import SequenceNetwork
from ltsi.models.users import UserVectors
from ltsi.sequences.split import Split

JOINS = ("ini", "con")


class Lstur(SequenceNetwork):
    """A GRU over the history and a vector learned for each user.

    `ini` lets the GRU begin at the user's vector, so its state carries both; `con` puts the user's vector beside the
    GRU's state, and a dense layer makes one of the two. While training, users are masked at random: a masked one is a
    stranger, who has the vector that all have in common. So the answer for whoever was never trained on is trained.

    Args:
        items: the catalogue as vectors.
        dim: width D, also of the GRU's state.
        join: `ini` or `con`.
        masked: probability with which a user is treated as a stranger while training.
        dropout: dropout on the GRU's output.
        embedding_dropout: dropout on the embedded history.
        wait: see `SequenceNetwork`.
    """

    def __init__(
        self,
        items: Items,
        dim: int,
        join: str,
        masked: float,
        dropout: float,
        embedding_dropout: float,
        wait: bool = False,
    ) -> None:
        super().__init__(items, embedding_dropout, wait)
        if join not in JOINS:
            raise ValueError(f"join={join} must be one of: {', '.join(JOINS)}")
        self.users = UserVectors(dim, masked)
        self.gru = nn.GRU(dim, dim, batch_first=True)
        self.dropout = Dropout(dropout)
        self.both = nn.Linear(2 * dim, dim) if join == "con" else None
        self.norm = nn.LayerNorm(dim)

    def fit_statistics(self, split: Split) -> None:
        """Makes room for the users; see `InterestModel.fit_statistics`."""
        super().fit_statistics(split)
        self.users.make_room(split.store.n_users)

    def states(self, histories: Histories) -> Tensor:
        """Encodes histories, `(B, L, D)`; see `SequenceNetwork.states`."""
        x_BLD = self.embedding_dropout(self.items(histories.item_BL))
        user_BD = self.users(histories)
        if self.both is None:
            state_BLD = self.dropout(self.gru(x_BLD, user_BD[None])[0])
        else:
            recent_BLD = self.dropout(self.gru(x_BLD)[0])
            state_BLD = self.both(torch.cat([recent_BLD, user_BD[:, None].expand_as(recent_BLD)], dim=2))
        normed_BLD: Tensor = self.norm(state_BLD)
        return normed_BLD
