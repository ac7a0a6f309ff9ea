"""Linear recurrent units: a memory without gates, whose numbers turn and fade, over a history of any length.

Shape suffixes: B histories, L positions, D width, H width of the complex state.
Sources: Yue et al. 2024, "Linear Recurrent Units for Sequential Recommendation" (LRURec); the unit and where it begins:
Orvieto et al. 2023, "Resurrecting Recurrent Neural Networks for Long Sequences", section 3.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ltsi.histories import Histories
from ltsi.models.items import Items
from ltsi.models.layers import Dropout, two_layers
from ltsi.models.network import Encoder
from ltsi.models.one_view import OneView
from ltsi.models.scan import linear_scan

SLOWEST, FASTEST = 0.99, 0.8
"""What is left of a number of the state after a step, in absolute value, lies between these at first."""


class LinearRecurrentUnit(nn.Module):
    """A complex diagonal recurrence: `h_t = λ ∘ h_{t−1} + γ ∘ (B x_t)`, `y_t = Re(C h_t)`.

    `λ = exp(−exp(ν) + i exp(θ))` lies inside the unit circle whatever is learned, so a state fades and is bounded. It
    begins at random on a ring (lemma 3.2 there), and `γ` where it gives the state the size of its input. `B` and `C`
    are complex matrices, kept as real ones: two numbers of a state side by side are its real and its imaginary part.

    Args:
        dim: width D.
        hidden: width H of the complex state.
    """

    start_3H: Tensor

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        radius_H = (FASTEST**2 + torch.rand(hidden) * (SLOWEST**2 - FASTEST**2)).sqrt()
        turn_H = 2 * math.pi * torch.rand(hidden)
        start = [(-radius_H.log()).log(), turn_H.log(), (1 - radius_H**2).log() / 2]
        self.register_buffer("start_3H", torch.stack(start))
        # Relative to where it began: weight decay pulls it there, and not to a state that fades in a step.
        self.learned_3H = nn.Parameter(torch.zeros(3, hidden))
        self.into, self.out = nn.Linear(dim, 2 * hidden), nn.Linear(2 * hidden, dim)

    def dynamics(self) -> tuple[Tensor, Tensor]:
        """Returns `λ`, complex, and `γ`, `(H,)` each."""
        rate_H, turn_H, scale_H = (self.start_3H + self.learned_3H).exp()
        return torch.polar((-rate_H).exp(), turn_H), scale_H

    def forward(self, x_BLD: Tensor) -> Tensor:
        """Returns the outputs, `(B, L, D)`."""
        keep_H, scale_H = self.dynamics()
        # Complex numbers have no half precision.
        into_BLH2 = self.into(x_BLD).float().unflatten(2, (-1, 2)) * scale_H[:, None]
        state_BLH = linear_scan(keep_H[None, None], torch.view_as_complex(into_BLH2))
        out_BLD: Tensor = self.out(torch.view_as_real(state_BLH).flatten(2))
        return out_BLD


class LruBlock(nn.Module):
    """A linear recurrent unit and a two-layer network, each beside a residual path and normalised behind it.

    Args:
        dim: width D.
        dropout: dropout after the unit, inside and after the two-layer network.
    """

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.unit = LinearRecurrentUnit(dim, 2 * dim)
        self.network = two_layers(dim, 4 * dim, nn.GELU(), dropout)
        self.dropout = Dropout(dropout)
        self.unit_norm, self.network_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)

    def forward(self, x_BLD: Tensor) -> Tensor:
        """Returns the next layer's input, `(B, L, D)`."""
        x_BLD = self.unit_norm(x_BLD + self.dropout(self.unit(x_BLD)))
        out_BLD: Tensor = self.network_norm(x_BLD + self.network(x_BLD))
        return out_BLD


class LruEncoder(Encoder):
    """Stacked blocks of linear recurrent units.

    Args:
        dim: width D.
        layers: number of blocks.
        dropout: dropout inside the blocks.
    """

    compiles = False

    def __init__(self, dim: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.blocks = nn.ModuleList(LruBlock(dim, dropout) for _ in range(layers))

    def forward(self, x_BLD: Tensor, histories: Histories) -> Tensor:  # noqa: ARG002 - order is all it sees
        """Encodes histories, `(B, L, D)`; see `Encoder.forward`."""
        x_BLD = self.norm(x_BLD)
        for block in self.blocks:
            x_BLD = block(x_BLD)
        return x_BLD


class Lru(OneView):
    """Linear recurrent units as a model.

    Args:
        items: the catalogue as vectors.
        dim: width D.
        layers: number of blocks.
        dropout: dropout inside the blocks.
        embedding_dropout: dropout on the embedded history.
        wait: see `SequenceNetwork`.
    """

    def __init__(
        self, items: Items, dim: int, layers: int, dropout: float, embedding_dropout: float, wait: bool = False
    ) -> None:
        super().__init__(items, LruEncoder(dim, layers, dropout), embedding_dropout, wait)
