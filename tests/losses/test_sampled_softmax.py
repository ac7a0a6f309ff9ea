"""Sampled softmax against the full one, which it estimates."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from ltsi.losses.sampled_softmax import SampledSoftmax


def problem(n: int = 6, items: int = 40, dim: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    state_ND = torch.randn(n, dim, generator=generator).requires_grad_()
    vector_ID = torch.randn(items, dim, generator=generator).requires_grad_()
    return state_ND, vector_ID, torch.randint(items, (n,), generator=generator)


def test_many_draws_give_the_full_softmax_and_its_gradients() -> None:
    torch.manual_seed(1)
    state_ND, vector_ID, target_N = problem()
    full = functional.cross_entropy(state_ND @ vector_ID.T, target_N, reduction="sum")
    sampled = SampledSoftmax(400_000)(state_ND, vector_ID, target_N)
    torch.testing.assert_close(sampled, full, rtol=5e-3, atol=0)
    for one, other in zip(
        torch.autograd.grad(sampled, (state_ND, vector_ID)),
        torch.autograd.grad(full, (state_ND, vector_ID)),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=0.02)


def test_the_estimated_sum_is_right_on_average() -> None:
    """exp(loss) − 1 is the sum over the others, relative to the target: its mean over draws is the true one."""
    torch.manual_seed(2)
    state_ND, vector_ID, target_N = problem(n=1)
    loss = SampledSoftmax(20)
    with torch.no_grad():
        logit_I = (state_ND @ vector_ID.T)[0]
        truth = float((logit_I - logit_I[target_N]).exp().sum()) - 1
        draws = torch.stack([loss(state_ND, vector_ID, target_N) for _ in range(20_000)]).expm1()
    standard_error = float(draws.std()) / 20_000**0.5
    assert abs(float(draws.mean()) - truth) < 4 * standard_error
    assert standard_error < 0.02 * truth


def test_a_draw_that_is_the_target_does_not_count_against_it() -> None:
    """With two items every draw is the target or the only other one."""
    torch.manual_seed(3)
    state_ND, vector_ID, target_N = problem(items=2)
    full = functional.cross_entropy(state_ND @ vector_ID.T, target_N, reduction="sum")
    torch.testing.assert_close(SampledSoftmax(64)(state_ND, vector_ID, target_N), full)


def test_a_catalogue_of_one_has_nothing_to_learn() -> None:
    state_ND, vector_ID, target_N = problem(items=1)
    loss = SampledSoftmax(8)(state_ND, vector_ID, target_N)
    loss.backward()
    assert loss.item() == 0
    assert state_ND.grad is not None
    assert state_ND.grad.eq(0).all()


def test_no_draws_are_refused() -> None:
    with pytest.raises(ValueError, match="negatives=0 must be at least 1"):
        SampledSoftmax(0)
