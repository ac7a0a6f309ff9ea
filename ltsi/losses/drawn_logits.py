"""Logits of items that each position has drawn for itself, without a copy of their vectors.

Shape suffixes: N positions, k items of a position, M = N · k, E width of what is compared, U vectors.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ltsi.losses.negatives import Negatives
from ltsi.losses.next_item import Catalogue, own_logits


def drawn_logits(
    negatives: Negatives, state_NE: Tensor, catalogue: Catalogue, target_N: Tensor
) -> tuple[Tensor, Tensor]:
    """Draws items for each position and compares its state with its target and with them.

    What is held is k numbers a position; their vectors, N · k · E numbers, never are.

    Args:
        negatives: draws k items for each position; see `Negatives.of_each`.
        state_NE: states, brought to the precision of the vectors.
        catalogue: what they are compared with.
        target_N: int64.

    Returns:
        Logits of the targets, `(N,)`, and of the drawn items, `(N, k)`.
    """
    drawn_Nk = negatives.of_each(catalogue, target_N)
    vector_UE, place = catalogue.look_up(torch.cat([target_N[:, None], drawn_Nk], dim=1))
    state_NE = state_NE.to(vector_UE.dtype)
    own_N = own_logits(state_NE, vector_UE, place[:, 0])
    if not drawn_Nk.numel():
        return own_N, state_NE.new_zeros(drawn_Nk.shape)
    logit_Nk: Tensor = _Products.apply(state_NE, vector_UE, place[:, 1:])  # type: ignore[no-untyped-call]
    return own_N, logit_Nk


class _Products(torch.autograd.Function):
    """The product of each state with some of the vectors, as sums over bags, which torch makes without copies."""

    @staticmethod
    def forward(ctx: Any, state_NE: Tensor, vector_UE: Tensor, place_Nk: Tensor) -> Tensor:
        ctx.save_for_backward(state_NE, vector_UE, place_Nk)
        with torch.enable_grad():
            # The gradient of ⟨state, Σ_j w_j vector_j⟩ by w_j is the product with vector j.
            weight_Nk = state_NE.new_zeros(place_Nk.shape, requires_grad=True)
            bag_NE = _bags(place_Nk, vector_UE.detach(), weight_Nk)
            (product_Nk,) = torch.autograd.grad(bag_NE, weight_Nk, state_NE.detach())
        return product_Nk

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        state_NE, vector_UE, place_Nk = ctx.saved_tensors
        (grad_Nk,) = grads
        grad_NE = _bags(place_Nk, vector_UE, grad_Nk.contiguous())
        # The same sum, by vector in place of position.
        place_M, order_M = place_Nk.flatten().sort()
        start_U = torch.searchsorted(place_M, torch.arange(len(vector_UE), device=place_M.device))
        grad_UE = functional.embedding_bag(
            order_M // place_Nk.shape[1],
            state_NE,
            start_U,
            per_sample_weights=grad_Nk.flatten()[order_M],
            mode="sum",
        )
        return grad_NE, grad_UE, None


def _bags(place_Nk: Tensor, vector_UE: Tensor, weight_Nk: Tensor) -> Tensor:
    return functional.embedding_bag(place_Nk, vector_UE, per_sample_weights=weight_Nk, mode="sum")
