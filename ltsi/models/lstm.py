"""LSTM: a memory with gates, which holds on to what came long ago.

Sources: Hochreiter & Schmidhuber 1997, "Long Short-Term Memory", with the forget gate of Gers et al. 2000; for next
items Hidasi et al. 2016, "Session-based Recommendations with Recurrent Neural Networks" (GRU4Rec).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from ltsi.models.recurrent import RecurrentEncoder, RecurrentModel


class LstmLayer(nn.LSTM):
    """torch's LSTM, in full precision where mixed precision is asked of a processor whose LSTM has none."""

    def forward(self, x_BLD: Tensor, state: Any = None) -> Any:  # type: ignore[override]
        """See `torch.nn.LSTM.forward`."""
        if x_BLD.device.type != "cpu" or not torch.is_autocast_enabled("cpu") or not _full_precision_only():
            return super().forward(x_BLD, state)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x_BLD.float(), state)


@cache
def _full_precision_only() -> bool:
    """Tells whether the library that computes LSTMs on a CPU refuses half precision on this one."""
    return torch.backends.mkldnn.is_available() and not torch.ops.mkldnn._is_mkldnn_bf16_supported()


class LstmEncoder(RecurrentEncoder):
    """Stacked LSTM layers; see `RecurrentEncoder`."""

    layer = LstmLayer


class Lstm(RecurrentModel):
    """An LSTM as a model; see `RecurrentModel`."""

    encoder_class = LstmEncoder
