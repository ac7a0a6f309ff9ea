"""LSTM for the long term, Transformer for the short term, fused into one state.

Shape suffixes: B histories, L positions, D width.
Sources: system B of the project's seeds; the two views follow Yu et al. 2019 (SLi-Rec).
"""

from __future__ import annotations

from torch import Tensor, nn

from ltsi.histories import Histories
from ltsi.models.items import Items
from ltsi.models.layers import Dropout, TransformerBlock
from ltsi.models.network import SequenceNetwork
from ltsi.models.positions import Positions


class LstmTransformer(SequenceNetwork):
    """Two encoders over one embedding: an LSTM over the whole history, a Transformer over the last few events.

    Args:
        items: the catalogue as vectors.
        max_length: longest history it is shown.
        fusion: makes one vector of the long and the short view.
        dim: width D.
        hidden: width of the LSTM's state.
        short_length: events the Transformer attends to at each position, itself included.
        heads: attention heads.
        layers: Transformer blocks.
        dropout: dropout in both encoders.
        embedding_dropout: dropout on the embedded history.
    """

    def __init__(
        self,
        items: Items,
        max_length: int,
        fusion: nn.Module,
        dim: int,
        hidden: int,
        short_length: int,
        heads: int,
        layers: int,
        dropout: float,
        embedding_dropout: float,
    ) -> None:
        super().__init__(items, embedding_dropout)
        self.lstm = nn.LSTM(dim, hidden, batch_first=True)
        self.long = nn.Linear(hidden, dim)
        self.position = Positions(max_length, dim)
        self.blocks = nn.ModuleList(TransformerBlock(dim, heads, dropout, short_length) for _ in range(layers))
        self.long_norm, self.short_norm, self.norm = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.dropout = Dropout(dropout)
        self.fusion = fusion

    def states(self, histories: Histories) -> Tensor:
        """Encodes histories, `(B, L, D)`; see `SequenceNetwork.states`."""
        embedded_BLD = self.items(histories.item_BL)
        long_BLD, _ = self.lstm(self.embedding_dropout(embedded_BLD))
        short_BLD = self.embedding_dropout(self.position(embedded_BLD))
        for block in self.blocks:
            short_BLD = block(short_BLD)
        fused_BLD = self.fusion(self.long_norm(self.long(self.dropout(long_BLD))), self.short_norm(short_BLD))
        state_BLD: Tensor = self.norm(fused_BLD)
        return state_BLD
