"""STAMP: attention over the session, in which the last click has a say and then the last word.

Shape suffixes: B histories, L positions, D width.
Source: Liu et al. 2018, "STAMP: Short-Term Attention/Memory Priority Model for Session-based Recommendation" (the model
and its attention, whose weights are not brought to a sum of one).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ltsi.histories import Histories
from ltsi.models.additive import additive_weights
from ltsi.models.items import Items
from ltsi.models.network import SequenceNetwork


class Stamp(SequenceNetwork):
    """`score_i = item_i · (h_s ∘ h_t)`, `h_s = tanh(W_s m_a + b_s)`, `h_t = tanh(W_t x_t + b_t)`.

    `m_a = Σ_{j ≤ t} a_tj x_j` with `a_tj = w · σ(W₁ x_j + W₂ x_t + W₃ m_s + b)`, and `m_s` the mean of the session so
    far. Each position is answered as if the session ended there.

    Where the authors' code differs from their paper: it feeds `m_a + m_s` to `h_s` (here the paper's `m_a`), and the
    products to a plain softmax cross-entropy, without the paper's sigmoid before the softmax and without the terms of
    the wrong items (so it is here). It has no biases, and cuts item vectors to length one where it looks them up.

    Args:
        items: the catalogue as vectors.
        dim: width D.
        embedding_dropout: dropout on the embedded history; the paper has none.
    """

    def __init__(self, items: Items, dim: int, embedding_dropout: float) -> None:
        super().__init__(items, embedding_dropout)
        self.key, self.query = nn.Linear(dim, dim, bias=False), nn.Linear(2 * dim, dim)
        self.weight_D = nn.Parameter(dim**-0.5 * torch.randn(dim))
        self.session, self.last = nn.Linear(dim, dim), nn.Linear(dim, dim)

    def states(self, histories: Histories) -> Tensor:
        """Encodes histories, `(B, L, D)`; see `SequenceNetwork.states`."""
        x_BLD = self.embedding_dropout(self.items(histories.item_BL))
        n_L1 = torch.arange(1, x_BLD.shape[1] + 1, device=x_BLD.device)[:, None]
        query_BLD = self.query(torch.cat([x_BLD, x_BLD.cumsum(dim=1) / n_L1], dim=2))
        attended_BLD = additive_weights(query_BLD, self.key(x_BLD), self.weight_D) @ x_BLD
        state_BLD: Tensor = self.session(attended_BLD).tanh() * self.last(x_BLD).tanh()
        return state_BLD
