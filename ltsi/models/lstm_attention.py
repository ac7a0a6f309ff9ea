"""Stacked LSTM with attention over its outputs: what was of interest once can be looked up again.

Shape suffixes: B histories, L positions, D width, H width of the last LSTM layer.
Source: Li et al. 2017, "Neural Attentive Session-based Recommendation" (NARM), which also compares both the last output
and the attended ones with the items.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ltsi.histories import Histories
from ltsi.models.items import Items
from ltsi.models.layers import CausalAttention, Dropout
from ltsi.models.lstm import LstmLayer
from ltsi.models.network import Encoder
from ltsi.models.one_view import OneView


class LstmAttentionEncoder(Encoder):
    """LSTM layers; a position's own output and what it attends to among the outputs up to it make its state.

    Args:
        dim: width D of the item vectors.
        hidden: width of each LSTM layer, first to last.
        dropout: dropout between layers, on attention weights and on the output.
    """

    compiles = False

    def __init__(self, dim: int, hidden: Sequence[int], dropout: float) -> None:
        super().__init__()
        if not hidden:
            raise ValueError("hidden=[] must name the width of at least one LSTM layer, such as [64,32]")
        widths = [dim, *hidden]
        self.layers = nn.ModuleList(LstmLayer(a, b, batch_first=True) for a, b in zip(widths, hidden))
        self.attention = CausalAttention(hidden[-1], 1, dropout)
        self.dropout = Dropout(dropout)
        self.out = nn.Linear(2 * hidden[-1], dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x_BLD: Tensor, histories: Histories) -> Tensor:  # noqa: ARG002 - order is all it sees
        """Encodes histories, `(B, L, D)`; see `Encoder.forward`."""
        x_BLH = x_BLD
        for layer in self.layers:
            x_BLH = self.dropout(layer(x_BLH)[0])
        attended_BLH = self.dropout(self.attention(x_BLH))
        state_BLD: Tensor = self.norm(self.out(torch.cat([x_BLH, attended_BLH], dim=2)))
        return state_BLD


class LstmAttention(OneView):
    """An LSTM with attention as a model.

    Args:
        items: the catalogue as vectors.
        dim: width D of the item vectors.
        hidden: width of each LSTM layer, first to last.
        dropout: see `LstmAttentionEncoder`.
        embedding_dropout: dropout on the embedded history.
        wait: see `SequenceNetwork`.
    """

    def __init__(
        self,
        items: Items,
        dim: int,
        hidden: Sequence[int],
        dropout: float,
        embedding_dropout: float,
        wait: bool = False,
    ) -> None:
        super().__init__(items, LstmAttentionEncoder(dim, hidden, dropout), embedding_dropout, wait)
