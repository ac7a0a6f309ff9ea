"""LSTM over the whole history: the long view.

Shape suffixes: B histories, L positions, D width.
Sources: Hochreiter & Schmidhuber 1997, "Long Short-Term Memory"; for next items Hidasi et al. 2016, "Session-based
Recommendations with Recurrent Neural Networks" (GRU4Rec).
"""

from __future__ import annotations

from torch import Tensor, nn

from ltsi.histories import Histories
from ltsi.models.items import Items
from ltsi.models.layers import Dropout
from ltsi.models.network import SequenceNetwork


class Lstm(SequenceNetwork):
    """Stacked LSTM whose outputs, normalised and projected, are compared with the item vectors.

    Args:
        items: the catalogue as vectors.
        dim: width of the item vectors.
        hidden: width of the recurrent state.
        layers: stacked layers.
        dropout: dropout between layers and on the output.
        embedding_dropout: dropout on the embedded history.
    """

    def __init__(
        self, items: Items, dim: int, hidden: int, layers: int, dropout: float, embedding_dropout: float
    ) -> None:
        super().__init__(items, embedding_dropout)
        self.lstm = nn.ModuleList(nn.LSTM(hidden if i else dim, hidden, batch_first=True) for i in range(layers))
        self.dropout = Dropout(dropout)
        self.out = nn.Linear(hidden, dim)
        self.norm = nn.LayerNorm(dim)

    def states(self, histories: Histories) -> Tensor:
        """Encodes histories, `(B, L, D)`; see `SequenceNetwork.states`."""
        x_BLD = self.embedding_dropout(self.items(histories.item_BL))
        for lstm in self.lstm:
            x_BLD = self.dropout(lstm(x_BLD)[0])
        state_BLD: Tensor = self.norm(self.out(x_BLD))
        return state_BLD
