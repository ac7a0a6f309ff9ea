"""LSTM: a memory with gates, which holds on to what came long ago.

Sources: Hochreiter & Schmidhuber 1997, "Long Short-Term Memory", with the forget gate of Gers et al. 2000; for next
items Hidasi et al. 2016, "Session-based Recommendations with Recurrent Neural Networks" (GRU4Rec).
"""

from __future__ import annotations

from torch import nn

from ltsi.models.recurrent import RecurrentEncoder, RecurrentModel


class LstmEncoder(RecurrentEncoder):
    """Stacked LSTM layers; see `RecurrentEncoder`."""

    layer = nn.LSTM


class Lstm(RecurrentModel):
    """An LSTM as a model; see `RecurrentModel`."""

    encoder_class = LstmEncoder
