"""Full softmax cross-entropy that never holds the whole logit matrix.

Shape suffixes: N positions, R positions of one block, D width, I items.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import torch
from torch import Tensor


class _BlockedSoftmax(torch.autograd.Function):
    """Computes loss and gradients together, block by block, so that each block of logits is made once and dropped."""

    @staticmethod
    def forward(ctx: Any, state_ND: Tensor, vector_ID: Tensor, target_N: Tensor, block: int, threads: int) -> Tensor:
        needs_grad = state_ND.requires_grad or vector_ID.requires_grad
        grad_ND = torch.empty_like(state_ND) if needs_grad else None
        workers = min(threads, -(-len(state_ND) // block)) if state_ND.device.type == "cpu" else 1
        # Each worker takes its own stretch of positions on one thread: two threads that meet once a batch, and not at
        # every operation, lose nothing where another process takes a core from one of them.
        stretches = torch.arange(len(state_ND)).tensor_split(max(workers, 1))
        parts = [slice(int(rows[0]), int(rows[-1]) + 1) for rows in stretches if len(rows)]

        def sweep(rows: slice) -> tuple[Tensor, Tensor | None]:
            out_ND = None if grad_ND is None else grad_ND[rows]
            return _sweep(state_ND[rows], vector_ID, target_N[rows], out_ND, block)

        done = list(_pool(workers).map(sweep, parts)) if workers > 1 else [sweep(rows) for rows in parts]
        if grad_ND is not None:
            grad_ID = torch.stack([part_ID for _, part_ID in done if part_ID is not None]).sum(0)
            ctx.save_for_backward(grad_ND, grad_ID)
        total = sum((part for part, _ in done), start=state_ND.new_zeros((), dtype=torch.float64))
        return total.to(state_ND.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        grad_ND, grad_ID = ctx.saved_tensors
        return grad_ND * grads[0], grad_ID * grads[0], None, None, None


@torch.no_grad()
def _sweep(
    state_ND: Tensor, vector_ID: Tensor, target_N: Tensor, grad_ND: Tensor | None, block: int
) -> tuple[Tensor, Tensor | None]:
    """Sums the loss over positions; writes their gradient into `grad_ND` and returns that of the item vectors."""
    grad_ID = None if grad_ND is None else torch.zeros_like(vector_ID)
    total = state_ND.new_zeros((), dtype=torch.float64)
    buffer = state_ND.new_empty((min(block, len(state_ND)), len(vector_ID)))
    for start in range(0, len(state_ND), block):
        rows = slice(start, start + block)
        state_RD, target_R1 = state_ND[rows], target_N[rows, None]
        logit_RI = torch.mm(state_RD, vector_ID.T, out=buffer[: len(state_RD)])
        logit_R1 = logit_RI.gather(1, target_R1)
        top_R1 = logit_RI.amax(dim=1, keepdim=True)
        weight_RI = logit_RI.sub_(top_R1).exp_()
        mass_R1 = weight_RI.sum(dim=1, keepdim=True)
        total += (mass_R1.log() + top_R1 - logit_R1).sum()
        if grad_ND is None or grad_ID is None:
            continue
        # d loss / d logit = softmax - one hot. The softmax's division is done on the narrow side: (w / mass) V.
        weight_RI.scatter_add_(1, target_R1, -mass_R1)
        torch.mm(weight_RI, vector_ID, out=grad_ND[rows])
        grad_ND[rows].div_(mass_R1)
        grad_ID.addmm_(weight_RI.T, state_RD / mass_R1)
    return total, grad_ID


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    """Returns threads that each compute alone; torch's number of threads is a setting of the calling thread."""
    return ThreadPoolExecutor(workers, "softmax", initializer=torch.set_num_threads, initargs=(1,))


class Softmax:
    """Cross-entropy over the whole catalogue, `-log softmax(V s)[target]`, summed over positions.

    Computed in the precision of the item vectors: mixed precision hands over states of half precision.

    Args:
        block: positions whose logits are held at a time, by each thread. A CPU uses as many threads as torch has when
            the loss is made.
    """

    def __init__(self, block: int = 128) -> None:
        if block < 1:
            raise ValueError(f"block={block} must be at least 1")
        self.block, self.threads = block, torch.get_num_threads()

    def __call__(self, state_ND: Tensor, vector_ID: Tensor, target_N: Tensor) -> Tensor:
        """Returns the summed loss, a scalar; see `NextItemLoss`."""
        state_ND = state_ND.to(vector_ID.dtype)
        loss: Tensor = _BlockedSoftmax.apply(  # type: ignore[no-untyped-call]
            state_ND, vector_ID, target_N, self.block, self.threads
        )
        return loss
