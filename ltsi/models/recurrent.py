"""What LSTM, GRU and plain RNN share: stacked recurrent layers, alone or as one view of two.

Shape suffixes: B histories, L positions, D width.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from ltsi.histories import Histories
from ltsi.models.items import Items
from ltsi.models.layers import Dropout
from ltsi.models.network import Encoder
from ltsi.models.one_view import OneView
from ltsi.models.views import LastEvents, Windowed


class RecurrentEncoder(Encoder):
    """Stacked recurrent layers, whose outputs are projected and normalised.

    Attributes:
        layer: torch's module for a layer.

    Args:
        dim: width D of the item vectors.
        hidden: width of the recurrent state.
        layers: stacked layers.
        dropout: dropout between layers and on the output.
    """

    layer: ClassVar[type[nn.LSTM] | type[nn.GRU] | type[nn.RNN]]

    compiles = False

    def __init__(self, dim: int, hidden: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(self.layer(hidden if i else dim, hidden, batch_first=True) for i in range(layers))
        self.dropout = Dropout(dropout)
        self.out = nn.Linear(hidden, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x_BLD: Tensor, histories: Histories) -> Tensor:  # noqa: ARG002 - order is all it sees
        """Encodes histories, `(B, L, D)`; see `Encoder.forward`."""
        for layer in self.layers:
            x_BLD = self.dropout(layer(x_BLD)[0])
        state_BLD: Tensor = self.norm(self.out(x_BLD))
        return state_BLD


class RecurrentModel(OneView):
    """A recurrent encoder whose states are compared with the item vectors.

    Attributes:
        encoder_class: the encoder.

    Args:
        items: the catalogue as vectors.
        dim: width of the item vectors.
        hidden: width of the recurrent state.
        layers: stacked layers.
        dropout: dropout between layers and on the output.
        embedding_dropout: dropout on the embedded history.
        window: events that a position is encoded from, itself included; None: all of the past.
        wait: see `SequenceNetwork`.
    """

    encoder_class: ClassVar[type[RecurrentEncoder]]

    def __init__(
        self,
        items: Items,
        dim: int,
        hidden: int,
        layers: int,
        dropout: float,
        embedding_dropout: float,
        window: int | None = None,
        wait: bool = False,
    ) -> None:
        encoder = self.encoder_class(dim, hidden, layers, dropout)
        view = None if window is None else Windowed(encoder, LastEvents(window), window)
        super().__init__(items, view or encoder, embedding_dropout, wait)
