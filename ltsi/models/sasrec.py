"""SASRec as it was published: plain self-attention over the past, trained against one drawn item a position.

Shape suffixes: B histories, L positions, D width.
Source: Kang & McAuley 2018, "Self-Attentive Sequential Recommendation": section III-A (embedding and positions), III-B
(attention without biases, a network of width D with ReLU, each as `x + Dropout(g(LayerNorm(x)))`), III-D (one matrix of
items for both ways), III-E (the loss: `loss=bce`); the factor √D on the items and the last normalisation are those of
its authors' code. `transformer` is its cousin after today's habits, under a full softmax.
"""

from __future__ import annotations

from torch import Tensor, nn

from ltsi.histories import Histories
from ltsi.models.items import Items
from ltsi.models.layers import CausalAttention, TransformerBlock, outside, two_layers
from ltsi.models.network import SequenceNetwork
from ltsi.models.positions import Positions


class SasrecBlock(TransformerBlock):
    """Pre-norm block whose attention is three matrices, and whose network is no wider than its input.

    Args:
        dim: width D.
        heads: attention heads.
        dropout: dropout on attention weights, after attention, inside and after the network.
    """

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__(dim, heads, dropout)
        self.attention = CausalAttention(dim, heads, dropout, plain=True)
        self.network = two_layers(dim, dim, nn.ReLU(), dropout)


class Sasrec(SequenceNetwork):
    """Blocks of self-attention over items and positions.

    Positions are counted from the start of the history shown; the paper, which pads at the front, counts from its end.
    They start an eighth as large as the scaled items (D = 64). In the authors' code both start alike, by Glorot; on
    Beauty that made no difference (validation NDCG@10 0.0343 and 0.0341, one seed each).

    Args:
        items: the catalogue as vectors.
        max_length: longest history it is shown.
        dim: width D.
        layers: number of blocks.
        heads: attention heads in a block.
        dropout: dropout inside the blocks.
        embedding_dropout: dropout on the sum of item and position.
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
    ) -> None:
        super().__init__(items, embedding_dropout)
        self.scale = dim**0.5
        self.position = Positions(max_length, dim)
        self.blocks = nn.ModuleList(SasrecBlock(dim, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)

    @property
    def packs(self) -> bool:
        """It looks at its own history alone; see `SequenceNetwork.packs`."""
        return True

    def states(self, histories: Histories) -> Tensor:
        """Encodes histories, `(B, L, D)`; see `SequenceNetwork.states`."""
        x_BLD = self.embedding_dropout(self.position(self.scale * self.items(histories.item_BL), histories.first_BL))
        blocked = None if histories.first_BL is None else outside(histories.first_BL)
        for block in self.blocks:
            x_BLD = block(x_BLD, blocked)
        state_BLD: Tensor = self.norm(x_BLD)
        return state_BLD
