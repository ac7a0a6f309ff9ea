"""What the paper says of NARM."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ltsi.models.items import Items
from ltsi.models.narm import Narm


def test_states_are_those_of_the_paper(assert_states: Callable[..., None]) -> None:
    torch.manual_seed(0)
    model = Narm(Items(12, 6), dim=6, hidden=8, dropout=0.5, embedding_dropout=0.25)

    def reference(x_LD: Tensor, _row: int) -> Tensor:
        h_LH = model.gru(x_LD[None])[0][0]
        a1, a2, v = model.query.weight, model.key.weight, model.weight_H
        weights = [v @ torch.sigmoid(a1 @ h_LH[-1] + a2 @ h_H) for h_H in h_LH]
        local_H = sum(weight * h_H for weight, h_H in zip(weights, h_LH, strict=True))
        assert isinstance(local_H, Tensor)
        return model.decoder.weight @ torch.cat([h_LH[-1], local_H])

    assert_states(model, reference)
