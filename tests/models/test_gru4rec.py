"""What the papers say of GRU4Rec."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ltsi.models.gru4rec import Gru4rec
from ltsi.models.items import Items


def test_states_are_the_plain_outputs_of_gated_units(assert_states: Callable[..., None]) -> None:
    torch.manual_seed(0)
    model = Gru4rec(Items(12, 6, tied=False, bias=True), dim=6, layers=2, dropout=0.3, embedding_dropout=0.5)

    def reference(x_LD: Tensor, _row: int) -> Tensor:
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
            x_LD = torch.stack(states)
        return x_LD[-1]

    assert_states(model, reference)


def test_items_are_compared_by_vectors_and_biases_of_their_own() -> None:
    model = Gru4rec(Items(12, 6, tied=False, bias=True), dim=6, layers=1, dropout=0.3, embedding_dropout=0.5)
    state_D = torch.randn(6)
    assert model.items.output_ID is not None
    assert model.items.bias_I is not None
    with torch.no_grad():
        model.items.bias_I.copy_(torch.randn(12))
        expected_I = model.items.output_ID @ state_D + model.items.bias_I
        torch.testing.assert_close(model.items.scores(state_D), expected_I)
