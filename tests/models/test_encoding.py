"""Groups encoded side by side against the same groups encoded one after another by torch alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from ltsi.histories import Histories
from ltsi.models.encoding import encode
from ltsi.models.items import Items
from ltsi.models.lstm import Lstm
from ltsi.models.network import SequenceNetwork
from ltsi.models.transformer import Transformer

ITEMS = 20


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def network(kind: type[SequenceNetwork], dropout: float) -> SequenceNetwork:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"dim": 8, "layers": 2, "dropout": dropout, "embedding_dropout": dropout}
    if kind is Lstm:
        return Lstm(Items(ITEMS, 8), hidden=8, **sizes).train()
    return Transformer(Items(ITEMS, 8), max_length=9, heads=2, **sizes).train()


def groups() -> list[Histories]:
    generator, made = torch.Generator().manual_seed(3), []
    for batch, length in ((2, 9), (3, 5), (4, 2), (1, 1)):
        item_BL = torch.randint(ITEMS, (batch, length), generator=generator)
        length_B = torch.randint(1, length + 1, (batch,), generator=generator)
        item_BL[torch.arange(length) >= length_B[:, None]] = ITEMS
        made.append(Histories(item_BL, torch.zeros_like(item_BL), length_B, torch.zeros_like(item_BL)))
    return made


def states_and_gradients(model: SequenceNetwork, threads: int) -> tuple[Tensor, tuple[Tensor | None, ...]]:
    torch.set_num_threads(threads)
    torch.manual_seed(7)
    parameters = list(model.parameters())
    state_ND = encode(model.states, groups(), parameters)
    return state_ND, torch.autograd.grad(state_ND.square().sum(), parameters, allow_unused=True)


@pytest.mark.parametrize("kind", [Lstm, Transformer])
def test_states_and_gradients_are_those_of_torch_alone(kind: type[SequenceNetwork]) -> None:
    model = network(kind, dropout=0.0)
    plain_ND = torch.cat([model.states(histories)[histories.real_BL()] for histories in groups()])
    plain = torch.autograd.grad(plain_ND.square().sum(), list(model.parameters()), allow_unused=True)
    state_ND, gradients = states_and_gradients(model, threads=2)
    torch.testing.assert_close(state_ND, plain_ND)
    for ours, theirs in zip(gradients, plain, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("kind", [Lstm, Transformer])
def test_dropout_does_not_depend_on_the_number_of_threads(kind: type[SequenceNetwork]) -> None:
    model = network(kind, dropout=0.5)
    alone_ND, alone = states_and_gradients(model, threads=1)
    for _ in range(3):  # two threads take the groups in any order
        state_ND, gradients = states_and_gradients(model, threads=2)
        assert torch.equal(state_ND, alone_ND)
        for ours, theirs in zip(gradients, alone, strict=True):
            assert ours is not None
            assert theirs is not None
            assert torch.equal(ours, theirs)


def test_each_batch_is_dropped_anew() -> None:
    model = network(Transformer, dropout=0.5)
    parameters = list(model.parameters())
    assert not torch.equal(*(encode(model.states, groups(), parameters) for _ in range(2)))


def test_groups_of_one_batch_do_not_share_their_dropout() -> None:
    model = network(Transformer, dropout=0.5)
    one = groups()[0]
    state_ND = encode(model.states, [one, one], list(model.parameters()))
    assert not torch.equal(*state_ND.chunk(2))


def test_parameters_that_do_not_learn_get_no_gradient() -> None:
    model = network(Transformer, dropout=0.0)
    model.items.embedding.weight.requires_grad_(False)
    encode(model.states, groups(), list(model.parameters())).sum().backward()
    assert model.items.embedding.weight.grad is None
    assert model.encoder.norm.bias.grad is not None  # type: ignore[union-attr]


def test_without_gradients_there_are_only_states() -> None:
    model = network(Transformer, dropout=0.0)
    with torch.no_grad():
        assert not encode(model.states, groups(), list(model.parameters())).requires_grad


def test_threads_compute_in_the_precision_of_their_caller() -> None:
    model = network(Transformer, dropout=0.0)
    torch.set_num_threads(2)
    seen: list[torch.dtype] = []

    def watch(histories: Histories) -> Tensor:
        seen.append(model.encoder.blocks[0].attention.qkv(torch.ones(1, 8)).dtype)  # type: ignore[index,union-attr]
        return model.states(histories)

    with torch.autocast("cpu", torch.bfloat16):
        encode(watch, groups(), list(model.parameters()))
    assert seen == [torch.bfloat16] * 4
