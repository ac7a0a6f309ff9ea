"""Which items are drawn, how often, and that a draw can be repeated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from ltsi.losses.bce import Bce
from ltsi.losses.bpr import Bpr
from ltsi.losses.bpr_max import BprMax
from ltsi.losses.gbce import Gbce
from ltsi.losses.negatives import Negatives
from ltsi.losses.next_item import Catalogue, NextItemLoss
from ltsi.losses.sampled_softmax import SampledSoftmax

MakeCatalogue = Callable[..., Catalogue]
COUNT_I = torch.tensor([16.0, 1.0, 4.0, 9.0, 1.0])


@pytest.fixture
def shop(catalogue: MakeCatalogue) -> Catalogue:
    return catalogue(torch.randn(5, 3), COUNT_I)


@pytest.mark.parametrize(
    ("power", "share_I"), [(0.0, [1, 1, 1, 1, 1]), (1.0, [16, 1, 4, 9, 1]), (0.5, [4, 1, 2, 3, 1])]
)
def test_items_are_drawn_by_a_power_of_their_popularity(shop: Catalogue, power: float, share_I: list[int]) -> None:
    torch.manual_seed(0)
    target_N = torch.arange(5)
    draw = Negatives(60_000, power).shared(shop, target_N)
    p_I = torch.tensor(share_I, dtype=torch.float64) / sum(share_I)
    torch.testing.assert_close(draw.count_U / 60_000, p_I.float(), rtol=0, atol=0.01)
    torch.testing.assert_close(draw.p_U, p_I)
    torch.testing.assert_close(draw.p_N, p_I)


@pytest.mark.parametrize("power", [0.0, 0.5])
def test_a_position_draws_the_others_in_their_proportions_and_never_its_target(shop: Catalogue, power: float) -> None:
    torch.manual_seed(0)
    drawn_Nk = Negatives(40_000, power).of_each(shop, torch.arange(5))
    for target, drawn_k in enumerate(drawn_Nk):
        expected_I = COUNT_I**power
        expected_I[target] = 0
        found_I = torch.bincount(drawn_k, minlength=5) / 40_000
        assert found_I[target] == 0
        torch.testing.assert_close(found_I, expected_I / expected_I.sum(), rtol=0, atol=0.01)


def test_hits_are_told(shop: Catalogue) -> None:
    torch.manual_seed(0)
    draw = Negatives(3).shared(shop, torch.arange(5))
    assert draw.hit_N.tolist() == [item in draw.item_U.tolist() for item in range(5)]
    assert 0 < draw.hit_N.sum() < 5
    for item in range(5):
        drawn = dict(zip(draw.item_U.tolist(), draw.count_U.tolist(), strict=True)).get(item, 0)
        assert draw.missed_N[item] == 3 - drawn
    row_H, column_H = draw.hits(slice(1, 4))
    assert draw.item_U[column_H].tolist() == (row_H + 1).tolist()


@pytest.mark.parametrize("power", [0.0, 0.7])
def test_the_same_seed_draws_the_same(shop: Catalogue, power: float) -> None:
    negatives, target_N = Negatives(50, power), torch.arange(5)
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append((negatives.shared(shop, target_N).count_U.tolist(), negatives.of_each(shop, target_N).tolist()))
    assert draws[0] == draws[1]
    assert draws[0][0] != draws[2][0]
    assert draws[0][1] != draws[2][1]


@pytest.mark.parametrize("power", [0.0, 1.0])
def test_where_there_is_no_other_item_none_is_drawn(catalogue: MakeCatalogue, power: float) -> None:
    one = catalogue(torch.randn(1, 3))
    assert Negatives(4, power).of_each(one, torch.zeros(7, dtype=torch.int64)).shape == (7, 0)
    assert Negatives(4, power).shared(one, torch.zeros(7, dtype=torch.int64)).missed_N.tolist() == [0] * 7


def test_no_draws_and_a_negative_power_are_refused() -> None:
    with pytest.raises(ValueError, match="negatives=0 must be at least 1"):
        Negatives(0)
    with pytest.raises(ValueError, match=r"power=-0.5 must be at least 0"):
        Negatives(1, -0.5)


def test_vectors_are_asked_for_once_and_each_item_once() -> None:
    vector_IE = torch.randn(20, 3)
    asked: list[torch.Tensor | None] = []

    def vectors(item_U: torch.Tensor | None = None) -> torch.Tensor:
        asked.append(item_U)
        return vector_IE if item_U is None else vector_IE[item_U]

    shop, item_X = Catalogue(20, vectors, torch.zeros(20)), torch.tensor([[7, 3, 7], [19, 0, 3]])
    vector_UE, place_X = shop.look_up(item_X)
    assert [None if item_U is None else item_U.tolist() for item_U in asked] == [[0, 3, 7, 19]]
    assert torch.equal(vector_UE[place_X], vector_IE[item_X])
    # More than there are items: all of them, without sorting out which.
    vector_UE, place_X = shop.look_up(item_X.repeat(4, 1))
    assert asked[1] is None
    assert torch.equal(vector_UE[place_X], vector_IE[item_X.repeat(4, 1)])


DRAWING = [SampledSoftmax(50), SampledSoftmax(50, 0.5), BprMax(50), Bce(2), Gbce(2), Bpr(2)]


@pytest.mark.parametrize("loss", DRAWING, ids=lambda loss: type(loss).__name__)
def test_no_loss_that_draws_looks_at_more_vectors_than_it_has_drawn(loss: NextItemLoss) -> None:
    vector_IE, asked = torch.randn(5_000, 3), []

    def vectors(item_U: torch.Tensor | None = None) -> torch.Tensor:
        assert item_U is not None, "all vectors were asked for"
        asked.append(len(item_U))
        return vector_IE[item_U]

    torch.manual_seed(0)
    shop = Catalogue(5_000, vectors, torch.randn(5_000).log_softmax(0))
    assert loss(torch.randn(20, 3), shop, torch.arange(20)).isfinite()
    assert len(asked) == 1
    assert asked[0] <= 20 + 50


@pytest.mark.parametrize("loss", [SampledSoftmax(200), BprMax(200)], ids=lambda loss: type(loss).__name__)
def test_the_logits_of_shared_draws_are_held_in_blocks(
    catalogue: MakeCatalogue, largest_tensor: Callable[[], Any], loss: NextItemLoss, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ltsi.losses.negatives.BLOCK_LOGITS", 3_000)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)  # the measurement sees one thread only
    state_NE, vector_IE = torch.randn(500, 4, requires_grad=True), torch.randn(400, 4, requires_grad=True)
    with largest_tensor() as largest:
        loss(state_NE, catalogue(vector_IE), torch.randint(400, (500,))).backward()
    assert largest.elements <= 3_000 + 200
