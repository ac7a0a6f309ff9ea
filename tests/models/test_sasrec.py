"""What the paper says of SASRec."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ltsi.models.items import Items
from ltsi.models.layers import Dropout
from ltsi.models.network import SequenceNetwork
from ltsi.models.sasrec import Sasrec, SasrecBlock

DIM, HEADS = 8, 2


def made(layers: int = 2) -> Sasrec:
    torch.manual_seed(0)
    return Sasrec(Items(12, DIM), 9, DIM, layers, HEADS, dropout=0.5, embedding_dropout=0.25)


@pytest.mark.usefixtures("visible_dropout")
@pytest.mark.parametrize("training", [False, True])
def test_states_are_those_of_the_paper_with_dropout_behind_every_part(
    assert_states: Callable[..., None], stir: Callable[[nn.Module], None], training: bool
) -> None:
    model = made()
    stir(model)
    drop, drop_embedded = Dropout(0.5).train(training), Dropout(0.25).train(training)

    def reference(x_LD: Tensor, _row: int) -> Tensor:
        x_LD = drop_embedded(DIM**0.5 * x_LD + model.position.weight[: len(x_LD)])
        for block in model.blocks:
            assert isinstance(block, SasrecBlock)
            normed_LD = block.attention_norm(x_LD)
            q_LD, k_LD, v_LD = (normed_LD @ part_DD.T for part_DD in block.attention.qkv.weight.chunk(3))
            heads = []
            for part in (slice(0, 4), slice(4, 8)):
                logit_LL = q_LD[:, part] @ k_LD[:, part].T / (DIM / HEADS) ** 0.5
                logit_LL[torch.ones_like(logit_LL).triu(1).bool()] = -torch.inf
                heads.append(drop(logit_LL.softmax(1)) @ v_LD[:, part])
            x_LD = x_LD + drop(torch.cat(heads, dim=1))
            first, last = block.network[0], block.network[3]
            assert isinstance(first, nn.Linear)
            assert isinstance(last, nn.Linear)
            inner_LD = drop((block.network_norm(x_LD) @ first.weight.T + first.bias).relu())
            x_LD = x_LD + drop(inner_LD @ last.weight.T + last.bias)
        state_D: Tensor = model.norm(x_LD)[-1]
        return state_D

    assert_states(model, reference, training)


def test_attention_is_three_matrices_and_the_network_no_wider_than_its_input() -> None:
    shapes = {name: tuple(weight.shape) for name, weight in made(1).blocks[0].named_parameters()}
    assert {name: shape for name, shape in shapes.items() if "norm" not in name} == {
        "attention.qkv.weight": (3 * DIM, DIM),
        "network.0.weight": (DIM, DIM),
        "network.0.bias": (DIM,),
        "network.3.weight": (DIM, DIM),
        "network.3.bias": (DIM,),
    }


def test_items_have_one_vector_for_both_ways() -> None:
    network: SequenceNetwork = made()
    assert network.items.vectors().data_ptr() == network.items.embedding.weight.data_ptr()
