"""Linear recurrences over all positions at once, and attention with one query that runs along.

Shape suffixes: B histories, L positions, D width.
Sources: Blelloch 1990, "Prefix Sums and Their Applications", section 1.4 (recurrences by combining pairs); Martin &
Cundy 2018, "Parallelizing Linear Recurrent Neural Nets Over Sequence Length".
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def linear_scan(keep_BLD: Tensor, drive_BLD: Tensor) -> Tensor:
    """Computes `h_t = keep_t ∘ h_{t−1} + drive_t` from `h_0 = 0`.

    Two steps are one: `h_{t+1} = (keep_{t+1} keep_t) h_{t−1} + (keep_{t+1} drive_t + drive_{t+1})`. So each level of
    the recursion halves the length: about 2 L additions in all, in log₂ L operations one after another.

    Args:
        keep_BLD: real or complex, at most one in absolute value; whatever expands to the shape of the drive. With a
            length of one, all positions have the same.
        drive_BLD: what is added.

    Returns:
        `h`, `(B, L, D)`. A position owes nothing to later ones, not even rounding.
    """
    state_BLD: Tensor = _LinearScan.apply(keep_BLD, drive_BLD)  # type: ignore[no-untyped-call]
    return state_BLD


class _LinearScan(torch.autograd.Function):
    """Keeps the states alone for the gradient, which is a scan from the end."""

    @staticmethod
    def forward(ctx: Any, keep_BLD: Tensor, drive_BLD: Tensor) -> Tensor:
        state_BLD = _scan(keep_BLD, drive_BLD)
        ctx.save_for_backward(keep_BLD, state_BLD)
        return state_BLD

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor]:
        keep_BLD, state_BLD = ctx.saved_tensors
        # What a step adds is felt by all later states: G_t = grad_t + conj(keep_{t+1}) G_{t+1}.
        after_BLD = keep_BLD if keep_BLD.shape[1] == 1 else keep_BLD.roll(-1, dims=1)
        felt_BLD = _scan(after_BLD.flip(1).conj().resolve_conj(), grads[0].flip(1)).flip(1)
        if not ctx.needs_input_grad[0]:
            return None, felt_BLD
        before_BLD = functional.pad(state_BLD[:, :-1], (0, 0, 1, 0))
        return (felt_BLD * before_BLD.conj()).sum_to_size(keep_BLD.shape), felt_BLD


def _scan(keep_BLD: Tensor, drive_BLD: Tensor) -> Tensor:
    """Computes `linear_scan`."""
    length = drive_BLD.shape[1]
    if length == 1:
        return drive_BLD
    alike = keep_BLD.shape[1] == 1
    keep_even, keep_odd = (keep_BLD, keep_BLD) if alike else (keep_BLD[:, 0::2], keep_BLD[:, 1::2])
    even, odd = drive_BLD[:, 0::2], drive_BLD[:, 1::2]
    pairs = odd.shape[1]
    of_pairs = odd + keep_odd * even[:, :pairs]
    state_odd = _scan(keep_odd * (keep_even if alike else keep_even[:, :pairs]), of_pairs)
    before = state_odd[:, : even.shape[1] - 1]
    state_even = torch.cat([even[:, :1], even[:, 1:] + (keep_even if alike else keep_even[:, 1:]) * before], dim=1)
    if even.shape[1] > pairs:
        state_odd = torch.cat([state_odd, state_odd.new_zeros(len(state_odd), 1, *state_odd.shape[2:])], dim=1)
    return torch.stack([state_even, state_odd], dim=2).flatten(1, 2)[:, :length]


def running_attention(logit_BL: Tensor, value_BLD: Tensor) -> Tensor:
    """Computes `Σ_{s≤t} softmax_{s≤t}(logit)_s value_s` at each position t.

    A query that is the same at all positions gives each event one logit, wherever it is seen from. The sum then runs
    along: `h_t = (Z_{t−1} / Z_t) h_{t−1} + (exp(logit_t) / Z_t) value_t` with `Z` the running sum of `exp(logit)`.
    Memory grows with the length, where a matrix of weights would grow with its square.

    Args:
        logit_BL: how much each event is asked for.
        value_BLD: what is mixed.

    Returns:
        The mixed values, `(B, L, D)`.
    """
    # In single precision at least: half of it has no room for a sum over a long history.
    logit_BL = logit_BL.to(torch.promote_types(logit_BL.dtype, torch.float32))
    mass_BL = logit_BL.logcumsumexp(dim=1)
    keep_BL = functional.pad((mass_BL[:, :-1] - mass_BL[:, 1:]).exp(), (1, 0))
    return linear_scan(keep_BL[..., None], (logit_BL - mass_BL).exp()[..., None] * value_BLD)
