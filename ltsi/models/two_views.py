"""A long and a short view of the user, fused into one state.

Shape suffixes: B histories, L positions, D width, U users.
Sources: systems A (two LSTMs) and B (long LSTM, short Transformer) of the project's seeds; the two views follow Yu et
al. 2019, "Adaptive User Modeling with Long and Short-Term Preferences for Personalized Recommendation" (SLi-Rec).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ltsi.histories import Histories
from ltsi.models.fusion import Fusion
from ltsi.models.items import Items
from ltsi.models.layers import Dropout, looked_up
from ltsi.models.network import Encoder, SequenceNetwork
from ltsi.models.views import MaskedEncoder, View, Windowed
from ltsi.sequences.split import Split


class TwoViews(SequenceNetwork):
    """Two encoders over one embedding: one reads the whole history, the other what a view shows of the recent past.

    Args:
        items: the catalogue as vectors.
        long: reads the whole history.
        short: reads the recent past: a Transformer by a mask, any other encoder afresh at each position.
        fusion: makes one vector of the long and the short view.
        view: the recent past.
        dim: width D.
        short_length: events that an encoder that is run afresh reads, at most.
        embedding_dropout: dropout on the embedded history.
        reverse: read the recent past from the newest event to the oldest.
        user_vector: add a vector learned for each user to the long view; see `UserVectors`.
        wait: see `SequenceNetwork`.
    """

    def __init__(  # noqa: PLR0913 - the flat keys of its YAML
        self,
        items: Items,
        long: Encoder,
        short: Encoder,
        fusion: Fusion,
        view: View,
        dim: int,
        short_length: int,
        embedding_dropout: float,
        reverse: bool = False,
        user_vector: bool = False,
        wait: bool = False,
    ) -> None:
        super().__init__(items, embedding_dropout, wait)
        self.long, self.short, self.fusion = long, short, fusion
        if not isinstance(short, MaskedEncoder):
            self.short = Windowed(short, view, short_length, reverse)
        elif reverse:
            raise ValueError("reverse=true: attention reads in no direction; take a recurrent encoder as the short one")
        else:
            short.view = view
        self.users = UserVectors(dim) if user_vector else None
        self.norm = nn.LayerNorm(dim)

    def fit_statistics(self, split: Split) -> None:
        """Lets both encoders count what they need, too; see `Encoder.fit_statistics`."""
        super().fit_statistics(split)
        self.long.fit_statistics(split)
        self.short.fit_statistics(split)
        if self.users is not None:
            self.users.make_room(split.store.n_users)

    def states(self, histories: Histories) -> Tensor:
        """Encodes histories, `(B, L, D)`; see `SequenceNetwork.states`."""
        x_BLD = self.embedding_dropout(self.items(histories.item_BL))
        long_BLD = self.long(x_BLD, histories)
        if self.users is not None:
            long_BLD = long_BLD + self.users(histories)[:, None]
        state_BLD: Tensor = self.norm(self.fusion(long_BLD, self.short(x_BLD, histories), x_BLD))
        return state_BLD


class UserVectors(nn.Module):
    """A learned vector for each user: one that all have in common, and what is the user's own.

    What is a user's own is zero at first and stays so for whoever is not trained on: such a user, and one the store
    does not know, has the common vector alone.

    Args:
        dim: width D.
        dropout: probability of a user to be treated as a stranger in a training batch, so that the common vector learns
            to stand alone.
    """

    def __init__(self, dim: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
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
        kept_B1: Tensor = self.dropout(own_BD.new_ones(len(own_BD), 1)).sign()
        return self.common + kept_B1 * own_BD

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # The store gave it its size, which a freshly built model cannot know.
        stored = state_dict.get(f"{prefix}own.weight")
        if stored is not None and len(stored):
            self.make_room(len(stored) - 1)
        super()._load_from_state_dict(state_dict, prefix, *args)
