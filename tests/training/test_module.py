"""The module by itself; whole trainings are in tests/workflows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pytorch_lightning.plugins.precision import MixedPrecision
from torch.optim import SGD, AdamW

from ltsi.errors import ConfigError
from ltsi.histories import Histories, TrainingBatch, TrainingGroup
from ltsi.losses.softmax import Softmax
from ltsi.models.interest import InterestModel
from ltsi.models.items import Items
from ltsi.models.lstm import Lstm
from ltsi.objectives.next_item import NextItem, NextItemTask
from ltsi.training.module import InterestModule, require_clipping

ITEMS = 6
MONITOR = "ndcg@10"


def module(lr: float = 0.1, **settings: Any) -> InterestModule:
    torch.manual_seed(0)
    model: InterestModel = Lstm(Items(ITEMS, 4), dim=4, hidden=4, layers=1, dropout=0.5, embedding_dropout=0.5)
    task: Any = NextItemTask(NextItem(), None)  # type: ignore[arg-type]
    return InterestModule(task, model, Softmax(), partial(SGD, lr=lr), **{"metrics": ["hr@1"], "seed": 1, **settings})


def attached(found: InterestModule, **facts: object) -> InterestModule:
    trainer = SimpleNamespace(**{"world_size": 1, "current_epoch": 0, "global_rank": 0, **facts})
    found._trainer = trainer  # type: ignore[assignment]
    return found


@pytest.fixture
def batch(make_histories: Callable[..., Histories]) -> TrainingBatch:
    shown = make_histories([1, 2, 3], [4, 5, 0], n_items=ITEMS)
    return TrainingBatch([TrainingGroup(shown, torch.tensor([[2, 3, 4], [5, 0, 1]]))], 6)


def test_the_monitored_metric_is_always_measured_and_none_twice() -> None:
    assert module(metrics=["hr@1", "hr@1"]).metrics == ("hr@1", MONITOR)
    assert module(metrics=[MONITOR, "mrr"]).metrics == (MONITOR, "mrr")


def test_an_unknown_metric_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="There is no metric 'ndgc@10'; did you mean 'ndcg@10'"):
        module(metrics=["ndgc@10"])


def test_an_optimizer_that_refuses_is_a_mistake_of_the_configuration() -> None:
    with pytest.raises(ConfigError, match=r"The optimizer cannot be built: Invalid learning rate: -1"):
        module(lr=-1).configure_optimizers()


def test_weights_that_are_frozen_are_not_handed_over() -> None:
    found = module()
    found.model.get_parameter("items.embedding.weight").requires_grad_(False)
    handed = found.configure_optimizers().param_groups[0]["params"]
    assert len(handed) == len(list(found.model.parameters())) - 1


def test_gradients_of_half_precision_are_clipped() -> None:
    optimizer = AdamW([torch.nn.Parameter(torch.zeros(4))], fused=True)
    (parameter,) = optimizer.param_groups[0]["params"]
    parameter.grad = torch.full((4,), 10.0)
    unscaled = MixedPrecision("bf16-mixed", "cpu")
    clip = attached(module(), precision_plugin=unscaled).configure_gradient_clipping
    clip(optimizer, 1.0, "norm")
    assert float(parameter.grad.norm()) == pytest.approx(1, rel=1e-4)


def test_scaled_gradients_are_not_clipped_by_a_fused_optimizer_and_training_does_not_begin() -> None:
    optimizer = AdamW([torch.nn.Parameter(torch.zeros(4))], fused=True)
    scaled = MixedPrecision("16-mixed", "cpu", scaler=torch.amp.GradScaler("cpu"))
    clipping: Any = SimpleNamespace(precision_plugin=scaled, gradient_clip_val=1.0)
    with pytest.raises(ConfigError, match=r"trainer.precision=16-mixed scales gradients, .* set optimizer.fused=false"):
        require_clipping(clipping, optimizer)
    free: Any = SimpleNamespace(precision_plugin=scaled, gradient_clip_val=None)
    unscaled: Any = SimpleNamespace(precision_plugin=MixedPrecision("bf16-mixed", "cpu"), gradient_clip_val=1.0)
    require_clipping(free, optimizer)
    require_clipping(unscaled, optimizer)
    require_clipping(clipping, AdamW([torch.nn.Parameter(torch.zeros(4))], fused=False))


def test_parts_of_a_batch_add_up_over_devices(batch: TrainingBatch) -> None:
    """Devices average gradients, so each weighs its part by their number."""
    torch.manual_seed(0)
    one = attached(module()).eval().training_step(batch, 0)
    four = attached(module(), world_size=4).eval().training_step(batch, 0)
    torch.testing.assert_close(four, 4 * one)


def test_dropout_depends_on_seed_epoch_and_device(batch: TrainingBatch) -> None:
    def loss(seed: int = 1, **facts: int) -> float:
        found = attached(module(seed=seed), **facts).train()
        torch.rand(7)  # whatever was drawn before
        found.on_train_epoch_start()
        return float(found.training_step(batch, 0).detach())

    assert loss() == loss()
    assert len({loss(), loss(seed=2), loss(current_epoch=1), loss(global_rank=1)}) == 4
