"""How much an event matters to whoever asks: a small network on the two and their product.

Shape suffixes: B histories, L positions, D width of an event, Q width of a query.
Sources: Yu et al. 2019 (SLi-Rec) and Zheng et al. 2022 (CLSR), whose attention nets see `[v; q; v − q; v ∘ q]`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PairScore(nn.Module):
    """`w · relu(A v + B q + C (v ∘ q) + b)` with `v = W x`: one logit a pair.

    It is a dense layer on `[v; q; v − q; v ∘ q]` and one behind it: of a difference, a matrix sees nothing that it does
    not see of the two.

    Args:
        width: width D of an event.
        query: width Q of a query.
    """

    def __init__(self, width: int, query: int) -> None:
        super().__init__()
        self.event = nn.Linear(width, query, bias=False)
        self.of_event, self.of_query = nn.Linear(query, query), nn.Linear(query, query, bias=False)
        self.of_product = nn.Linear(query, query, bias=False)
        self.score = nn.Linear(query, 1, bias=False)

    def forward(self, x_BLD: Tensor, query_BQ: Tensor) -> Tensor:
        """Returns the logits `(B, L)` of all events for one query a history."""
        v_BLQ = self.event(x_BLD)
        of_product_BLQ = self.of_product(v_BLQ * query_BQ[:, None])
        seen_BLQ = torch.relu(self.of_event(v_BLQ) + self.of_query(query_BQ)[:, None] + of_product_BLQ)
        logit_BL1: Tensor = self.score(seen_BLQ)
        return logit_BL1.squeeze(2)
