"""What the paper says of SASRec."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from ltsi.models.items import Items
from ltsi.models.network import SequenceNetwork
from ltsi.models.sasrec import Sasrec, SasrecBlock

DIM, HEADS = 8, 2


def made(layers: int = 2) -> Sasrec:
    torch.manual_seed(0)
    return Sasrec(Items(12, DIM), 9, DIM, layers, HEADS, dropout=0.5, embedding_dropout=0.5)


def test_states_are_those_of_the_paper(assert_states: Callable[..., None]) -> None:
    model = made()

    def reference(x_LD: Tensor, _row: int) -> Tensor:
        x_LD = DIM**0.5 * x_LD + model.position.weight[: len(x_LD)]
        for block in model.blocks:
            assert isinstance(block, SasrecBlock)
            normed_LD = functional.layer_norm(x_LD, (DIM,))
            q_LD, k_LD, v_LD = (normed_LD @ part_DD.T for part_DD in block.attention.qkv.weight.chunk(3))
            heads = []
            for part in (slice(0, 4), slice(4, 8)):
                logit_LL = q_LD[:, part] @ k_LD[:, part].T / (DIM / HEADS) ** 0.5
                logit_LL[torch.ones_like(logit_LL).triu(1).bool()] = -torch.inf
                heads.append(logit_LL.softmax(1) @ v_LD[:, part])
            x_LD = x_LD + torch.cat(heads, dim=1)
            first, last = block.network[0], block.network[3]
            assert isinstance(first, nn.Linear)
            assert isinstance(last, nn.Linear)
            inner_LD = (functional.layer_norm(x_LD, (DIM,)) @ first.weight.T + first.bias).relu()
            x_LD = x_LD + inner_LD @ last.weight.T + last.bias
        return functional.layer_norm(x_LD, (DIM,))[-1]

    assert_states(model, reference)


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
