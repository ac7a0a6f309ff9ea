"""Transformer over the last events of a history.

Shape suffixes: B histories, L positions, D width.
Sources: Kang & McAuley 2018, "Self-Attentive Sequential Recommendation" (SASRec); the full softmax instead of its one
sampled negative follows Klenitskiy & Vasilev 2023, "Turning Dross Into Gold Loss".
"""

from __future__ import annotations

from torch import Tensor, nn

from ltsi.histories import Histories
from ltsi.models.items import Items
from ltsi.models.layers import TransformerBlock
from ltsi.models.network import SequenceNetwork
from ltsi.models.positions import Positions


class Transformer(SequenceNetwork):
    """Causal Transformer with learned positions counted from the start of the history shown.

    Args:
        items: the catalogue as vectors.
        max_length: longest history it is shown.
        dim: width D.
        layers: number of blocks.
        heads: attention heads in a block.
        dropout: dropout inside the blocks.
        embedding_dropout: dropout on the embedded history.
        window: positions a position attends to; None: all of the past.
    """

    def __init__(
        self,
        items: Items,
        max_length: int,
        dim: int,
        layers: int,
        heads: int,
        dropout: float,
        embedding_dropout: float,
        window: int | None = None,
    ) -> None:
        super().__init__(items, embedding_dropout)
        self.position = Positions(max_length, dim)
        self.blocks = nn.ModuleList(TransformerBlock(dim, heads, dropout, window) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)

    def states(self, histories: Histories) -> Tensor:
        """Encodes histories, `(B, L, D)`; see `SequenceNetwork.states`."""
        x_BLD = self.embedding_dropout(self.position(self.items(histories.item_BL)))
        for block in self.blocks:
            x_BLD = block(x_BLD)
        state_BLD: Tensor = self.norm(x_BLD)
        return state_BLD
