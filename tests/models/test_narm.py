"""What the paper says of NARM."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ltsi.models.items import Items
from ltsi.models.layers import Dropout
from ltsi.models.narm import Narm


@pytest.mark.usefixtures("visible_dropout")
@pytest.mark.parametrize("training", [False, True])
def test_states_are_those_of_the_paper_with_dropout_on_embeddings_and_encodings(
    assert_states: Callable[..., None], training: bool
) -> None:
    torch.manual_seed(0)
    model = Narm(Items(12, 6), dim=6, hidden=8, dropout=0.5, embedding_dropout=0.25)
    drop, drop_embedded = Dropout(0.5).train(training), Dropout(0.25).train(training)

    def reference(x_LD: Tensor, _row: int) -> Tensor:
        h_LH = model.gru(drop_embedded(x_LD)[None])[0][0]
        a1, a2, v = model.query.weight, model.key.weight, model.weight_H
        weights = [v @ torch.sigmoid(a1 @ h_LH[-1] + a2 @ h_H) for h_H in h_LH]
        local_H = sum(weight * h_H for weight, h_H in zip(weights, h_LH, strict=True))
        assert isinstance(local_H, Tensor)
        state_D: Tensor = model.decoder.weight @ drop(torch.cat([h_LH[-1], local_H]))
        return state_D

    assert_states(model, reference, training)
