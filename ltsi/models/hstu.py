"""HSTU: attention without a softmax, gated, that sees how far back an event lies in positions and in time.

Shape suffixes: B histories, L positions, D width, H heads, K width of a head.
Source: Zhai et al. 2024, "Actions Speak Louder than Words: Trillion-Parameter Sequential Transducers for Generative
Recommendations" (HSTU), eq. 1 to 3.

Departures from its published code:
- It measures time from the event that is predicted. Here it is measured from the event that looks, and how long the
  answer is waited for is `model.wait`.
- It scales items by √D and adds a vector for each position; here distances alone tell positions apart.
- It brings states and items to length one before they are compared, at a temperature of 0.05 (`model/items=cosine` is
  much the same). Here the state is normalised by a norm that learns, and the product is plain.
- Its two norms in a unit learn nothing, and its first matrix has no bias.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ltsi.histories import Histories
from ltsi.models.items import Items
from ltsi.models.layers import Dropout, later
from ltsi.models.network import Encoder
from ltsi.models.one_view import OneView
from ltsi.models.times import GAP_BUCKETS, gap_bucket
from ltsi.sequences.split import Split


class RelativeBias(nn.Module):
    """What is added to the logit of a pair: one number a distance in positions, and one a bucket of time between.

    Args:
        distances: distances that are told apart; farther ones are alike.
        times: whether time counts, on a scale of powers of two.
    """

    def __init__(self, distances: int, times: bool) -> None:
        super().__init__()
        self.of_distance = nn.Parameter(0.02 * torch.randn(distances))
        self.of_time = nn.Parameter(0.02 * torch.randn(GAP_BUCKETS)) if times else None

    def forward(self, length: int, bucket_BLL: Tensor | None) -> Tensor:
        """Returns the bias: rows look back at columns.

        Args:
            length: positions L.
            bucket_BLL: the bucket of time between two positions; see `buckets_between`. None, without times.

        Returns:
            `(B, L, L)`, or `(1, L, L)` without times.
        """
        place_L = torch.arange(length, device=self.of_distance.device)
        distance_LL = (place_L[:, None] - place_L).clamp(0, len(self.of_distance) - 1)
        bias_BLL = self.of_distance[distance_LL][None]
        return bias_BLL if self.of_time is None else bias_BLL + self.of_time[bucket_BLL]


def buckets_between(time_BL: Tensor) -> Tensor:
    """Returns the bucket of time from each column to the row that looks back at it, int64 `(B, L, L)`."""
    return gap_bucket(time_BL[:, :, None] - time_BL[:, None, :])


class HstuBlock(nn.Module):
    """One sequential transduction unit, beside a residual path.

    ```
    U, V, Q, K = split(SiLU(W₁ norm(x)))
    A_ij = SiLU(q_i · k_j + bias_ij) / i  for j ≤ i,  else 0
    y = x + W₂ (norm(A V) ∘ U)
    ```

    A weight depends on its own pair alone: what else the user did takes nothing from it. The norm behind the sum takes
    out any scale of a row, so dividing by the events that a position sees, `i`, only keeps numbers small.

    Args:
        dim: width D.
        heads: number of heads; divides `dim`.
        dropout: dropout before the last matrix.
        bias: see `RelativeBias`.
    """

    def __init__(self, dim: int, heads: int, dropout: float, bias: RelativeBias) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"heads={heads} must divide dim={dim}")
        self.heads, self.bias = heads, bias
        self.norm, self.mixed_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.uvqk, self.out = nn.Linear(dim, 4 * dim), nn.Linear(dim, dim)
        self.dropout = Dropout(dropout)

    def forward(self, x_BLD: Tensor, bucket_BLL: Tensor | None) -> Tensor:
        """Returns the next layer's input, `(B, L, D)`; see `RelativeBias.forward`."""
        length = x_BLD.shape[1]
        gate_BLD, *parts = functional.silu(self.uvqk(self.norm(x_BLD))).chunk(4, dim=2)
        v_BHLK, q_BHLK, k_BHLK = (part_BLD.unflatten(2, (self.heads, -1)).transpose(1, 2) for part_BLD in parts)
        seen_L1 = torch.arange(1, length + 1, device=x_BLD.device)[:, None]
        logit_BHLL = q_BHLK @ k_BHLK.transpose(2, 3) + self.bias(length, bucket_BLL)[:, None]
        weight_BHLL = functional.silu(logit_BHLL) / seen_L1
        weight_BHLL = weight_BHLL.masked_fill(later(length, x_BLD.device), 0.0)
        mixed_BLD = (weight_BHLL.to(v_BHLK.dtype) @ v_BHLK).transpose(1, 2).flatten(2)
        out_BLD: Tensor = x_BLD + self.out(self.dropout(self.mixed_norm(mixed_BLD) * gate_BLD))
        return out_BLD


class HstuEncoder(Encoder):
    """Stacked sequential transduction units.

    Args:
        dim: width D.
        layers: number of units.
        heads: attention heads H in a unit.
        dropout: dropout inside the units.
        distances: see `RelativeBias`.
        times: whether the time between two events counts.
    """

    def __init__(self, dim: int, layers: int, heads: int, dropout: float, distances: int, times: bool) -> None:
        super().__init__()
        self.times = times
        self.blocks = nn.ModuleList(
            HstuBlock(dim, heads, dropout, RelativeBias(distances, times)) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(dim)

    def fit_statistics(self, split: Split) -> None:
        """Asks for times, if they count; see `Encoder.fit_statistics`."""
        if self.times:
            split.store.require_clock("model=hstu", "set model.times=false to train without them")

    def forward(self, x_BLD: Tensor, histories: Histories) -> Tensor:
        """Encodes histories, `(B, L, D)`; see `Encoder.forward`."""
        bucket_BLL = buckets_between(histories.time_BL) if self.times else None
        for block in self.blocks:
            x_BLD = block(x_BLD, bucket_BLL)
        state_BLD: Tensor = self.norm(x_BLD)
        return state_BLD


class Hstu(OneView):
    """HSTU as a model.

    Args:
        items: the catalogue as vectors.
        dim: width D.
        layers: number of units.
        heads: attention heads in a unit.
        dropout: dropout inside the units.
        embedding_dropout: dropout on the embedded history.
        distances: distances in positions that are told apart; farther ones are alike.
        times: whether the time between two events counts; needs a clock.
        wait: see `SequenceNetwork`.
    """

    def __init__(
        self,
        items: Items,
        dim: int,
        layers: int,
        heads: int,
        dropout: float,
        embedding_dropout: float,
        distances: int,
        times: bool = True,
        wait: bool = False,
    ) -> None:
        super().__init__(items, HstuEncoder(dim, layers, heads, dropout, distances, times), embedding_dropout, wait)
