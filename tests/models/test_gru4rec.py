"""What the papers say of GRU4Rec, with torch's GRU, whose reset gate stands behind the matrix of the state."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ltsi.histories import Histories
from ltsi.models.gru4rec import Gru4rec
from ltsi.models.items import Items
from ltsi.models.layers import Dropout

NO_DROPOUT = Dropout(0.0)


def made() -> Gru4rec:
    torch.manual_seed(0)
    return Gru4rec(Items(12, 6, tied=False, bias=True), dim=6, layers=2, dropout=0.3, embedding_dropout=0.5)


def last_output(model: Gru4rec, x_LD: Tensor, drop: Dropout = NO_DROPOUT) -> Tensor:
    for layer in model.layers:
        w_r, w_z, w_n = layer.weight_ih_l0.chunk(3)  # type: ignore[operator]
        u_r, u_z, u_n = layer.weight_hh_l0.chunk(3)  # type: ignore[operator]
        b_r, b_z, b_n = layer.bias_ih_l0.chunk(3)  # type: ignore[operator]
        c_r, c_z, c_n = layer.bias_hh_l0.chunk(3)  # type: ignore[operator]
        h, states = torch.zeros(6), []
        for x in x_LD:
            r = torch.sigmoid(w_r @ x + b_r + u_r @ h + c_r)
            z = torch.sigmoid(w_z @ x + b_z + u_z @ h + c_z)
            n = torch.tanh(w_n @ x + b_n + r * (u_n @ h + c_n))
            h = (1 - z) * n + z * h
            states.append(h)
        x_LD = drop(torch.stack(states))
    return x_LD[-1]


@pytest.mark.usefixtures("visible_dropout")
@pytest.mark.parametrize("training", [False, True])
def test_states_are_the_plain_outputs_of_gated_units_with_dropout_behind_each(
    assert_states: Callable[..., None], training: bool
) -> None:
    model, drop, drop_embedded = made(), Dropout(0.3).train(training), Dropout(0.5).train(training)
    assert_states(model, lambda x_LD, _row: last_output(model, drop_embedded(x_LD), drop), training)


def test_items_are_compared_by_vectors_and_biases_of_their_own(make_histories: Callable[..., Histories]) -> None:
    model, rows = made().eval(), [[1, 2, 3, 2, 5], [4]]
    items = model.items
    assert items.output_ID is not None
    assert items.bias_I is not None
    with torch.no_grad():
        nn.init.normal_(items.bias_I)
        for score_I, row in zip(model(make_histories(*rows, n_items=12)), rows, strict=True):
            expected_I = items.output_ID @ last_output(model, items.embedding.weight[row]) + items.bias_I
            torch.testing.assert_close(score_I, expected_I, rtol=1e-4, atol=1e-5)
