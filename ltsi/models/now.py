"""What the moment of the question adds to a state: the time since the last event.

Shape suffixes: B histories, L positions, D model width.
Sources: Perez et al. 2018, "FiLM: Visual Reasoning with a General Conditioning Layer", eq. 2 (scale and shift); the
buckets of log time follow Zhai et al. 2024, "Actions Speak Louder than Words" (HSTU).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ltsi.histories import Histories

BUCKETS = 26
BUCKETS_PER_DOUBLING = 0.75
"""The last bucket begins at two to the power of 24 / 0.75 seconds: more than a century."""


class Gap(nn.Module):
    """Scales and shifts the state by what is usual so long after the last event: `(1 + a_g) · state + b_g`.

    What somebody takes in the same minute, and what they take when they come back after a year, differ. Only the answer
    at a position looks at its "now"; what later positions see of it stays as it is.

    A scale and a shift of zero are the start: the network without it. In a log without a clock every gap is one, and
    what is learned is the same scale and shift for all.

    Args:
        dim: width D.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.scale, self.shift = nn.Embedding(BUCKETS, dim), nn.Embedding(BUCKETS, dim)
        for table in (self.scale, self.shift):
            nn.init.zeros_(table.weight)

    def forward(self, state_BLD: Tensor, histories: Histories) -> Tensor:
        """Returns the states as they are asked, `(B, L, D)`."""
        gap_BL = (histories.now_BL - histories.time_BL).clamp(min=0)
        # Bucket 0 is the same second.
        bucket_BL = (gap_BL.double().log2() * BUCKETS_PER_DOUBLING + 1).clamp(0, BUCKETS - 1).long()
        answer_BLD: Tensor = state_BLD * (1 + self.scale(bucket_BL)) + self.shift(bucket_BL)
        return answer_BLD
