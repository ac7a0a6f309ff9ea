"""What the paper says of HGN."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from ltsi.histories import Histories
from ltsi.models.hgn import Hgn
from ltsi.models.items import Items
from ltsi.models.layers import Dropout

DIM = 6


def made(window: int = 3, user_dropout: float = 0.5) -> Hgn:
    torch.manual_seed(0)
    model = Hgn(Items(12, DIM, tied=False, bias=True), DIM, window, user_dropout, embedding_dropout=0.25)
    model.users.make_room(3)
    nn.init.normal_(model.users.own.weight)
    nn.init.normal_(model.users.common)
    nn.init.zeros_(model.users.own.weight[0])
    return model


def user_union_and_item_item(model: Hgn, x_LD: Tensor, row: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the three vectors that an item is multiplied with after some events of a user; row 0 is a stranger."""
    user_D, shown_WD = model.users.common + model.users.own.weight[row], x_LD[-model.window :].flip(0)
    gate_WD = torch.sigmoid(model.of_item(shown_WD) + model.of_user(user_D))
    gated_WD = shown_WD * gate_WD
    score_W = torch.stack(
        [
            torch.sigmoid(model.instance.weight[0] @ gated_D + model.step.weight[back] @ user_D)
            for back, gated_D in enumerate(gated_WD)
        ]
    )
    return user_D, score_W @ gated_WD / score_W.sum(), shown_WD.sum(0)


@pytest.mark.usefixtures("visible_dropout")
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("window", [1, 3, 20])
def test_states_are_those_of_the_paper_of_embeddings_with_dropout(
    assert_states: Callable[..., None], window: int, training: bool
) -> None:
    model, drop = made(window, user_dropout=0.0), Dropout(0.25).train(training)

    def reference(x_LD: Tensor, row: int) -> Tensor:
        user_D, union_D, item_D = user_union_and_item_item(model, drop(x_LD), row + 1)
        return user_D + union_D + item_D

    assert_states(model, reference, training)


def test_a_score_is_the_sum_of_user_union_and_item_item_products(make_histories: Callable[..., Histories]) -> None:
    """Each of the three terms is a product with the item's own output vector, beside its bias."""
    model, rows = made().eval(), [[1, 2, 3, 2, 5], [4], [1, 2, 3, 2, 5]]
    shown = replace(make_histories(*rows, n_items=12), user_B=torch.tensor([0, 2, -1]))
    items = model.items
    assert items.output_ID is not None
    assert items.bias_I is not None
    with torch.no_grad():
        nn.init.normal_(items.bias_I)
        for score_I, row, user in zip(model(shown), rows, [1, 3, 0], strict=True):
            terms = user_union_and_item_item(model, items.embedding.weight[row], user)
            expected_I = sum(items.output_ID @ term_D for term_D in terms) + items.bias_I
            torch.testing.assert_close(score_I, expected_I, rtol=1e-4, atol=1e-5)


def test_a_window_holds_an_item_at_least() -> None:
    with pytest.raises(ValueError, match="window=0 must be at least 1"):
        made(0)
