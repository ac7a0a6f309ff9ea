"""Full softmax cross-entropy that never holds the whole logit matrix.

Shape suffixes: N positions, R positions of one block, E width of what is compared, I items.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ltsi.losses.blocks import BlockLoss, blocked_loss
from ltsi.losses.next_item import Catalogue


class Softmax:
    """Cross-entropy over the whole catalogue, `-log softmax(V s)[target]`, summed over positions.

    Computed in the precision of the item vectors: mixed precision hands over states of half precision.

    With label smoothing ε the right answer is the target with probability 1 − ε and any item with ε / I. This adds ε
    times (the target's logit − the mean logit), and the mean logit is the state's product with the mean vector: no
    logit is looked at a second time.

    Source: Szegedy et al. 2016, "Rethinking the Inception Architecture", section 7 (label smoothing).

    Args:
        block: positions whose logits are held at a time, by each thread.
        label_smoothing: ε, from 0 to 1.
    """

    def __init__(self, block: int = 32, label_smoothing: float = 0.0) -> None:
        if block < 1:
            raise ValueError(f"block={block} must be at least 1")
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"label_smoothing={label_smoothing} must be from 0 to 1")
        self.block, self.label_smoothing = block, label_smoothing

    def __call__(self, state_NE: Tensor, catalogue: Catalogue, target_N: Tensor) -> Tensor:
        """Returns the summed loss, a scalar; see `NextItemLoss`."""
        vector_IE = catalogue.vectors()
        state_NE = state_NE.to(vector_IE.dtype)
        loss = blocked_loss(CrossEntropy(target_N), state_NE, vector_IE, None, self.block)
        if self.label_smoothing:
            ahead_NE = functional.embedding(target_N, vector_IE) - vector_IE.mean(0)
            loss = loss + self.label_smoothing * (state_NE * ahead_NE).sum()
        return loss


class CrossEntropy(BlockLoss):
    """`-log softmax(logits)[column]`, with one pass of torch's softmax over a block.

    Args:
        column_N: int64, which column is right.
    """

    def __init__(self, column_N: Tensor) -> None:
        self.column_N = column_N

    def __call__(self, logit_RC: Tensor, rows: slice) -> Tensor:
        """Computes loss and gradient; see `BlockLoss`."""
        column_R1 = self.column_N[rows, None]
        right_R, top_R = logit_RC.gather(1, column_R1).squeeze(1), logit_RC.amax(dim=1)
        if logit_RC.device.type == "cpu":
            # In place, which torch's softmax on a CPU bears: it reads an element for the last time before it writes it.
            torch.softmax(logit_RC, dim=1, out=logit_RC)
        else:
            logit_RC.copy_(logit_RC.softmax(dim=1))
        # log Σ exp, by the item whose probability cannot be zero: the first.
        mass_R = top_R - logit_RC.amax(dim=1).log()
        # d loss / d logit = softmax - one hot
        logit_RC.scatter_add_(1, column_R1, logit_RC.new_full((), -1.0).expand_as(column_R1))
        return (mass_R - right_R).sum()
