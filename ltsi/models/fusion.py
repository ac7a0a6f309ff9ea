"""Fusions: two views of a user made one vector. Shape suffixes: `...D` any leading shape, width D."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Concat(nn.Module):
    """Concatenation and a dense layer: `W [long; short] + b`.

    Args:
        dim: width D of each view.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dense = nn.Linear(2 * dim, dim)

    def forward(self, long_D: Tensor, short_D: Tensor) -> Tensor:
        """Fuses the views, `(..., D)`."""
        fused_D: Tensor = self.dense(torch.cat([long_D, short_D], dim=-1))
        return fused_D


class Gate(nn.Module):
    """A gate per dimension: `g · long + (1 − g) · short` with `g = σ(W [long; short] + b)`.

    Source: Yu et al. 2019, "Adaptive User Modeling with Long and Short-Term Preferences" (SLi-Rec), the attentive gate.

    Args:
        dim: width D of each view.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gate = nn.Linear(2 * dim, dim)

    def forward(self, long_D: Tensor, short_D: Tensor) -> Tensor:
        """Fuses the views, `(..., D)`."""
        gate_D = torch.sigmoid(self.gate(torch.cat([long_D, short_D], dim=-1)))
        return gate_D * long_D + (1 - gate_D) * short_D
