"""The catalogue as vectors: what histories are embedded with and states are compared with.

Shape suffixes: B histories, L positions, I items, D model width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Items(nn.Module):
    """One vector an item, the same on the way in and on the way out.

    Source: Press & Wolf 2017, "Using the Output Embedding to Improve Language Models" (weight tying).

    Args:
        n_items: size of the catalogue. Row `n_items` of the embedding is padding.
        dim: width D.
    """

    def __init__(self, n_items: int, dim: int) -> None:
        super().__init__()
        self.n_items, self.dim = n_items, dim
        self.embedding = nn.Embedding(n_items + 1, dim, padding_idx=n_items)
        nn.init.normal_(self.embedding.weight, std=dim**-0.5)
        with torch.no_grad():
            self.embedding.weight[n_items].zero_()

    def forward(self, item_BL: Tensor) -> Tensor:
        """Embeds items, `(B, L, D)`; padding is zero."""
        embedded_BLD: Tensor = self.embedding(item_BL)
        return embedded_BLD

    def vectors(self) -> Tensor:
        """Returns the vectors that states are compared with, `(I, D)`."""
        return self.embedding.weight[: self.n_items]
