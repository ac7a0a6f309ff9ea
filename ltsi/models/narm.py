"""NARM: a GRU whose last output asks which of its outputs tell the purpose of the session.

Shape suffixes: B histories, L positions, D width, H width of the GRU.
Source: Li et al. 2017, "Neural Attentive Session-based Recommendation": the global encoder, the local encoder with
weights `v · σ(A₁ h_t + A₂ h_j)`, and the bilinear decoder. The weights are not brought to a sum of one, as the paper
writes them; the authors' code takes their softmax, and a piecewise linear function for each σ. So the state grows with
the length of a history.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ltsi.histories import Histories
from ltsi.models.additive import additive_weights
from ltsi.models.items import Items
from ltsi.models.layers import Dropout
from ltsi.models.network import SequenceNetwork


class Narm(SequenceNetwork):
    """`score_i = item_i · B [h_t; Σ_{j ≤ t} a_tj h_j]`: the last output of a GRU beside the attended ones.

    Each position is answered as if the session ended there.

    Args:
        items: the catalogue as vectors.
        dim: width D of the item vectors.
        hidden: width of the GRU.
        dropout: dropout on the two encodings.
        embedding_dropout: dropout on the embedded history.
    """

    def __init__(self, items: Items, dim: int, hidden: int, dropout: float, embedding_dropout: float) -> None:
        super().__init__(items, embedding_dropout)
        self.gru = nn.GRU(dim, hidden, batch_first=True)
        self.query, self.key = nn.Linear(hidden, hidden, bias=False), nn.Linear(hidden, hidden, bias=False)
        self.weight_H = nn.Parameter(hidden**-0.5 * torch.randn(hidden))
        self.dropout = Dropout(dropout)
        self.decoder = nn.Linear(2 * hidden, dim, bias=False)

    def states(self, histories: Histories) -> Tensor:
        """Encodes histories, `(B, L, D)`; see `SequenceNetwork.states`."""
        h_BLH = self.gru(self.embedding_dropout(self.items(histories.item_BL)))[0]
        local_BLH = additive_weights(self.query(h_BLH), self.key(h_BLH), self.weight_H) @ h_BLH
        state_BLD: Tensor = self.decoder(self.dropout(torch.cat([h_BLH, local_BLH], dim=2)))
        return state_BLD
