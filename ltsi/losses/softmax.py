"""Full softmax cross-entropy that never holds the whole logit matrix.

Shape suffixes: N positions, R positions of one block, D width, I items.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _BlockedSoftmax(torch.autograd.Function):
    """Computes loss and gradients together, block by block, so that each block of logits is made once and dropped."""

    @staticmethod
    def forward(ctx: Any, state_ND: Tensor, vector_ID: Tensor, target_N: Tensor, block: int) -> Tensor:
        needs_grad = state_ND.requires_grad or vector_ID.requires_grad
        grad_ND = torch.empty_like(state_ND) if needs_grad else None
        grad_ID = torch.zeros_like(vector_ID) if needs_grad else None
        total = state_ND.new_zeros((), dtype=torch.float64)
        buffer = state_ND.new_empty((min(block, len(state_ND)), len(vector_ID)))
        for state_RD, target_R1, out_RD in zip(
            state_ND.split(block),
            target_N[:, None].split(block),
            grad_ND.split(block) if grad_ND is not None else [None] * len(state_ND),
            strict=False,
        ):
            logit_RI = torch.mm(state_RD, vector_ID.T, out=buffer[: len(state_RD)])
            logit_R1 = logit_RI.gather(1, target_R1)
            top_R1 = logit_RI.amax(dim=1, keepdim=True)
            weight_RI = logit_RI.sub_(top_R1).exp_()
            mass_R1 = weight_RI.sum(dim=1, keepdim=True)
            total += (mass_R1.log() + top_R1 - logit_R1).sum()
            if out_RD is None or grad_ID is None:
                continue
            # d loss / d logit = softmax - one hot. The softmax's division is done on the narrow side: (w / mass) V.
            weight_RI.scatter_add_(1, target_R1, -mass_R1)
            torch.mm(weight_RI, vector_ID, out=out_RD)
            out_RD.div_(mass_R1)
            grad_ID.addmm_(weight_RI.T, state_RD / mass_R1)
        if grad_ND is not None and grad_ID is not None:
            ctx.save_for_backward(grad_ND, grad_ID)
        return total.to(state_ND.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        grad_ND, grad_ID = ctx.saved_tensors
        return grad_ND * grads[0], grad_ID * grads[0], None, None


class Softmax:
    """Cross-entropy over the whole catalogue, `-log softmax(V s)[target]`, summed over positions.

    Computed in the precision of the item vectors: mixed precision hands over states of half precision.

    Args:
        block: positions whose logits are held at a time.
    """

    def __init__(self, block: int = 128) -> None:
        if block < 1:
            raise ValueError(f"block={block} must be at least 1")
        self.block = block

    def __call__(self, state_ND: Tensor, vector_ID: Tensor, target_N: Tensor) -> Tensor:
        """Returns the summed loss, a scalar; see `NextItemLoss`."""
        state_ND = state_ND.to(vector_ID.dtype)
        loss: Tensor = _BlockedSoftmax.apply(state_ND, vector_ID, target_N, self.block)  # type: ignore[no-untyped-call]
        return loss
