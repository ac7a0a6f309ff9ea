"""Learned positions, and the longest history that a model with them can be shown.

Shape suffixes: L positions, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ltsi.errors import ConfigError


class Positions(nn.Embedding):
    """A vector for each position, counted from the start of the history shown.

    Args:
        max_length: positions there are.
        dim: width D.
    """

    def __init__(self, max_length: int, dim: int) -> None:
        super().__init__(max_length, dim)
        nn.init.normal_(self.weight, std=dim**-0.5)

    def forward(self, x_BLD: Tensor, first_BL: Tensor | None = None) -> Tensor:
        """Adds its vector to each position, `(B, L, D)`; see `first`.

        Args:
            x_BLD: what the vectors are added to.
            first_BL: where the history of each position begins (`Histories.first_BL`).
        """
        if first_BL is None:
            return x_BLD + self.first(x_BLD.shape[1])
        place_BL = torch.arange(x_BLD.shape[1], device=x_BLD.device) - first_BL
        placed_BLD: Tensor = super().forward(place_BL)
        return x_BLD + placed_BLD

    def first(self, length: int) -> Tensor:
        """Returns the vectors of the first positions, `(L, D)`.

        Raises:
            ConfigError: there are fewer.
        """
        if length > self.num_embeddings:
            raise ConfigError(
                f"A history of {length} events is longer than the {self.num_embeddings} positions of this model; "
                "show it fewer (max_length) or train one with more (model.max_length)."
            )
        return self.weight[:length]


def require_positions(model: nn.Module, max_length: int) -> None:
    """Refuses, before training begins, a model that cannot be shown histories of a length.

    Args:
        model: any part of it may have positions.
        max_length: events of a history that it will be shown.

    Raises:
        ConfigError: it has fewer positions.
    """
    for name, module in model.named_modules():
        if isinstance(module, Positions) and module.num_embeddings < max_length:
            # The encoder of a single network is configured by the network's own keys.
            path = [part for part in name.split(".")[:-1] if part != "encoder"]
            key = ".".join(["model", *path, "max_length"])
            raise ConfigError(
                f"{key}={module.num_embeddings} is below max_length={max_length}, the events of a history that a model "
                f"is shown; give {key} at least as many positions, or a smaller max_length."
            )
