"""Fusions: two views of a user, and what the user just did, made one vector.

Shape suffixes: B histories, L positions, D width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

FORMS = ("vector", "scalar")


class Fusion(nn.Module, ABC):
    """Makes one vector of two at each position, from what is known there."""

    @abstractmethod
    def forward(self, long_BLD: Tensor, short_BLD: Tensor, x_BLD: Tensor) -> Tensor:
        """Fuses the views.

        Args:
            long_BLD: the long view, normalised.
            short_BLD: the short view, normalised.
            x_BLD: the embedded item at each position: the immediate behaviour.

        Returns:
            fused_BLD, not normalised; a position knows itself and what came before it, nothing later.
        """


class Concat(Fusion):
    """Concatenation and a dense layer: `W [long; short] + b`.

    Args:
        dim: width D of each view.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dense = nn.Linear(2 * dim, dim)

    def forward(self, long_BLD: Tensor, short_BLD: Tensor, x_BLD: Tensor) -> Tensor:  # noqa: ARG002 - views alone
        """Fuses the views; see `Fusion.forward`."""
        fused_BLD: Tensor = self.dense(torch.cat([long_BLD, short_BLD], dim=-1))
        return fused_BLD


class Gate(Fusion):
    """A gate per dimension: `g ∘ long + (1 − g) ∘ short` with `g = σ(W [long; short] + b)`.

    Source: Yu et al. 2019, "Adaptive User Modeling with Long and Short-Term Preferences" (SLi-Rec), the attentive gate.

    Args:
        dim: width D of each view.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gate = nn.Linear(2 * dim, dim)

    def forward(self, long_BLD: Tensor, short_BLD: Tensor, x_BLD: Tensor) -> Tensor:  # noqa: ARG002 - views alone
        """Fuses the views; see `Fusion.forward`."""
        gate_BLD = torch.sigmoid(self.gate(torch.cat([long_BLD, short_BLD], dim=-1)))
        return gate_BLD * long_BLD + (1 - gate_BLD) * short_BLD


class Attention(Fusion):
    """Attention over the two views: `Σ_v a_v · v` with `a = softmax(q · K v / √D)`, `q = Q x` the query of a position.

    What the user just did asks which view to listen to.

    Source: Vaswani et al. 2017, "Attention Is All You Need", eq. 1, with two values and one query.

    Args:
        dim: width D of each view.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(dim, dim), nn.Linear(dim, dim, bias=False)
        self.scale = dim**0.5

    def forward(self, long_BLD: Tensor, short_BLD: Tensor, x_BLD: Tensor) -> Tensor:
        """Fuses the views; see `Fusion.forward`."""
        view_BL2D = torch.stack([long_BLD, short_BLD], dim=-2)
        # Item vectors have a norm of about one, views one of √D.
        query_BL1D = self.query(self.scale * x_BLD)[..., None, :]
        weight_BL2: Tensor = ((query_BL1D * self.key(view_BL2D)).sum(-1) / self.scale).softmax(dim=-1)
        return (weight_BL2[..., None] * view_BL2D).sum(dim=-2)


class Recurrent(Fusion):
    """The fused state runs along: `U_t = σ(W_t ∘ U_{t−1} + α S_t + β V_t + γ)`, with `U_0 = 0`.

    The short view gives `W_t = σ(A short_t + a)`, in (0, 1): how much of the fused state stays. The long view is `V`,
    the immediate behaviour `S`. In vector form `W_t` is one number a dimension, `α` and `β` are matrices and `γ` is a
    vector; in scalar form all are single numbers. `σ` keeps the state in (0, 1), so it is bounded over any length;
    and as `σ' ≤ 1/4`, a step passes on less than a quarter of a change of the state: gradients cannot explode, and what
    is to be remembered for long must be in `V`. Item vectors lie around zero, so what is handed on is `P (2U − 1)`.

    Args:
        dim: width D of each view.
        form: `vector` or `scalar`.
    """

    def __init__(self, dim: int, form: str = "vector") -> None:
        super().__init__()
        if form not in FORMS:
            raise ValueError(f"form={form} must be one of: {', '.join(FORMS)}")
        self.scale = dim**0.5
        self.keep = nn.Linear(dim, dim if form == "vector" else 1)
        if form == "vector":
            self.immediate: nn.Module = nn.Linear(dim, dim, bias=False)
            self.long: nn.Module = nn.Linear(dim, dim, bias=False)
            self.shift = nn.Parameter(torch.zeros(dim))
        else:
            self.immediate, self.long = Factor(), Factor()
            self.shift = nn.Parameter(torch.zeros(()))
        self.out = nn.Linear(dim, dim)

    def forward(self, long_BLD: Tensor, short_BLD: Tensor, x_BLD: Tensor) -> Tensor:
        """Fuses the views; see `Fusion.forward`."""
        keep_BLX = torch.sigmoid(self.keep(short_BLD))
        # Item vectors have a norm of about one, views one of √D.
        drive_BLD = self.immediate(self.scale * x_BLD) + self.long(long_BLD) + self.shift
        fused_BLD: Tensor = self.out(2 * run_along(keep_BLX, drive_BLD) - 1)
        return fused_BLD


class Factor(nn.Module):
    """A single learned number that its input is multiplied by; one at first."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        """Multiplies; any shape."""
        return self.factor * x


def run_along(keep_BLX: Tensor, drive_BLD: Tensor) -> Tensor:
    """Computes `U_t = σ(W_t ∘ U_{t−1} + drive_t)` from `U_0 = 0`, position by position.

    Args:
        keep_BLX: `W`, in (0, 1), one number a dimension or one for all.
        drive_BLD: what is added: `α S + β V + γ`.

    Returns:
        `U`, `(B, L, D)`, in (0, 1).
    """
    fused_BD, steps = torch.zeros_like(drive_BLD[:, 0]), []
    for keep_BX, drive_BD in zip(keep_BLX.unbind(1), drive_BLD.unbind(1)):
        fused_BD = torch.sigmoid(torch.addcmul(drive_BD, keep_BX, fused_BD))
        steps.append(fused_BD)
    return torch.stack(steps, dim=1)
