"""Item vectors: tied or free, product or cosine, temperature, bias; the scores learned by are the scores ranked by."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_module
from torch import Tensor
from torch.nn import functional

from ltsi.histories import Histories, TrainingBatch, TrainingGroup
from ltsi.losses.softmax import Softmax
from ltsi.models.items import Items, holding_vectors
from ltsi.models.network import SequenceNetwork
from ltsi.workflows.experiment import build_model

MakeHistories = Callable[..., Histories]
ITEMS, DIM = 11, 4

SETTINGS: list[dict[str, Any]] = [
    {},
    {"tied": False},
    {"temperature": 0.5},
    {"bias": True},
    {"cosine": True, "temperature": 0.1},
    {"cosine": True, "temperature": 0.1, "learn_temperature": True, "bias": True, "tied": False},
]
every_setting = pytest.mark.parametrize("settings", SETTINGS, ids=str)


def network(*overrides: str) -> SequenceNetwork:
    with initialize_config_module("ltsi.conf", version_base="1.3"):
        cfg = compose("train", ["model=lstm", f"n_items={ITEMS}", "model.dim=8", "model.hidden=8", *overrides])
    torch.manual_seed(0)
    model = build_model(cfg)
    assert isinstance(model, SequenceNetwork)
    return model.eval()


def made(**settings: Any) -> Items:
    torch.manual_seed(0)
    items = Items(ITEMS, DIM, **settings)
    with torch.no_grad():
        for parameter in items.parameters():
            if parameter.ndim < 2:  # begins at zero
                parameter.normal_()
    return items


@every_setting
def test_scores_are_those_of_the_formula(settings: dict[str, Any]) -> None:
    items, state_BD = made(**settings), torch.randn(3, DIM) * 5
    vector_ID = items.embedding.weight[:ITEMS] if items.output_ID is None else items.output_ID
    if settings.get("cosine"):
        score_BI = functional.cosine_similarity(state_BD[:, None], vector_ID[None], dim=2)
    else:
        score_BI = torch.einsum("bd,id->bi", state_BD, vector_ID)
    temperature = settings.get("temperature", 1.0)
    if items.log_temperature is not None:
        temperature *= math.exp(items.log_temperature.item())
    expected = score_BI / temperature + (0 if items.bias_I is None else items.bias_I)
    torch.testing.assert_close(items.scores(state_BD), expected, rtol=1e-4, atol=1e-5)


@every_setting
def test_the_vectors_of_some_items_are_those_of_all(settings: dict[str, Any]) -> None:
    items, item_U = made(**settings), torch.tensor([7, 0, 7, ITEMS - 1])
    torch.testing.assert_close(items.vectors(item_U), items.vectors()[item_U])


def test_the_default_hands_state_and_embedding_over_untouched() -> None:
    items, state_BD = made(), torch.randn(3, DIM)
    assert items.ready(state_BD) is state_BD
    assert items.vectors().data_ptr() == items.embedding.weight.data_ptr()
    assert [name for name, _ in items.named_parameters()] == ["embedding.weight"]


@pytest.mark.parametrize("choice", ["tied", "free", "cosine"])
@pytest.mark.parametrize("bias", [False, True])
def test_a_network_is_trained_on_the_scores_it_ranks_by(choice: str, bias: bool, make_histories: MakeHistories) -> None:
    model = network(f"model/items={choice}", f"model.items.bias={str(bias).lower()}", "model.items.temperature=0.3")
    with torch.no_grad():
        for parameter in model.items.parameters():
            parameter.add_(torch.randn_like(parameter))
    rows = [[1, 2, 3], [4, 5], [10]]
    targets = [7, 0, 10]
    batch = last_position_batch(rows, targets, make_histories)
    with torch.no_grad():
        log_p_BI = model(make_histories(*rows, n_items=ITEMS)).log_softmax(1)
        expected = -sum(log_p_BI[row, target] for row, target in enumerate(targets)) / 3
        torch.testing.assert_close(model.training_loss(batch, Softmax()), expected)


def last_position_batch(
    rows: Sequence[Sequence[int]], targets: Sequence[int], make_histories: MakeHistories
) -> TrainingBatch:
    histories = make_histories(*rows, n_items=ITEMS)
    target_BL = torch.full_like(histories.item_BL, ITEMS)
    target_BL[torch.arange(len(rows)), histories.length_B - 1] = torch.tensor(targets)
    return TrainingBatch([TrainingGroup(histories, target_BL)], len(rows))


def test_free_vectors_leave_the_way_in_to_itself() -> None:
    items = made(tied=False)
    items.scores(torch.randn(2, DIM)).sum().backward()
    assert items.embedding.weight.grad is None
    assert items.output_ID is not None
    assert items.output_ID.grad is not None


@every_setting
def test_every_weight_learns(settings: dict[str, Any]) -> None:
    items = made(**settings)
    state_BD = items(torch.tensor([[1, 2], [3, ITEMS]]))[:, 0]
    items.scores(state_BD).logsumexp(1).sum().backward()
    assert [name for name, weight in items.named_parameters() if weight.grad is None or not weight.grad.any()] == []


def test_a_vector_of_zero_is_no_reason_to_explode() -> None:
    items = made(cosine=True, temperature=0.1)
    with torch.no_grad():
        items.embedding.weight[3].zero_()
    state_BD: Tensor = torch.zeros(1, DIM, requires_grad=True)
    items.scores(state_BD).logsumexp(1).sum().backward()
    assert items.scores(state_BD).isfinite().all()
    assert items.embedding.weight.grad is not None
    assert state_BD.grad is not None
    assert max(items.embedding.weight.grad.abs().max(), state_BD.grad.abs().max()) < 1e5


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_a_temperature_is_above_zero(temperature: float) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        Items(ITEMS, DIM, temperature=temperature)


@every_setting
def test_vectors_are_made_once_while_they_are_held(settings: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = torch.nn.ModuleList([Items(ITEMS, DIM, **settings), Items(ITEMS, DIM)])
    items, state_BD, some_U = model[0], torch.randn(3, DIM), torch.tensor([2, 5])
    assert isinstance(items, Items)
    before_BI, before_UE = items.scores(state_BD), items.vectors(some_U)
    with holding_vectors(model):
        assert items.vectors() is items.vectors()
        assert torch.equal(items.scores(state_BD), before_BI)
        assert torch.equal(items.vectors(some_U), before_UE)
    with torch.no_grad():
        items.embedding.weight.mul_(2)
        if items.output_ID is not None:
            items.output_ID.mul_(3)
        if items.bias_I is not None:
            items.bias_I.add_(1)
    assert items.vectors().requires_grad
    assert items.cosine or not torch.equal(items.scores(state_BD), before_BI)
