"""Plain recurrent network: `h_t = tanh(W x_t + U h_{t−1} + b)`, the memory without gates that the others are held to.

Source: Elman 1990, "Finding Structure in Time".
"""

from __future__ import annotations

from torch import nn

from ltsi.models.recurrent import RecurrentEncoder, RecurrentModel


class RnnEncoder(RecurrentEncoder):
    """Stacked plain recurrent layers; see `RecurrentEncoder`."""

    layer = nn.RNN


class Rnn(RecurrentModel):
    """A plain recurrent network as a model; see `RecurrentModel`."""

    encoder_class = RnnEncoder
