"""A long and a short view of the user, fused into one state.

Shape suffixes: B histories, L positions, D width.
Two LSTMs, or a long LSTM and a short Transformer; the two views follow Yu et al. 2019, "Adaptive User Modeling with
Long and Short-Term Preferences for Personalized Recommendation" (SLi-Rec).
"""

from __future__ import annotations

from torch import Tensor, nn

from ltsi.histories import Histories
from ltsi.models.fusion import Fusion
from ltsi.models.items import Items
from ltsi.models.network import Encoder, SequenceNetwork
from ltsi.models.users import UserVectors
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
