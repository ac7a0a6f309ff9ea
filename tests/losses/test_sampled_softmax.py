"""Sampled softmax against the full one, which it estimates."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from ltsi.losses.negatives import Negatives
from ltsi.losses.next_item import Catalogue
from ltsi.losses.sampled_softmax import SampledSoftmax

MakeCatalogue = Callable[..., Catalogue]
powers = pytest.mark.parametrize("power", [0.0, 0.5, 1.0])


def problem(n: int = 6, items: int = 40, dim: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    state_ND = torch.randn(n, dim, generator=generator).requires_grad_()
    vector_ID = torch.randn(items, dim, generator=generator).requires_grad_()
    return state_ND, vector_ID, torch.randint(items, (n,), generator=generator)


def counts(items: int) -> Tensor:
    return torch.arange(1.0, items + 1) ** 1.5


@powers
def test_many_draws_give_the_full_softmax_and_its_gradients(catalogue: MakeCatalogue, power: float) -> None:
    torch.manual_seed(1)
    state_ND, vector_ID, target_N = problem()
    full = functional.cross_entropy(state_ND @ vector_ID.T, target_N, reduction="sum")
    sampled = SampledSoftmax(400_000, power)(state_ND, catalogue(vector_ID, counts(40)), target_N)
    torch.testing.assert_close(sampled, full, rtol=5e-3, atol=0)
    for one, other in zip(
        torch.autograd.grad(sampled, (state_ND, vector_ID)),
        torch.autograd.grad(full, (state_ND, vector_ID)),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=0.06)


@powers
def test_the_estimated_sum_is_right_on_average(catalogue: MakeCatalogue, power: float) -> None:
    """exp(loss) − 1 is the sum over the others, relative to the target: its mean over draws is the true one."""
    torch.manual_seed(2)
    state_ND, vector_ID, target_N = problem(n=1, items=12)
    loss, shop = SampledSoftmax(40, power), catalogue(vector_ID, counts(12))
    with torch.no_grad():
        logit_I = (state_ND @ vector_ID.T)[0]
        truth = float((logit_I - logit_I[target_N]).exp().sum()) - 1
        draws = torch.stack([loss(state_ND, shop, target_N) for _ in range(600)]).expm1()
    standard_error = float(draws.std()) / 600**0.5
    assert abs(float(draws.mean()) - truth) < 4 * standard_error
    assert standard_error < 0.08 * truth


@powers
@pytest.mark.parametrize("negatives", [5, 300])
def test_value_and_gradients_are_those_of_the_formula(
    catalogue: MakeCatalogue, power: float, negatives: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Draw by draw, over blocks of one position and more."""
    monkeypatch.setattr("ltsi.losses.negatives.BLOCK_LOGITS", 64)
    state_ND, vector_ID, target_N = (x.detach() if x.dtype == torch.int64 else x.double() for x in problem(n=9))
    state_ND, vector_ID = (x.detach().requires_grad_() for x in (state_ND, vector_ID))
    shop = catalogue(vector_ID, counts(40))
    torch.manual_seed(3)
    ours = SampledSoftmax(negatives, power)(state_ND, shop, target_N)
    torch.manual_seed(3)
    draw = Negatives(negatives, power).shared(shop, target_N)
    drawn_S = draw.item_U.repeat_interleave(draw.count_U).tolist()
    q_I = counts(40).double() ** power / (counts(40).double() ** power).sum()
    expected = []
    for state_D, target in zip(state_ND, target_N.tolist(), strict=True):
        others = [j for j in drawn_S if j != target]
        sums = [(state_D @ vector_ID[j]).exp() / q_I[j] for j in others]
        own = (state_D @ vector_ID[target]).exp()
        others_sum = (1 - q_I[target]) / len(others) * torch.stack(sums).sum()
        expected.append((own + others_sum).log() - own.log())
    theirs = torch.stack(expected).sum()
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=0)
    for one, other in zip(
        torch.autograd.grad(ours, (state_ND, vector_ID)),
        torch.autograd.grad(theirs, (state_ND, vector_ID)),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@powers
def test_a_draw_that_is_the_target_does_not_count_against_it(catalogue: MakeCatalogue, power: float) -> None:
    """With two items every draw is the target or the only other one."""
    torch.manual_seed(3)
    state_ND, vector_ID, target_N = problem(items=2)
    full = functional.cross_entropy(state_ND @ vector_ID.T, target_N, reduction="sum")
    torch.testing.assert_close(SampledSoftmax(64, power)(state_ND, catalogue(vector_ID, counts(2)), target_N), full)


def test_one_draw_speaks_for_all_the_others(catalogue: MakeCatalogue) -> None:
    """All logits are 0 and any of four items is the target: one target is drawn, the others meet one item for three."""
    vector_ID = torch.ones(4, 2)
    loss = SampledSoftmax(1)(torch.zeros(4, 2), catalogue(vector_ID), torch.arange(4))
    torch.testing.assert_close(loss, 3 * torch.tensor(1.0 + 3.0).log())


def test_gradients_grow_with_what_the_loss_is_multiplied_by(catalogue: MakeCatalogue) -> None:
    state_ND, vector_ID, target_N = problem()
    found = []
    for factor in (1, 3):
        torch.manual_seed(5)
        loss = factor * SampledSoftmax(16)(state_ND, catalogue(vector_ID), target_N)
        found.append(torch.autograd.grad(loss, (state_ND, vector_ID)))
    for once, thrice in zip(*found, strict=True):
        torch.testing.assert_close(thrice, 3 * once)


@powers
def test_a_catalogue_of_one_has_nothing_to_learn(catalogue: MakeCatalogue, power: float) -> None:
    state_ND, vector_ID, target_N = problem(items=1)
    loss = SampledSoftmax(8, power)(state_ND, catalogue(vector_ID), target_N)
    loss.backward()
    assert loss.item() == 0
    assert state_ND.grad is not None
    assert state_ND.grad.eq(0).all()


def test_states_of_half_precision_are_compared_in_that_of_the_vectors(catalogue: MakeCatalogue) -> None:
    state_ND, vector_ID, target_N = problem()
    found = []
    for state in (state_ND.bfloat16(), state_ND.bfloat16().float()):
        torch.manual_seed(4)
        with torch.autocast("cpu", torch.bfloat16):
            found.append(SampledSoftmax(16)(state, catalogue(vector_ID), target_N))
    assert found[0].dtype == torch.float32
    assert torch.equal(*found)
