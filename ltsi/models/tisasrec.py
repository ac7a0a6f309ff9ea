"""TiSASRec: attention that sees how much time lies between any two events, in units of the user's own pace.

Shape suffixes: B histories, L positions, D width, H heads, K width of a head, I intervals that are told apart.
Source: Li, Wang & McAuley 2020, "Time Interval Aware Self-Attention for Sequential Recommendation" (TiSASRec), section
3.

Departures: the full softmax in the place of one sampled negative; and the smallest interval of a user is that of the
events up to a position. Over the whole window, as published, it would tell a position of its future.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ltsi.histories import Histories
from ltsi.models.items import Items
from ltsi.models.layers import Dropout, later, two_layers
from ltsi.models.network import Encoder
from ltsi.models.one_view import OneView
from ltsi.models.positions import Positions
from ltsi.sequences.split import Split


def personal_intervals(time_BL: Tensor, longest: int) -> Tensor:
    """Counts how often the user's smallest interval so far fits between two events, int64 `(B, L, L)`.

    Args:
        time_BL: times, rising.
        longest: where counting ends.

    Returns:
        Rows look back at columns; what a row does not see is 0. Events of the same time have no interval, and do not
        make the smallest one.
    """
    gap_BL = time_BL.diff(dim=1, prepend=time_BL[:, :1])
    never = torch.iinfo(gap_BL.dtype).max
    # Of sorted times, the smallest interval is one between neighbours.
    smallest_BL = gap_BL.masked_fill(gap_BL <= 0, never).cummin(dim=1).values
    since_BLL = (time_BL[:, :, None] - time_BL[:, None, :]).clamp(min=0)
    return (since_BLL // smallest_BL[:, :, None]).clamp(max=longest)


class IntervalAttention(nn.Module):
    """Causal attention whose keys and values know their position and their distance in time from whoever asks.

    ```
    e_ij = q_i · (k_j + p^K_j + r^K_ij) / √K,   z_i = Σ_j softmax_j≤i(e)_ij (v_j + p^V_j + r^V_ij)
    ```

    `r_ij` is one of few vectors, so none of it is laid out for every pair: the query meets each vector once and the
    products are handed out; and the weights of the pairs with the same vector are added up before it is multiplied.
    Position by interval takes the place of position by position by width.

    Args:
        dim: width D.
        heads: number of heads; divides `dim`.
        dropout: dropout on the attention weights.
    """

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"heads={heads} must divide dim={dim}")
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(dim, dim) for _ in range(3))
        self.dropout = Dropout(dropout)

    def forward(
        self, x_BLD: Tensor, positions: tuple[Tensor, Tensor], intervals: tuple[Tensor, Tensor], interval_BLL: Tensor
    ) -> Tensor:
        """Attends.

        Args:
            x_BLD: what attends to itself.
            positions: what the position adds to keys and to values, `(L, D)` each.
            intervals: what the interval adds to keys and to values, `(I, D)` each.
            interval_BLL: which interval lies between a row and a column; see `personal_intervals`.

        Returns:
            The attended values, `(B, L, D)`.
        """
        key_LD, value_LD = positions
        key_HIK, value_HIK = (part_ID.unflatten(1, (self.heads, -1)).transpose(0, 1) for part_ID in intervals)
        q_BHLK, k_BHLK, v_BHLK = (
            part_BLD.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for part_BLD in (self.query(x_BLD), self.key(x_BLD) + key_LD, self.value(x_BLD) + value_LD)
        )
        interval_BHLL = interval_BLL[:, None].expand(-1, self.heads, -1, -1)
        of_interval_BHLI = q_BHLK @ key_HIK.transpose(1, 2)
        logit_BHLL = q_BHLK @ k_BHLK.transpose(2, 3) + of_interval_BHLI.gather(3, interval_BHLL)
        hidden_LL = later(x_BLD.shape[1], x_BLD.device)
        logit_BHLL = (logit_BHLL * q_BHLK.shape[3] ** -0.5).masked_fill(hidden_LL, -torch.inf)
        weight_BHLL = self.dropout(logit_BHLL.softmax(dim=3))
        weight_BHLI = torch.zeros_like(of_interval_BHLI).scatter_add(
            3, interval_BHLL, weight_BHLL.to(of_interval_BHLI.dtype)
        )
        mixed_BHLK: Tensor = weight_BHLL @ v_BHLK + weight_BHLI @ value_HIK
        return mixed_BHLK.transpose(1, 2).flatten(2)


class TiSasRecBlock(nn.Module):
    """Attention that sees intervals, then a two-layer network of the same width, each beside a residual path.

    Args:
        dim: width D.
        heads: number of attention heads.
        dropout: dropout on attention weights, after attention, inside and after the two-layer network.
    """

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm, self.network_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = IntervalAttention(dim, heads, dropout)
        self.network = two_layers(dim, dim, nn.ReLU(), dropout)
        self.dropout = Dropout(dropout)

    def forward(
        self, x_BLD: Tensor, positions: tuple[Tensor, Tensor], intervals: tuple[Tensor, Tensor], interval_BLL: Tensor
    ) -> Tensor:
        """Returns the next layer's input, `(B, L, D)`; see `IntervalAttention.forward`."""
        attended_BLD = self.attention(self.attention_norm(x_BLD), positions, intervals, interval_BLL)
        x_BLD = x_BLD + self.dropout(attended_BLD)
        out_BLD: Tensor = x_BLD + self.network(self.network_norm(x_BLD))
        return out_BLD


class TiSasRecEncoder(Encoder):
    """Causal Transformer that sees the intervals between events.

    Args:
        dim: width D.
        layers: number of blocks.
        heads: attention heads H in a block.
        dropout: dropout inside the blocks.
        max_length: longest history it is shown.
        max_interval: intervals longer than so many times the user's smallest one are alike.
    """

    def __init__(self, dim: int, layers: int, heads: int, dropout: float, max_length: int, max_interval: int) -> None:
        super().__init__()
        if max_interval < 1:
            raise ValueError(f"max_interval={max_interval} must be at least 1")
        self.max_interval = max_interval
        self.key_position, self.value_position = Positions(max_length, dim), Positions(max_length, dim)
        # As positions, the intervals are the same in all blocks.
        self.key_interval_ID, self.value_interval_ID = (
            nn.Parameter(torch.randn(max_interval + 1, dim) * dim**-0.5) for _ in range(2)
        )
        self.blocks = nn.ModuleList(TiSasRecBlock(dim, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)

    def fit_statistics(self, split: Split) -> None:
        """Asks for times; see `Encoder.fit_statistics`."""
        split.store.require_clock("model=tisasrec")

    def forward(self, x_BLD: Tensor, histories: Histories) -> Tensor:
        """Encodes histories, `(B, L, D)`; see `Encoder.forward`."""
        length = x_BLD.shape[1]
        positions = (self.key_position.first(length), self.value_position.first(length))
        intervals = (self.key_interval_ID, self.value_interval_ID)
        interval_BLL = personal_intervals(histories.time_BL, self.max_interval)
        for block in self.blocks:
            x_BLD = block(x_BLD, positions, intervals, interval_BLL)
        state_BLD: Tensor = self.norm(x_BLD)
        return state_BLD


class TiSasRec(OneView):
    """TiSASRec as a model.

    Args:
        items: the catalogue as vectors.
        max_length: longest history it is shown.
        max_interval: see `TiSasRecEncoder`.
        dim: width D.
        layers: number of blocks.
        heads: attention heads in a block.
        dropout: dropout inside the blocks.
        embedding_dropout: dropout on the embedded history.
        wait: see `SequenceNetwork`.
    """

    def __init__(
        self,
        items: Items,
        max_length: int,
        max_interval: int,
        dim: int,
        layers: int,
        heads: int,
        dropout: float,
        embedding_dropout: float,
        wait: bool = False,
    ) -> None:
        encoder = TiSasRecEncoder(dim, layers, heads, dropout, max_length, max_interval)
        super().__init__(items, encoder, embedding_dropout, wait)
