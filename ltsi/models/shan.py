"""SHAN: a user's own attention over the long past, and then over that and what was taken lately.

Shape suffixes: B histories, L positions, D width, M the long past and the positions.
Source: Ying et al. 2018, "Sequential Recommender System based on Hierarchical Attention Networks", under the loss of
Rendle et al. 2009 (`loss=bpr`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ltsi.histories import Histories
from ltsi.models.items import Items
from ltsi.models.network import SequenceNetwork
from ltsi.models.users import UserVectors
from ltsi.models.views import View
from ltsi.sequences.split import Split


class Shan(SequenceNetwork):
    """`Σ_j softmax(u · relu(W x_j + b))_j x_j`, first over the long past, then over its result and the recent past.

    The recent past is what a view shows, the long past all before it: the paper has sessions, which are
    `model/view=last_session`. Order shows in nothing but what is recent; an item taken twice counts twice, where the
    paper has sets. The answer is a weighted mean of item vectors. With the paper's one vector an item
    (`model/items=tied`) it is closest to what was just taken, which the paper does not rank; by default items have two,
    so that it need not be. Whoever the store does not know has the vector that all users have in common.

    A weight is a number of user and item alone, so all positions are answered with one number an event and its masked
    sums.

    Args:
        items: the catalogue as vectors.
        view: the recent past.
        short_length: events of the recent past, at most.
        dim: width D.
        user_dropout: probability of a user to be treated as a stranger in a training batch; the paper has none.
        embedding_dropout: dropout on the embedded history; the paper has none.
    """

    def __init__(
        self, items: Items, view: View, short_length: int, dim: int, user_dropout: float, embedding_dropout: float
    ) -> None:
        super().__init__(items, embedding_dropout)
        if short_length < 1:
            raise ValueError(f"short_length={short_length} must be at least 1")
        self.view, self.short_length, self.users = view, short_length, UserVectors(dim, user_dropout)
        self.long, self.both = nn.Linear(dim, dim), nn.Linear(dim, dim)

    def fit_statistics(self, split: Split) -> None:
        """Asks for what the view needs and makes a vector for each user; see `SequenceNetwork.fit_statistics`."""
        super().fit_statistics(split)
        self.view.check(split)
        self.users.make_room(split.store.n_users)

    def states(self, histories: Histories) -> Tensor:
        """Encodes histories, `(B, L, D)`; see `SequenceNetwork.states`."""
        x_BLD = self.embedding_dropout(self.items(histories.item_BL))
        user_BD1 = self.users(histories)[:, :, None].to(x_BLD.dtype)
        place_L = torch.arange(x_BLD.shape[1], device=x_BLD.device)
        first_BL1 = self.view.first(histories).maximum(place_L - (self.short_length - 1))[..., None]
        before_BLL, none_BL1 = place_L < first_BL1, first_BL1 == 0
        recent_BLL = ~before_BLL & (place_L <= place_L[:, None])

        long_logit_B1L = (self.long(x_BLD).relu() @ user_BD1).transpose(1, 2)
        # Who has no long past weighs all alike, and takes no part below.
        long_logit_BLL = long_logit_B1L.masked_fill(~before_BLL & ~none_BL1, -torch.inf)
        long_BLD = long_logit_BLL.expand(-1, x_BLD.shape[1], -1).softmax(dim=2) @ x_BLD

        logit_B1L = (self.both(x_BLD).relu() @ user_BD1).transpose(1, 2)
        logit_BL1 = (self.both(long_BLD).relu() @ user_BD1).masked_fill(none_BL1, -torch.inf)
        logit_BLM = torch.cat([logit_BL1, logit_B1L.masked_fill(~recent_BLL, -torch.inf)], dim=2)
        weight_BLM = logit_BLM.softmax(dim=2)
        state_BLD: Tensor = weight_BLM[..., :1] * long_BLD + weight_BLM[..., 1:] @ x_BLD
        return state_BLD
