"""Encoding the groups of a batch side by side on the cores of a CPU, forward and backward.

Shape suffixes: B histories, L positions, D width, N real positions of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ltsi.histories import Histories
from ltsi.models.layers import drawing_from, sparse_gradients
from ltsi.side_by_side import side_by_side

Encode = Callable[[Histories], Tensor]


def encode(
    encoder: Encode, groups: Sequence[Histories], parameters: Sequence[Tensor], sparse: Sequence[Tensor] = ()
) -> Tensor:
    """Encodes the real positions of all groups.

    On a CPU each group is encoded on one thread, with random numbers of its own, so that the result does not depend on
    the number of threads.

    Args:
        encoder: turns histories into state_BLD.
        groups: histories of similar length each.
        parameters: what the encoder learns.
        sparse: tables among the parameters whose gradient stays sparse, if it is.

    Returns:
        state_ND, group after group, history after history.
    """

    def real_states(histories: Histories) -> Tensor:
        return encoder(histories)[histories.real_BL()]

    if groups[0].item_BL.device.type != "cpu":
        return torch.cat([real_states(histories) for histories in groups])
    state_ND: Tensor = _Encoding.apply(  # type: ignore[no-untyped-call]
        real_states, groups, {id(table) for table in sparse}, *parameters
    )
    return state_ND


class _Encoding(torch.autograd.Function):
    """Keeps one graph a group; the gradients are added up in the order of the groups."""

    @staticmethod
    def forward(
        ctx: Any, encoder: Encode, groups: Sequence[Histories], sparse: set[int], *parameters: Tensor
    ) -> Tensor:
        seeds = torch.randint(2**62, (len(groups),)).tolist()
        learning = any(ctx.needs_input_grad)

        def forward(part: tuple[Histories, int]) -> Tensor:
            histories, seed = part
            with drawing_from(seed), sparse_gradients():
                return encoder(histories)

        # Inside a function of its own, autograd records nothing unless it is told to.
        with torch.set_grad_enabled(learning):
            states = side_by_side(forward, list(zip(groups, seeds, strict=True)))
        ctx.parameters, ctx.sparse, ctx.states = parameters, sparse, states if learning else ()
        return torch.cat([state.detach() for state in states])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        learned = [parameter for parameter in ctx.parameters if parameter.requires_grad]

        def backward(part: tuple[Tensor, Tensor]) -> tuple[Tensor | None, ...]:
            return torch.autograd.grad(part[0], learned, part[1], allow_unused=True)

        parts = grads[0].split([len(state) for state in ctx.states])
        done = side_by_side(backward, list(zip(ctx.states, parts, strict=True)))
        columns = zip(learned, zip(*done, strict=True), strict=True)
        summed = iter([_sum(column, id(parameter) in ctx.sparse) for parameter, column in columns])
        of_parameters = [next(summed) if parameter.requires_grad else None for parameter in ctx.parameters]
        return None, None, None, *of_parameters


def _sum(gradients: Sequence[Tensor | None], sparse: bool) -> Tensor | None:
    """Adds gradients up in the first of them, which nobody else holds.

    Args:
        gradients: of one parameter.
        sparse: whether the sum of sparse gradients is sparse, too.
    """
    present = [gradient for gradient in gradients if gradient is not None]
    if not sparse and any(gradient.is_sparse for gradient in present):
        present.insert(0, torch.zeros(present[0].shape, dtype=present[0].dtype))
    for gradient in present[1:]:
        present[0] += gradient
    return present[0] if present else None
