"""HGN: gates that let through what of the last items, and which of them, matters to this user.

Shape suffixes: B histories, L positions, D width, W items of the window.
Source: Ma et al. 2019, "Hierarchical Gating Networks for Sequential Recommendation": feature gating, instance gating,
the item-item product and the prediction of section 4, under the loss of Rendle et al. 2009 (`loss=bpr`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ltsi.histories import Histories
from ltsi.models.items import Items
from ltsi.models.network import SequenceNetwork
from ltsi.models.users import UserVectors
from ltsi.sequences.split import Split


class Hgn(SequenceNetwork):
    """`score_i = out_i · (u + Σ_w g_w f_w / Σ_w g_w + Σ_w x_w) + bias_i` over the last W items of a position.

    `f = x ∘ σ(A x + B u + b)` is what of an item matters to the user, `g_w = σ(c · f_w + d_w · u)` how much the item w
    steps back does. The third term is the item-item product. Items have vectors of their own on the way out
    (`model/items=free`). Whoever the store does not know has the vector that all users have in common.

    What is gated of an item is the same in every window, so all positions are answered with one gated vector an event
    and weighted sums over the window.

    Args:
        items: the catalogue as vectors.
        dim: width D.
        window: W.
        user_dropout: probability of a user to be treated as a stranger in a training batch; the paper has none.
        embedding_dropout: dropout on the embedded history; the paper has none.
    """

    def __init__(self, items: Items, dim: int, window: int, user_dropout: float, embedding_dropout: float) -> None:
        super().__init__(items, embedding_dropout)
        if window < 1:
            raise ValueError(f"window={window} must be at least 1")
        self.window, self.users = window, UserVectors(dim, user_dropout)
        self.of_item, self.of_user = nn.Linear(dim, dim), nn.Linear(dim, dim, bias=False)
        self.instance, self.step = nn.Linear(dim, 1, bias=False), nn.Linear(dim, window, bias=False)

    def fit_statistics(self, split: Split) -> None:
        """Makes a vector for each user; see `SequenceNetwork.fit_statistics`."""
        super().fit_statistics(split)
        self.users.make_room(split.store.n_users)

    def states(self, histories: Histories) -> Tensor:
        """Encodes histories, `(B, L, D)`; see `SequenceNetwork.states`."""
        x_BLD, user_BD = self.embedding_dropout(self.items(histories.item_BL)), self.users(histories)
        gated_BLD = x_BLD * torch.sigmoid(self.of_item(x_BLD) + self.of_user(user_BD)[:, None])
        place_L = torch.arange(x_BLD.shape[1], device=x_BLD.device)
        back_LL = place_L[:, None] - place_L
        inside_LL = (back_LL >= 0) & (back_LL < self.window)
        # One number an event, and one a step back.
        logit_BLL = self.instance(gated_BLD).transpose(1, 2) + self.step(user_BD)[:, back_LL.clamp(0, self.window - 1)]
        gate_BLL = logit_BLL.sigmoid() * inside_LL
        union_BLD = (gate_BLL @ gated_BLD) / gate_BLL.sum(dim=2, keepdim=True)
        state_BLD: Tensor = user_BD[:, None] + union_BLD + inside_LL.to(x_BLD.dtype) @ x_BLD
        return state_BLD
