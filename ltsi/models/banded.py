"""Attention to the last events alone, without a matrix of all pairs: memory grows with the length, not its square.

Shape suffixes: B histories, H heads, L positions, K width of a head, N blocks, W positions in a block.
Source: Beltagy, Peters & Cohan 2020, "Longformer: The Long-Document Transformer", section 3 (sliding window).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

SMALLEST_BLOCK = 64
"""Positions in a block, at least: smaller products are not worth the call."""


def worth_a_band(length: int, events: int) -> bool:
    """Returns whether blocks save anything: a block looks at itself and the one before, so three of them do."""
    return length > 2 * max(events, SMALLEST_BLOCK)


def banded_attention(
    q_BHLK: Tensor, k_BHLK: Tensor, v_BHLK: Tensor, events: int, dropout: Callable[[Tensor], Tensor]
) -> Tensor:
    """Computes `softmax(Q Kᵀ / √K) V` where a position sees itself and the events before it, so many in all.

    Positions are cut into blocks that are at least as long as the band; each looks at itself and at the block before.

    Args:
        q_BHLK: queries.
        k_BHLK: keys.
        v_BHLK: values.
        events: events that a position sees, itself included.
        dropout: of the weights.

    Returns:
        The attended values, `(B, H, L, K)`.
    """
    length, width = q_BHLK.shape[2], max(events, SMALLEST_BLOCK)
    padding = -length % width
    q_BHNWK = functional.pad(q_BHLK, (0, 0, 0, padding)).unflatten(2, (-1, width))

    def with_the_block_before(x_BHLK: Tensor) -> Tensor:
        x_BHNWK = functional.pad(x_BHLK, (0, 0, width, padding)).unflatten(2, (-1, width))
        return torch.cat([x_BHNWK[:, :, :-1], x_BHNWK[:, :, 1:]], dim=3)

    logit = (q_BHNWK * q_BHLK.shape[3] ** -0.5) @ with_the_block_before(k_BHLK).transpose(3, 4)
    row_W1 = torch.arange(width, device=q_BHLK.device)[:, None]
    column = torch.arange(-width, width, device=q_BHLK.device)
    visible = (column <= row_W1) & (column > row_W1 - events)
    visible_N = visible.repeat(q_BHNWK.shape[2], 1, 1)
    visible_N[0] &= column >= 0
    weight = dropout(logit.masked_fill(~visible_N, -torch.inf).softmax(dim=4))
    return (weight @ with_the_block_before(v_BHLK)).flatten(2, 3)[:, :, :length]
