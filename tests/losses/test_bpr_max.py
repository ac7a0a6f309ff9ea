"""BPR-max against its formula."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ltsi.losses.bpr_max import BprMax
from ltsi.losses.negatives import Negatives
from ltsi.losses.next_item import Catalogue

MakeCatalogue = Callable[..., Catalogue]


def problem(items: int, n: int = 9, dim: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    state_NE = torch.randn(n, dim, generator=generator, dtype=torch.float64).requires_grad_()
    vector_IE = torch.randn(items, dim, generator=generator, dtype=torch.float64).requires_grad_()
    return state_NE, vector_IE, torch.randint(items, (n,), generator=generator)


@pytest.mark.parametrize("items", [5, 60])
@pytest.mark.parametrize("regularization", [0.0, 1.5])
def test_value_and_gradients_are_those_of_the_formula(
    catalogue: MakeCatalogue, items: int, regularization: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ltsi.losses.negatives.BLOCK_LOGITS", 40)
    state_NE, vector_IE, target_N = problem(items)
    shop = catalogue(vector_IE, torch.arange(1.0, items + 1))
    torch.manual_seed(2)
    ours = BprMax(20, 0.5, regularization)(state_NE, shop, target_N)
    torch.manual_seed(2)
    draw = Negatives(20, 0.5).shared(shop, target_N)
    expected = []
    for state_E, target in zip(state_NE, target_N.tolist(), strict=True):
        others = [j for j in draw.item_U.repeat_interleave(draw.count_U).tolist() if j != target]
        score_S, own = vector_IE[others] @ state_E, vector_IE[target] @ state_E
        w_S = score_S.softmax(0)
        gain, size = (w_S * (own - score_S).sigmoid()).sum(), (w_S * score_S.square()).sum()
        expected.append(regularization * size - gain.log())
    theirs = torch.stack(expected).sum()
    torch.testing.assert_close(ours, theirs)
    for one, other in zip(
        torch.autograd.grad(ours, (state_NE, vector_IE)),
        torch.autograd.grad(theirs, (state_NE, vector_IE)),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_a_position_without_another_item_has_no_loss(catalogue: MakeCatalogue) -> None:
    state_NE, vector_IE, target_N = problem(items=1)
    loss = BprMax(8)(state_NE, catalogue(vector_IE), target_N)
    loss.backward()
    assert loss.item() == 0
    assert state_NE.grad is not None
    assert state_NE.grad.eq(0).all()


def test_a_penalty_is_none_below_zero() -> None:
    with pytest.raises(ValueError, match=r"regularization=-1.0 must be at least 0"):
        BprMax(regularization=-1.0)
