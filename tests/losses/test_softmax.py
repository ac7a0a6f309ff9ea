"""The blocked softmax against torch's own cross-entropy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from ltsi.losses.blocks import BlockLoss, blocked_loss
from ltsi.losses.next_item import Catalogue
from ltsi.losses.softmax import Softmax

MakeCatalogue = Callable[..., Catalogue]
MakeLargest = Callable[[], Any]

SHAPE = (37, 5, 23)  # positions, width, items


def case(n: int, dim: int, items: int, dtype: torch.dtype = torch.float64, scale: float = 1.0) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(n * items)
    state_ND = torch.randn(n, dim, dtype=dtype, generator=generator) * scale
    vector_ID = torch.randn(items, dim, dtype=dtype, generator=generator) * scale
    target_N = torch.randint(items, (n,), generator=generator)
    return state_ND.requires_grad_(), vector_ID.requires_grad_(), target_N


def reference(state_ND: Tensor, vector_ID: Tensor, target_N: Tensor, smoothing: float = 0.0) -> Tensor:
    logit_NI = state_ND @ vector_ID.T
    return functional.cross_entropy(logit_NI, target_N, reduction="sum", label_smoothing=smoothing)


def gradients(loss: Tensor, *of: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss, of)


@pytest.mark.parametrize("block", [1, 7, 37, 128])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-4)])
def test_value_and_both_gradients_are_those_of_cross_entropy(
    catalogue: MakeCatalogue, block: int, dtype: torch.dtype, tolerance: float
) -> None:
    state_ND, vector_ID, target_N = case(*SHAPE, dtype)
    ours, theirs = Softmax(block)(state_ND, catalogue(vector_ID), target_N), reference(state_ND, vector_ID, target_N)
    assert ours.dtype == dtype
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)
    for mine, other in zip(gradients(ours, state_ND, vector_ID), gradients(theirs, state_ND, vector_ID), strict=True):
        torch.testing.assert_close(mine, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("room", [1, 2 * 23 * 5, 2**28])
def test_where_there_is_no_room_for_a_gradient_a_thread_all_share_one(
    catalogue: MakeCatalogue, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    stretches = []

    def one_by_one(task: Callable[[slice], Any], parts: list[slice]) -> list[Any]:
        stretches.append(len(parts))
        return [task(part) for part in parts]

    monkeypatch.setattr("ltsi.losses.blocks.GRADIENTS", room)
    monkeypatch.setattr("ltsi.losses.blocks.side_by_side", one_by_one)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 5)
    state_ND, vector_ID, target_N = case(*SHAPE)
    ours, theirs = Softmax(4)(state_ND, catalogue(vector_ID), target_N), reference(state_ND, vector_ID, target_N)
    assert stretches == [5 if room == 2**28 else 1]
    for mine, other in zip(gradients(ours, state_ND, vector_ID), gradients(theirs, state_ND, vector_ID), strict=True):
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize(("items", "blocks"), [(23, [50]), (2**24 // 20, [20, 20, 10]), (2**24, [4] * 12 + [2])])
def test_off_a_cpu_blocks_are_as_large_as_there_is_room_and_no_smaller_than_asked(
    items: int, blocks: list[int]
) -> None:
    """A device without memory computes shapes alone."""
    rows_of: list[int] = []

    class Spy(BlockLoss):
        def __call__(self, logit_RC: Tensor, rows: slice) -> tuple[Tensor, Tensor | None]:
            rows_of.append(len(logit_RC))
            return logit_RC.sum(), None

    state_NE = torch.empty(50, 2, device="meta", requires_grad=True)
    loss = blocked_loss(Spy(), state_NE, torch.empty(items, 2, device="meta"), None, block=4)
    loss.backward()
    assert rows_of == blocks
    assert state_NE.grad is not None
    assert state_NE.grad.shape == (50, 2)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 20), dim=st.integers(1, 6), items=st.integers(1, 20), block=st.integers(1, 25))
def test_any_shape_and_block(catalogue: MakeCatalogue, n: int, dim: int, items: int, block: int) -> None:
    state_ND, vector_ID, target_N = case(n, dim, items)
    ours, theirs = Softmax(block)(state_ND, catalogue(vector_ID), target_N), reference(state_ND, vector_ID, target_N)
    torch.testing.assert_close(ours, theirs)
    for mine, other in zip(gradients(ours, state_ND, vector_ID), gradients(theirs, state_ND, vector_ID), strict=True):
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("items", [1, 23])
def test_label_smoothing_is_that_of_torch(catalogue: MakeCatalogue, smoothing: float, items: int) -> None:
    state_ND, vector_ID, target_N = case(37, 5, items)
    ours = Softmax(8, smoothing)(state_ND, catalogue(vector_ID), target_N)
    theirs = reference(state_ND, vector_ID, target_N, smoothing)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    for mine, other in zip(gradients(ours, state_ND, vector_ID), gradients(theirs, state_ND, vector_ID), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("smoothing", [-0.1, 1.1, float("nan")])
def test_label_smoothing_is_a_probability(smoothing: float) -> None:
    with pytest.raises(ValueError, match=r"label_smoothing=.* must be from 0 to 1"):
        Softmax(8, smoothing)


def test_gradients_are_those_of_finite_differences(catalogue: MakeCatalogue) -> None:
    state_ND, vector_ID, target_N = case(6, 3, 5)
    assert torch.autograd.gradcheck(lambda s, v: Softmax(4)(s, catalogue(v), target_N), (state_ND, vector_ID))


@pytest.mark.parametrize("scale", [0.01, 2.0, 3.0, 4.0, 60.0])
def test_logits_of_any_size_have_the_right_loss_and_gradients(catalogue: MakeCatalogue, scale: float) -> None:
    state_ND, vector_ID, target_N = case(*SHAPE, torch.float32, scale)
    exact_ND, exact_ID = (each.detach().double().requires_grad_() for each in (state_ND, vector_ID))
    ours, theirs = Softmax(8)(state_ND, catalogue(vector_ID), target_N), reference(exact_ND, exact_ID, target_N)
    torch.testing.assert_close(ours.double(), theirs, rtol=1e-5, atol=1e-5)
    rtol, atol = 1e-4 * max(1.0, scale), 1e-4 * scale
    for mine, other in zip(gradients(ours, state_ND, vector_ID), gradients(theirs, exact_ND, exact_ID), strict=True):
        torch.testing.assert_close(mine.double(), other, rtol=rtol, atol=atol)


@pytest.mark.parametrize("height", [-2000.0, -100.0, -42.0, -40.0, 40.0, 42.0, 100.0, 2000.0])
def test_only_the_differences_of_logits_count(catalogue: MakeCatalogue, height: float) -> None:
    state_ND, target_N = torch.tensor([[1.0, 1.0]]).requires_grad_(), torch.tensor([1])
    loss = Softmax(8)(state_ND, catalogue(torch.tensor([[height, 0.0], [height, 1.0], [height, 2.0]])), target_N)
    # The logits themselves are only known to the last bit.
    rounded = 2e-7 * abs(height)
    torch.testing.assert_close(loss, torch.tensor([0.0, 1.0, 2.0]).logsumexp(0) - 1, rtol=0, atol=rounded)
    (grad_ND,) = gradients(loss, state_ND)
    torch.testing.assert_close(
        grad_ND[0, 1], torch.tensor([0.0, 1.0, 2.0]).softmax(0) @ torch.arange(3.0) - 1, rtol=0, atol=rounded
    )


def test_a_scaled_loss_scales_its_gradients(catalogue: MakeCatalogue) -> None:
    state_ND, vector_ID, target_N = case(*SHAPE)
    once = gradients(Softmax(8)(state_ND, catalogue(vector_ID), target_N), state_ND, vector_ID)
    scaled = gradients(Softmax(8)(state_ND, catalogue(vector_ID), target_N) * -0.25, state_ND, vector_ID)
    for one, other in zip(once, scaled, strict=True):
        torch.testing.assert_close(other, one * -0.25)


def test_two_backward_passes_add_up(catalogue: MakeCatalogue) -> None:
    state_ND, vector_ID, target_N = case(*SHAPE)
    loss = Softmax(8)(state_ND, catalogue(vector_ID), target_N)
    loss.backward(retain_graph=True)
    once = state_ND.grad.clone() if state_ND.grad is not None else None
    loss.backward()
    assert once is not None
    assert state_ND.grad is not None
    torch.testing.assert_close(state_ND.grad, 2 * once)


def test_only_what_needs_a_gradient_gets_one(catalogue: MakeCatalogue) -> None:
    state_ND, vector_ID, target_N = case(*SHAPE)
    Softmax(8)(state_ND, catalogue(vector_ID.detach()), target_N).backward()
    expected = gradients(reference(state_ND, vector_ID, target_N), state_ND)[0]
    assert state_ND.grad is not None
    torch.testing.assert_close(state_ND.grad, expected)
    assert vector_ID.grad is None


def test_without_gradients_there_is_only_a_value(catalogue: MakeCatalogue) -> None:
    state_ND, vector_ID, target_N = case(*SHAPE)
    with torch.no_grad():
        loss = Softmax(8)(state_ND, catalogue(vector_ID), target_N)
    assert not loss.requires_grad
    torch.testing.assert_close(loss, reference(state_ND, vector_ID, target_N).detach())


def test_inputs_are_left_as_they_were(catalogue: MakeCatalogue) -> None:
    state_ND, vector_ID, target_N = case(*SHAPE)
    before = state_ND.detach().clone(), vector_ID.detach().clone()
    Softmax(8)(state_ND, catalogue(vector_ID), target_N).backward()
    torch.testing.assert_close((state_ND.detach(), vector_ID.detach()), before, rtol=0, atol=0)


def test_the_whole_matrix_of_logits_is_never_held(
    catalogue: MakeCatalogue, largest_tensor: MakeLargest, request: pytest.FixtureRequest
) -> None:
    n, dim, items, block = 1_000, 4, 500, 16
    state_ND, vector_ID, target_N = case(n, dim, items, torch.float32)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the measurement sees one thread only
    request.addfinalizer(lambda: torch.set_num_threads(threads))
    with largest_tensor() as largest:
        Softmax(block, label_smoothing=0.1)(state_ND, catalogue(vector_ID), target_N).backward()
    assert largest.elements <= max(block * items, n * dim, items * dim)
    with largest_tensor() as largest:
        reference(state_ND, vector_ID, target_N).backward()
    assert largest.elements >= n * items  # the measurement can tell


@pytest.mark.parametrize("block", [0, -1])
def test_a_block_holds_a_position_at_least(block: int) -> None:
    with pytest.raises(ValueError, match=f"block={block} must be at least 1"):
        Softmax(block)


def test_half_precision_states_under_autocast(catalogue: MakeCatalogue) -> None:
    state_ND, vector_ID, target_N = case(*SHAPE, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        low_ND = state_ND.to(torch.bfloat16)
        loss = Softmax(8)(low_ND, catalogue(vector_ID), target_N)
    gradient_ND, gradient_ID = gradients(loss, state_ND, vector_ID)
    torch.testing.assert_close(loss.float(), reference(state_ND, vector_ID, target_N), rtol=0.02, atol=0)
    expected_ND, expected_ID = gradients(reference(state_ND, vector_ID, target_N), state_ND, vector_ID)
    torch.testing.assert_close(gradient_ND, expected_ND, rtol=0.1, atol=0.1)
    torch.testing.assert_close(gradient_ID, expected_ID, rtol=0.1, atol=0.2)
