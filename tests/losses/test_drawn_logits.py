"""Products with drawn vectors, and the losses of positions that each draw for themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from ltsi.losses.bce import Bce
from ltsi.losses.bpr import Bpr
from ltsi.losses.drawn_logits import drawn_logits
from ltsi.losses.gbce import Gbce
from ltsi.losses.negatives import Negatives
from ltsi.losses.next_item import Catalogue, NextItemLoss

MakeCatalogue = Callable[..., Catalogue]
MakeLargest = Callable[[], Any]


def problem(n: int = 7, items: int = 60, dim: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    state_NE = torch.randn(n, dim, generator=generator, dtype=torch.float64).requires_grad_()
    vector_IE = torch.randn(items, dim, generator=generator, dtype=torch.float64).requires_grad_()
    return state_NE, vector_IE, torch.randint(items, (n,), generator=generator)


def assert_same(ours: Tensor, theirs: Tensor, *leaves: Tensor) -> None:
    """Hold a loss and its gradients against a reference."""
    torch.testing.assert_close(ours, theirs)
    for one, other in zip(torch.autograd.grad(ours, leaves), torch.autograd.grad(theirs, leaves), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("items", [6, 60])
@pytest.mark.parametrize("power", [0.0, 1.0])
def test_logits_are_products_and_gradients_reach_states_and_vectors(
    catalogue: MakeCatalogue, items: int, power: float
) -> None:
    state_NE, vector_IE, target_N = problem(items=items)
    negatives, shop = Negatives(3, power), catalogue(vector_IE, torch.arange(1.0, items + 1))
    torch.manual_seed(1)
    own_N, drawn_Nk = drawn_logits(negatives, state_NE, shop, target_N)
    torch.manual_seed(1)
    item_Nk = negatives.of_each(shop, target_N)
    all_NI = state_NE @ vector_IE.T
    weight_Nk = torch.randn(7, 3, dtype=torch.float64)
    ours = (drawn_Nk * weight_Nk).sum() + own_N.square().sum()
    theirs = (all_NI.gather(1, item_Nk) * weight_Nk).sum() + all_NI.gather(1, target_N[:, None]).square().sum()
    assert_same(ours, theirs, state_NE, vector_IE)


REFERENCES: dict[str, tuple[NextItemLoss, int, Callable[[Tensor, Tensor, int], Tensor]]] = {
    "bce": (Bce(3), 3, lambda own, drawn, _: -own.sigmoid().log() - (1 - drawn.sigmoid()).log().sum()),
    "bpr": (Bpr(3), 3, lambda own, drawn, _: -(own - drawn).sigmoid().log().sum()),
    "gbce": (
        Gbce(5, t=0.75),
        5,
        lambda own, drawn, items: (
            -((own.sigmoid() ** beta_of(5 / (items - 1), 0.75)).log() + (1 - drawn.sigmoid()).log().sum()) / 6
        ),
    ),
}


def beta_of(alpha: float, t: float) -> float:
    return alpha * (t * (1 - 1 / alpha) + 1 / alpha)


@pytest.mark.parametrize("name", list(REFERENCES))
@pytest.mark.parametrize("items", [8, 60])
def test_a_loss_is_its_formula(catalogue: MakeCatalogue, name: str, items: int) -> None:
    loss, k, reference = REFERENCES[name]
    state_NE, vector_IE, target_N = problem(items=items)
    shop = catalogue(vector_IE)
    torch.manual_seed(1)
    ours = loss(state_NE, shop, target_N)
    torch.manual_seed(1)
    item_Nk = Negatives(k).of_each(shop, target_N)
    rows = zip(state_NE, target_N, item_Nk, strict=True)
    theirs = torch.stack([reference(vector_IE[t] @ s, vector_IE[j] @ s, items) for s, t, j in rows]).sum()
    assert_same(ours, theirs, state_NE, vector_IE)


@pytest.mark.parametrize("loss", [Bce(), Gbce(), Bpr()])
def test_a_catalogue_of_one_draws_nothing(catalogue: MakeCatalogue, loss: NextItemLoss) -> None:
    state_NE, vector_IE, target_N = problem(items=1)
    found = loss(state_NE, catalogue(vector_IE), target_N)
    found.backward()
    assert found.isfinite()
    assert state_NE.grad is not None
    assert state_NE.grad.isfinite().all()


@pytest.mark.parametrize("loss", [Bce(200), Gbce(200), Bpr(200)])
def test_the_vectors_of_the_draws_are_never_held(
    catalogue: MakeCatalogue, largest_tensor: MakeLargest, loss: NextItemLoss
) -> None:
    n, dim, items, k = 40, 16, 300, 200
    state_NE, vector_IE, target_N = problem(n, items, dim)
    with largest_tensor() as largest:
        loss(state_NE, catalogue(vector_IE), target_N).backward()
    assert largest.elements <= max(n * (k + 1), items * dim)


def test_states_of_half_precision_are_compared_in_that_of_the_vectors(catalogue: MakeCatalogue) -> None:
    state_NE, vector_IE, target_N = problem()
    with torch.autocast("cpu", torch.bfloat16):
        found = Bce(4)(state_NE.bfloat16(), catalogue(vector_IE.float()), target_N)
    assert found.dtype == torch.float32
    (gradient,) = torch.autograd.grad(found, vector_IE)
    assert gradient.isfinite().all()
    assert gradient.any()


def test_calibration_is_from_plain_binary_cross_entropy_to_the_share_that_is_drawn() -> None:
    assert Gbce(10, t=0.0).beta(41) == 1
    assert Gbce(10, t=1.0).beta(41) == pytest.approx(10 / 40)
    assert Gbce(10, t=0.5).beta(41) == pytest.approx(beta_of(10 / 40, 0.5))
    assert Gbce(100, t=1.0).beta(41) == 1
    with pytest.raises(ValueError, match=r"t=1.5 must be from 0 to 1"):
        Gbce(t=1.5)


def test_a_calibrated_loss_learns_the_true_probability(catalogue: MakeCatalogue) -> None:
    """Of 50 items the first is right in 30 of 100 cases: σ(s) learns 0.3 with t = 1, and far more with t = 0."""
    target_N = torch.tensor([0] * 30 + [1 + i % 49 for i in range(70)])
    found = {}
    for t in (0.0, 1.0):
        torch.manual_seed(0)
        vector_IE = torch.zeros(50, 1, requires_grad=True)
        optimizer = torch.optim.Adam([vector_IE], 0.1)
        for _ in range(150):
            optimizer.zero_grad()
            Gbce(4, t=t)(torch.ones(100, 1), catalogue(vector_IE), target_N).backward()
            optimizer.step()
        found[t] = float(vector_IE[0].sigmoid().detach())
    assert found[1.0] == pytest.approx(0.3, abs=0.07)
    assert found[0.0] > 0.8
