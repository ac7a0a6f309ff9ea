"""Recurrences over all positions at once are those that go step by step."""

import pytest
import torch
from torch import Tensor

from ltsi.models.scan import linear_scan, running_attention


def step_by_step(keep_BLD: Tensor, drive_BLD: Tensor) -> Tensor:
    keep_BLD = keep_BLD.expand_as(drive_BLD)
    state, states = torch.zeros_like(drive_BLD[:, 0]), []
    for step in range(drive_BLD.shape[1]):
        state = keep_BLD[:, step] * state + drive_BLD[:, step]
        states.append(state)
    return torch.stack(states, dim=1)


@pytest.mark.parametrize("length", [1, 2, 3, 4, 7, 65])
@pytest.mark.parametrize("kind", ["one for all", "one a position", "one a number", "complex"])
def test_a_scan_is_the_recurrence(length: int, kind: str) -> None:
    torch.manual_seed(length)
    shapes = {"one for all": (1, 1, 3), "one a position": (2, length, 1), "one a number": (2, length, 3)}
    dtype = torch.complex128 if kind == "complex" else torch.float64
    keep = (0.5 * torch.randn(shapes.get(kind, (1, 1, 3)), dtype=dtype)).requires_grad_()
    drive = torch.randn(2, length, 3, dtype=dtype, requires_grad=True)
    found, expected = linear_scan(keep, drive), step_by_step(keep, drive)
    torch.testing.assert_close(found, expected)
    weight = torch.randn(2, length, 3, dtype=dtype)
    gradients = [torch.autograd.grad((out * weight).abs().sum(), (keep, drive)) for out in (found, expected)]
    torch.testing.assert_close(*gradients)


def test_a_position_owes_nothing_to_later_ones_to_the_last_bit() -> None:
    torch.manual_seed(0)
    keep, drive, logit = torch.rand(2, 23, 1), torch.randn(2, 23, 5), torch.randn(2, 23)
    whole, attended = linear_scan(keep, drive), running_attention(logit, drive)
    for length in (1, 2, 9, 16, 22):
        assert torch.equal(linear_scan(keep[:, :length], drive[:, :length]), whole[:, :length])
        assert torch.equal(running_attention(logit[:, :length], drive[:, :length]), attended[:, :length])


def test_what_is_kept_for_the_gradient_grows_with_the_length_and_no_faster() -> None:
    def kept(length: int) -> int:
        total = 0

        def count(tensor: Tensor) -> Tensor:
            nonlocal total
            total += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            running_attention(torch.randn(1, length, requires_grad=True), torch.randn(1, length, 4, requires_grad=True))
        return total

    assert kept(2048) < 2.1 * kept(1024)


@pytest.mark.parametrize("size", [1.0, 300.0])
def test_attention_that_runs_along_is_a_softmax_over_the_past(size: float) -> None:
    """Also where logits are so far apart that their exponentials have no number."""
    torch.manual_seed(0)
    logit, value = size * torch.randn(2, 11), torch.randn(2, 11, 3)
    found = running_attention(logit, value)
    for last in range(11):
        weight = logit[:, : last + 1].softmax(dim=1)
        torch.testing.assert_close(found[:, last], (weight[..., None] * value[:, : last + 1]).sum(1))
