"""GRU: a gated memory like the LSTM, with two gates and no cell of its own.

Sources: Cho et al. 2014, "Learning Phrase Representations using RNN Encoder-Decoder"; for next items Hidasi et al.
2016, "Session-based Recommendations with Recurrent Neural Networks" (GRU4Rec).
"""

from __future__ import annotations

from torch import nn

from ltsi.models.recurrent import RecurrentEncoder, RecurrentModel


class GruEncoder(RecurrentEncoder):
    """Stacked GRU layers; see `RecurrentEncoder`."""

    layer = nn.GRU


class Gru(RecurrentModel):
    """A GRU as a model; see `RecurrentModel`."""

    encoder_class = GruEncoder
