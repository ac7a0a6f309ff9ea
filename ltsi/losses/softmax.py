"""Full softmax cross-entropy that never holds the whole logit matrix.

Shape suffixes: N positions, R positions of one block, E width of what is compared, I items.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from ltsi.losses.blocks import BlockLoss, blocked_loss
from ltsi.losses.next_item import Catalogue

LN_2 = math.log(2)

SAFE_POWER = 60.0
"""Powers of two up to this, and their sums, are far from both ends of float32."""


class Softmax:
    """Cross-entropy over the whole catalogue, `-log softmax(V s)[target]`, summed over positions.

    Computed in the precision of the item vectors, not float16: mixed precision hands over states of half precision.

    With label smoothing ε the right answer is the target with probability 1 − ε and any item with ε / I. This adds ε
    times (the target's logit − the mean logit), and the mean logit is the state's product with the mean vector: no
    logit is looked at a second time.

    Source: Szegedy et al. 2016, "Rethinking the Inception Architecture", section 7 (label smoothing).

    Args:
        block: positions whose logits are held at a time, by each thread.
        label_smoothing: ε, from 0 to 1.
    """

    def __init__(self, block: int = 64, label_smoothing: float = 0.0) -> None:
        if block < 1:
            raise ValueError(f"block={block} must be at least 1")
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"label_smoothing={label_smoothing} must be from 0 to 1")
        self.block, self.label_smoothing = block, label_smoothing

    def __call__(self, state_NE: Tensor, catalogue: Catalogue, target_N: Tensor) -> Tensor:
        """Returns the summed loss, a scalar; see `NextItemLoss`."""
        vector_IE = catalogue.vectors()
        state_NE = state_NE.to(vector_IE.dtype)
        bits_NE = state_NE / LN_2
        loss = blocked_loss(CrossEntropy(target_N, _largest(bits_NE, vector_IE)), bits_NE, vector_IE, None, self.block)
        if self.label_smoothing:
            ahead_NE = functional.embedding(target_N, vector_IE) - vector_IE.mean(0)
            loss = loss + self.label_smoothing * (state_NE * ahead_NE).sum()
        return loss


class CrossEntropy(BlockLoss):
    """`-log softmax(logits)[column]`, of logits in bits: divided by ln 2.

    Powers of two are cheaper than those of e. What they are divided by, their sum, is left to `BlockLoss`. It must have
    room: float16, which ends at 65,504, has none for it.

    Args:
        column_N: int64, which column is right.
        largest: no logit is larger in absolute value; where it is small, powers are taken without a look at the logits.
    """

    def __init__(self, column_N: Tensor, largest: float = math.inf) -> None:
        self.column_N, self.shifted = column_N, not largest < SAFE_POWER

    def __call__(self, logit_RC: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
        """Computes loss and gradient; see `BlockLoss`."""
        column_R1 = self.column_N[rows, None]
        right_R1 = logit_RC.gather(1, column_R1)
        if self.shifted:
            top_R1 = logit_RC.amax(dim=1, keepdim=True)
            logit_RC -= top_R1
            right_R1 -= top_R1
        mass_R1 = logit_RC.exp2_().sum(dim=1, keepdim=True)
        bits_R1 = mass_R1.log2() - right_R1
        # d loss / d logit = ln 2 (softmax - one hot), here times the mass.
        logit_RC.scatter_add_(1, column_R1, -mass_R1)
        return bits_R1.sum() * LN_2, LN_2 / mass_R1.squeeze(1)


@torch.no_grad()
def _largest(state_NE: Tensor, vector_IE: Tensor) -> float:
    """Returns what no product of a state and a vector exceeds, that of their lengths; off a CPU nobody waits for it."""
    if state_NE.device.type != "cpu" or not len(state_NE):
        return math.inf
    return float(state_NE.norm(dim=1).max() * vector_IE.norm(dim=1).max())
