"""Additive attention from every position to those up to it, without a tensor of positions × positions × width.

Shape suffixes: B histories, L positions, R positions of one block, P positions up to the end of a block, H width.
Source: Bahdanau et al. 2015, "Neural Machine Translation by Jointly Learning to Align and Translate"; in the form that
NARM and STAMP took over: with σ, and weights that are not brought to a sum of one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

BLOCK = 2**20
"""Numbers held at a time: 4 MB."""


def additive_weights(query_BLH: Tensor, key_BLH: Tensor, weight_H: Tensor) -> Tensor:
    """Returns `w · σ(query_t + key_j)` at row t and column j ≤ t, and zero at later columns, `(B, L, L)`.

    σ does not come apart, so all L² / 2 pairs are computed, a block of them at a time, and again for the gradient.
    """
    weights_BLL: Tensor = _Additive.apply(query_BLH, key_BLH, weight_H.to(query_BLH.dtype))  # type: ignore[no-untyped-call]
    return weights_BLL


class _Additive(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query_BLH: Tensor, key_BLH: Tensor, weight_H: Tensor) -> Tensor:
        ctx.save_for_backward(query_BLH, key_BLH, weight_H)
        batch, length, _ = query_BLH.shape
        weights_BLL = query_BLH.new_zeros(batch, length, length)
        for rows, columns in _blocks(query_BLH):
            weights_BLL[:, rows, columns] = (_pairs(query_BLH, key_BLH, rows, columns) * weight_H).sum(dim=3)
        return weights_BLL.tril_()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query_BLH, key_BLH, weight_H = ctx.saved_tensors
        grad_BLL = grads[0].tril()
        of_query_BLH, of_key_BLH = torch.empty_like(query_BLH), torch.zeros_like(key_BLH)
        of_weight_H = torch.zeros_like(weight_H)
        for rows, columns in _blocks(query_BLH):
            pair_BRPH, grad_BRP1 = _pairs(query_BLH, key_BLH, rows, columns), grad_BLL[:, rows, columns, None]
            of_weight_H += (grad_BRP1 * pair_BRPH).sum(dim=(0, 1, 2))
            # σ' = σ (1 − σ)
            slope_BRPH = (pair_BRPH - pair_BRPH.square()).mul_(grad_BRP1).mul_(weight_H)
            of_query_BLH[:, rows] = slope_BRPH.sum(dim=2)
            of_key_BLH[:, columns] += slope_BRPH.sum(dim=1)
        return of_query_BLH, of_key_BLH, of_weight_H


def _blocks(query_BLH: Tensor) -> Iterator[tuple[slice, slice]]:
    """Yields the positions of each block, and those up to its end."""
    batch, length, width = query_BLH.shape
    size = max(1, BLOCK // max(batch * length * width, 1))
    for start in range(0, length, size):
        end = min(start + size, length)
        yield slice(start, end), slice(end)


def _pairs(query_BLH: Tensor, key_BLH: Tensor, rows: slice, columns: slice) -> Tensor:
    """Returns `σ(query_t + key_j)` of a block, `(B, R, P, H)`."""
    return (query_BLH[:, rows, None] + key_BLH[:, None, columns]).sigmoid_()
