"""Full softmax cross-entropy that never holds the whole logit matrix.

Shape suffixes: N positions, R positions of one block, D width, I items.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ltsi.side_by_side import side_by_side


class _BlockedSoftmax(torch.autograd.Function):
    """Computes loss and gradients together, block by block, so that each block of logits is made once and dropped."""

    @staticmethod
    def forward(ctx: Any, state_ND: Tensor, vector_ID: Tensor, target_N: Tensor, block: int) -> Tensor:
        needs_grad = state_ND.requires_grad or vector_ID.requires_grad
        grad_ND = torch.empty_like(state_ND) if needs_grad else None
        # On a CPU each thread takes its own stretch of positions.
        n_stretches = max(1, min(torch.get_num_threads(), -(-len(state_ND) // block)))
        stretches = torch.arange(len(state_ND)).tensor_split(n_stretches if state_ND.device.type == "cpu" else 1)
        parts = [slice(int(rows[0]), int(rows[-1]) + 1) for rows in stretches if len(rows)]

        def sweep(rows: slice) -> tuple[Tensor, Tensor | None]:
            out_ND = None if grad_ND is None else grad_ND[rows]
            return _sweep(state_ND[rows], vector_ID, target_N[rows], out_ND, block)

        done = side_by_side(sweep, parts)
        if grad_ND is not None:
            grad_ID = torch.stack([part_ID for _, part_ID in done if part_ID is not None]).sum(0)
            ctx.save_for_backward(grad_ND, grad_ID)
        total = sum((part for part, _ in done), start=state_ND.new_zeros((), dtype=torch.float64))
        return total.to(state_ND.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        grad_ND, grad_ID = ctx.saved_tensors
        return grad_ND * grads[0], grad_ID * grads[0], None, None


@torch.no_grad()
def _sweep(
    state_ND: Tensor, vector_ID: Tensor, target_N: Tensor, grad_ND: Tensor | None, block: int
) -> tuple[Tensor, Tensor | None]:
    """Sums the loss over positions; writes their gradient into `grad_ND` and returns that of the item vectors."""
    grad_ID = None if grad_ND is None else torch.zeros_like(vector_ID)
    total = state_ND.new_zeros((), dtype=torch.float64)
    buffer = state_ND.new_empty((min(block, len(state_ND)), len(vector_ID)))
    on_cpu = state_ND.device.type == "cpu"
    for start in range(0, len(state_ND), block):
        rows = slice(start, start + block)
        state_RD, target_R1 = state_ND[rows], target_N[rows, None]
        logit_RI = torch.mm(state_RD, vector_ID.T, out=buffer[: len(state_RD)])
        logit_R, top_R = logit_RI.gather(1, target_R1).squeeze(1), logit_RI.amax(dim=1)
        # In place, which torch's softmax on a CPU bears: it reads an element for the last time before it writes it.
        probability_RI = torch.softmax(logit_RI, dim=1, out=logit_RI if on_cpu else None)
        # log Σ exp, by the item whose probability cannot be zero: the first.
        mass_R = top_R - probability_RI.amax(dim=1).log()
        total += (mass_R - logit_R).sum()
        if grad_ND is None or grad_ID is None:
            continue
        # d loss / d logit = softmax - one hot
        probability_RI.scatter_add_(1, target_R1, probability_RI.new_full((), -1.0).expand_as(target_R1))
        torch.mm(probability_RI, vector_ID, out=grad_ND[rows])
        grad_ID.addmm_(probability_RI.T, state_RD)
    return total, grad_ID


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

    def __call__(self, state_ND: Tensor, vector_ID: Tensor, target_N: Tensor) -> Tensor:
        """Returns the summed loss, a scalar; see `NextItemLoss`."""
        state_ND = state_ND.to(vector_ID.dtype)
        loss: Tensor = _BlockedSoftmax.apply(state_ND, vector_ID, target_N, self.block)  # type: ignore[no-untyped-call]
        if self.label_smoothing:
            ahead_ND = functional.embedding(target_N, vector_ID) - vector_ID.mean(0)
            loss = loss + self.label_smoothing * (state_ND * ahead_ND).sum()
        return loss
