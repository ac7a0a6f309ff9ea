"""What the paper says of STAMP."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ltsi.models.items import Items
from ltsi.models.layers import Dropout
from ltsi.models.stamp import Stamp


@pytest.mark.usefixtures("visible_dropout")
@pytest.mark.parametrize("training", [False, True])
def test_states_are_those_of_the_paper_of_embeddings_with_dropout(
    assert_states: Callable[..., None], training: bool
) -> None:
    torch.manual_seed(0)
    model = Stamp(Items(12, 6), dim=6, embedding_dropout=0.25)

    drop = Dropout(0.25).train(training)

    def reference(x_LD: Tensor, _row: int) -> Tensor:
        x_LD = drop(x_LD)
        last_D, session_D = x_LD[-1], x_LD.mean(0)
        w1, (w2, w3), b = model.key.weight, model.query.weight.chunk(2, dim=1), model.query.bias
        weights = [model.weight_D @ torch.sigmoid(w1 @ x_D + w2 @ last_D + w3 @ session_D + b) for x_D in x_LD]
        memory_D = sum(weight * x_D for weight, x_D in zip(weights, x_LD, strict=True))
        return torch.tanh(model.session(memory_D)) * torch.tanh(model.last(last_D))

    assert_states(model, reference, training)
