"""BSARec: beside self-attention, which smooths a history, a filter that holds on to its high frequencies.

Shape suffixes: B histories, L positions, D width, N longest history.
Source: Shin et al. 2024, "An Attentive Inductive Bias for Sequential Recommendation beyond the Self-Attention": the
filter `LFC[x] + β HFC[x]`, mixed with attention by α, in post-norm blocks, under a full softmax.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ltsi.histories import Histories
from ltsi.models.items import Items
from ltsi.models.layers import CausalAttention, Dropout
from ltsi.models.network import SequenceNetwork
from ltsi.models.positions import Positions


class FrequencyFilter(nn.Module):
    """`LayerNorm(x + Dropout(low + β (x − low)))`: `low` is the lowest frequencies of the past, β ≥ 0 one a dimension.

    The paper transforms a history of N places, padded at the front, and asks its last place alone. There, to keep the
    lowest frequencies is to weigh the event d steps back by a fixed number: `1/N · Σ_f cos(2π f d / N)` over the
    frequencies kept, both directions of each. Here every position is asked, so each is given what the paper gives to
    the last place of the history that ends there; a later event has no weight. In the first block this is the paper's
    number to the last digit where the history fills all N places. In a shorter one the authors' code gives the empty
    places in front of it a vector of their position alone, which the filter sees; here they are empty. In a later
    block, the paper's earlier places have meanwhile seen the end of the history, and here they have not.

    Args:
        dim: width D.
        max_length: N.
        cutoff: c, how many frequencies are low: zero, and the two directions of each that follows.
        dropout: dropout on the filtered history.
    """

    weight_NN: Tensor

    def __init__(self, dim: int, max_length: int, cutoff: int, dropout: float) -> None:
        super().__init__()
        if cutoff < 1:
            raise ValueError(f"cutoff={cutoff} must be at least 1")
        self.root_of_beta_D = nn.Parameter(torch.randn(dim))
        self.dropout, self.norm = Dropout(dropout), nn.LayerNorm(dim)
        self.register_buffer("weight_NN", low_pass(max_length, cutoff), persistent=False)

    def forward(self, x_BLD: Tensor) -> Tensor:
        """Filters histories, `(B, L, D)`."""
        length = x_BLD.shape[1]
        low_BLD = self.weight_NN[:length, :length].to(x_BLD.dtype) @ x_BLD
        filtered_BLD = low_BLD + self.root_of_beta_D.square() * (x_BLD - low_BLD)
        out_BLD: Tensor = self.norm(x_BLD + self.dropout(filtered_BLD))
        return out_BLD


def low_pass(n: int, cutoff: int) -> Tensor:
    """Returns how much each place (columns) counts at each place (rows) when low frequencies are kept, `(N, N)`.

    Args:
        n: N.
        cutoff: see `FrequencyFilter`; more than N keeps all.
    """
    step_N = torch.arange(n, dtype=torch.float64)
    frequency_F = torch.arange(min(cutoff // 2 + 1, n // 2 + 1), dtype=torch.float64)
    # All but zero and, of an even number, the highest come in two directions.
    directions_F = 1.0 + ((frequency_F > 0) & (2 * frequency_F < n)).double()
    weight_N = (2 * math.pi / n * step_N[:, None] * frequency_F).cos() @ directions_F / n
    back_NN = (step_N[:, None] - step_N).long()
    return (weight_N[back_NN.clamp(min=0)] * (back_NN >= 0)).float()


class BsarecBlock(nn.Module):
    """`α · filter + (1 − α) · attention`, then a two-layer network; each normalised after its residual path.

    Args:
        dim: width D.
        heads: attention heads.
        dropout: dropout on attention weights and after each part.
        max_length: see `FrequencyFilter`.
        cutoff: see `FrequencyFilter`.
        alpha: α, from 0 to 1.
    """

    def __init__(self, dim: int, heads: int, dropout: float, max_length: int, cutoff: int, alpha: float) -> None:
        super().__init__()
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha={alpha} must be from 0 to 1")
        self.alpha = alpha
        self.filter = FrequencyFilter(dim, max_length, cutoff, dropout)
        self.attention, self.dropout = CausalAttention(dim, heads, dropout), Dropout(dropout)
        self.network = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim), Dropout(dropout))
        self.attention_norm, self.network_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)

    def forward(self, x_BLD: Tensor) -> Tensor:
        """Returns the next block's input, `(B, L, D)`."""
        attended_BLD = self.attention_norm(x_BLD + self.dropout(self.attention(x_BLD)))
        x_BLD = self.alpha * self.filter(x_BLD) + (1 - self.alpha) * attended_BLD
        out_BLD: Tensor = self.network_norm(x_BLD + self.network(x_BLD))
        return out_BLD


class Bsarec(SequenceNetwork):
    """Blocks of a frequency filter beside self-attention.

    Args:
        items: the catalogue as vectors.
        max_length: longest history it is shown, and the period of the filter.
        dim: width D.
        layers: number of blocks.
        heads: attention heads in a block.
        alpha: α, how much the filter counts beside attention.
        cutoff: c, how many frequencies are low; see `FrequencyFilter`.
        dropout: dropout inside the blocks.
        embedding_dropout: dropout on the normalised sum of item and position.
    """

    def __init__(
        self,
        items: Items,
        max_length: int,
        dim: int,
        layers: int,
        heads: int,
        alpha: float,
        cutoff: int,
        dropout: float,
        embedding_dropout: float,
    ) -> None:
        super().__init__(items, embedding_dropout)
        self.position, self.norm = Positions(max_length, dim), nn.LayerNorm(dim)
        self.blocks = nn.ModuleList(BsarecBlock(dim, heads, dropout, max_length, cutoff, alpha) for _ in range(layers))

    def states(self, histories: Histories) -> Tensor:
        """Encodes histories, `(B, L, D)`; see `SequenceNetwork.states`."""
        x_BLD: Tensor = self.embedding_dropout(self.norm(self.position(self.items(histories.item_BL))))
        for block in self.blocks:
            x_BLD = block(x_BLD)
        return x_BLD
