"""What the paper says of HGN."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ltsi.models.hgn import Hgn
from ltsi.models.items import Items

DIM = 6


def made(window: int = 3) -> Hgn:
    torch.manual_seed(0)
    model = Hgn(Items(12, DIM, tied=False, bias=True), DIM, window, user_dropout=0.5, embedding_dropout=0.25)
    model.users.make_room(3)
    nn.init.normal_(model.users.own.weight)
    return model


@pytest.mark.parametrize("window", [1, 3, 20])
def test_states_are_those_of_the_paper(assert_states: Callable[..., None], window: int) -> None:
    model = made(window)

    def reference(x_LD: Tensor, row: int) -> Tensor:
        user_D, shown_WD = model.users.own.weight[row + 1], x_LD[-window:].flip(0)
        gate_WD = torch.sigmoid(model.of_item(shown_WD) + model.of_user(user_D))
        gated_WD = shown_WD * gate_WD
        score_W = torch.stack(
            [
                torch.sigmoid(model.instance.weight[0] @ gated_D + model.step.weight[back] @ user_D)
                for back, gated_D in enumerate(gated_WD)
            ]
        )
        return user_D + score_W @ gated_WD / score_W.sum() + shown_WD.sum(0)

    assert_states(model, reference)


def test_a_score_is_the_sum_of_user_union_and_item_item_products() -> None:
    """Each of the three terms is a product with the item's own output vector, beside its bias."""
    items = made().items
    user_D, union_D, item_D = torch.randn(3, DIM)
    assert items.output_ID is not None
    assert items.bias_I is not None
    with torch.no_grad():
        nn.init.normal_(items.bias_I)
        expected_I = items.output_ID @ user_D + items.output_ID @ union_D + items.output_ID @ item_D + items.bias_I
        torch.testing.assert_close(items.scores(user_D + union_D + item_D), expected_I)


def test_a_window_holds_an_item_at_least() -> None:
    with pytest.raises(ValueError, match="window=0 must be at least 1"):
        made(0)
