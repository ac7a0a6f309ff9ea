"""GRU4Rec as it was published: the state of a GRU is compared with output vectors and biases of the items' own.

Shape suffixes: B histories, L positions, D width.
Sources: Hidasi et al. 2016, "Session-based Recommendations with Recurrent Neural Networks"; Hidasi & Karatzoglou 2018,
"Recurrent Neural Networks with Top-k Gains for Session-based Recommendations" (`loss=bpr_max`). `gru` is its cousin
with one vector an item, a projected and normalised state and a full softmax.
"""

from __future__ import annotations

from torch import Tensor, nn

from ltsi.histories import Histories
from ltsi.models.items import Items
from ltsi.models.layers import Dropout
from ltsi.models.network import SequenceNetwork


class Gru4rec(SequenceNetwork):
    """`score_i = out_i · h_t + bias_i`, with h_t the output of stacked GRU layers, neither projected nor normalised.

    A history is one sequence: the state runs on over the sessions in it. Scores have no activation of their own, which
    the paper has: the order of items does not depend on it, but the loss does. The paper's wrong items are the other
    targets of the batch and drawn ones; here they are drawn.

    Args:
        items: the catalogue as vectors.
        dim: width D of item vectors and state.
        layers: stacked layers.
        dropout: dropout on the output of each layer.
        embedding_dropout: dropout on the embedded history.
    """

    def __init__(self, items: Items, dim: int, layers: int, dropout: float, embedding_dropout: float) -> None:
        super().__init__(items, embedding_dropout)
        self.layers = nn.ModuleList(nn.GRU(dim, dim, batch_first=True) for _ in range(layers))
        self.dropout = Dropout(dropout)

    def states(self, histories: Histories) -> Tensor:
        """Encodes histories, `(B, L, D)`; see `SequenceNetwork.states`."""
        x_BLD: Tensor = self.embedding_dropout(self.items(histories.item_BL))
        for layer in self.layers:
            x_BLD = self.dropout(layer(x_BLD)[0])
        return x_BLD
