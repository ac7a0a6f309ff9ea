"""Losses over a matrix of logits that is never held whole: blocks of positions, each made once and dropped.

Shape suffixes: N positions, R positions of one block, E width of what is compared, U vectors, C columns: U, and one
more where positions have a logit of their own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from ltsi.products import wide_products
from ltsi.side_by_side import side_by_side

GRADIENTS = 2**28
"""Numbers in the gradients of the vectors, one of each thread, that are held at a time: 1 GB of float32."""

LOGITS_OTHER_DEVICE = 2**24
"""Logits held at a time where they need not stay in a CPU's cache: few large products instead of many small ones."""


class BlockLoss(ABC):
    """A loss of positions by their logits."""

    @abstractmethod
    def __call__(self, logit_RC: Tensor, rows: slice) -> tuple[Tensor, Tensor | None]:
        """Sums the loss of a block, and turns its logits into the gradient, in place.

        Args:
            logit_RC: logits of the vectors; in the last column those of the positions' own, where they have one.
            rows: where the block lies among the positions.

        Returns:
            The loss, a scalar, and what the gradient of each position is still to be multiplied with, `(R,)`, if it is:
            the states are much smaller than the logits, so it is cheaper there.
        """


def blocked_loss(loss: BlockLoss, state_NE: Tensor, vector_UE: Tensor, own_N: Tensor | None, block: int) -> Tensor:
    """Sums a loss over positions.

    Args:
        loss: computes loss and gradient of a block.
        state_NE: states.
        vector_UE: what each of them is compared with.
        own_N: a further logit for each position; None: there is none.
        block: positions whose logits are held at a time, by each thread; more where vectors are not on a CPU.

    Returns:
        The loss, a scalar.
    """
    if state_NE.device.type != "cpu":
        block = max(block, LOGITS_OTHER_DEVICE // max(1, len(vector_UE)))
    total: Tensor = _Blocked.apply(loss, state_NE, vector_UE, own_N, block)  # type: ignore[no-untyped-call]
    return total


class _Blocked(torch.autograd.Function):
    """Computes loss and gradients together."""

    @staticmethod
    def forward(
        ctx: Any, loss: BlockLoss, state_NE: Tensor, vector_UE: Tensor, own_N: Tensor | None, block: int
    ) -> Tensor:
        needs_grad = any(ctx.needs_input_grad)
        grad_NE = torch.empty_like(state_NE) if needs_grad else None
        grad_N = None if own_N is None else torch.empty_like(own_N)
        # On a CPU each thread takes its own stretch of positions, and adds up a gradient of all vectors.
        # Where there is no room for all of these, all threads share one.
        threads = torch.get_num_threads()
        room = GRADIENTS // max(1, vector_UE.numel()) >= threads
        n_stretches = max(1, min(threads, -(-len(state_NE) // block))) if room else 1
        stretches = torch.arange(len(state_NE)).tensor_split(n_stretches if state_NE.device.type == "cpu" else 1)
        parts = [slice(int(rows[0]), int(rows[-1]) + 1) for rows in stretches if len(rows)]

        def sweep(stretch: slice) -> tuple[Tensor, Tensor | None]:
            return _sweep(loss, state_NE, vector_UE, own_N, (grad_NE, grad_N), stretch, block)

        with wide_products(state_NE.device):
            done = side_by_side(sweep, parts)
        if grad_NE is not None:
            parts_UE = [part_UE for _, part_UE in done if part_UE is not None] or [torch.zeros_like(vector_UE)]
            for part_UE in parts_UE[1:]:
                parts_UE[0] += part_UE
            ctx.save_for_backward(grad_NE, parts_UE[0], grad_N)
        total = sum((part for part, _ in done), start=state_NE.new_zeros((), dtype=torch.float64))
        return total.to(state_NE.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad_NE, grad_UE, grad_N = ctx.saved_tensors
        return None, grad_NE * grads[0], grad_UE * grads[0], None if grad_N is None else grad_N * grads[0], None


@torch.no_grad()
def _sweep(
    loss: BlockLoss,
    state_NE: Tensor,
    vector_UE: Tensor,
    own_N: Tensor | None,
    gradients: tuple[Tensor | None, Tensor | None],
    stretch: slice,
    block: int,
) -> tuple[Tensor, Tensor | None]:
    """Sums the loss over a stretch; writes the gradients of its positions and returns that of the vectors."""
    grad_NE, grad_N = gradients
    grad_UE = None if grad_NE is None else torch.zeros_like(vector_UE)
    total = state_NE.new_zeros((), dtype=torch.float64)
    n_vectors, n_rows = len(vector_UE), stretch.stop - stretch.start
    n_columns = n_vectors + (own_N is not None)
    buffer = state_NE.new_empty(min(block, n_rows) * n_columns)
    for start in range(stretch.start, stretch.stop, block):
        rows = slice(start, min(start + block, stretch.stop))
        state_RE = state_NE[rows]
        # A column lies together in memory: two of the three products are faster so.
        logit_RC = buffer[: len(state_RE) * n_columns].view(n_columns, len(state_RE)).T
        torch.mm(state_RE, vector_UE.T, out=logit_RC[:, :n_vectors])
        if own_N is not None:
            logit_RC[:, n_vectors] = own_N[rows]
        of_block, scale_R = loss(logit_RC, rows)
        total += of_block
        if grad_NE is None or grad_UE is None:
            continue
        grad_RU, grad_RE = logit_RC[:, :n_vectors], grad_NE[rows]
        torch.mm(grad_RU, vector_UE, out=grad_RE)
        if grad_N is not None:
            grad_N[rows] = logit_RC[:, n_vectors]
        if scale_R is not None:
            state_RE = state_RE * scale_R[:, None]
            grad_RE *= scale_R[:, None]
            if grad_N is not None:
                grad_N[rows] *= scale_R
        grad_UE.addmm_(grad_RU.T, state_RE)
    return total, grad_UE
