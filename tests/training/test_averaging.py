"""The running average of the weights against a plain loop over the steps, and where it is seen."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor
from torch.optim import SGD

from ltsi.errors import ConfigError
from ltsi.losses.softmax import Softmax
from ltsi.models.items import Items
from ltsi.models.lstm import Lstm
from ltsi.objectives.next_item import NextItem
from ltsi.sequences.datamodule import SplitDataModule
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.store import Store
from ltsi.training.averaging import LEARNING, WeightAverage
from ltsi.training.checkpoints import read_checkpoint
from ltsi.training.module import InterestModule

Weights = dict[str, Tensor]


class Witness(Callback):
    """Notes the weights after every step, and those that validation sees."""

    def __init__(self) -> None:
        self.steps: list[Weights] = []
        self.validated: list[Weights] = []
        self.gradients: list[Tensor | None] = []

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        self.steps.append(weights(module))

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: Any) -> None:
        self.steps.append(weights(module))

    def on_validation_batch_end(self, trainer: Trainer, module: LightningModule, *_: Any) -> None:
        self.validated.append(weights(module))
        self.gradients += [weight.grad for weight in module.parameters()]


def weights(module: LightningModule) -> Weights:
    return {name: weight.detach().clone() for name, weight in module.named_parameters()}


def fitted(
    make_store: Callable[..., Store], folder: Path, keep: float, validate: bool = False, batches_a_step: int = 1
) -> tuple[Witness, InterestModule]:
    torch.manual_seed(0)
    split = LeaveOneOut()(make_store(*([((u + i) % 7, i) for i in range(4 + u)] for u in range(9))))
    model = Lstm(Items(7, 4), dim=4, hidden=4, layers=1, dropout=0.0, embedding_dropout=0.0)
    task = NextItem().on(split, None)
    module = InterestModule(task, model, Softmax(), partial(SGD, lr=1.0), ["hr@1"], seed=1)
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    witness, last = Witness(), ModelCheckpoint(folder / "checkpoints", "last", enable_version_counter=False)
    trainer = Trainer(
        max_epochs=3,
        accelerator="cpu",
        callbacks=[WeightAverage(keep), witness, last],
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        accumulate_grad_batches=batches_a_step,
        **quiet,
    )
    data = SplitDataModule(task, 5, 4, False, seed=1)
    trainer.fit(module, data)
    if validate:
        trainer.validate(module, data, verbose=False)
    return witness, module


def same(one: Weights, other: Weights) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def running_average(steps: list[Weights], keep: float) -> Weights:
    average = dict(steps[0])
    for number, now in enumerate(steps[1:], start=1):
        share = min(keep, (1 + number) / (10 + number))
        average = {name: share * average[name] + (1 - share) * now[name] for name in now}
    return average


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.9])
def test_validation_and_checkpoint_hold_the_average_and_learning_its_weights(
    make_store: Callable[..., Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: float
) -> None:
    monkeypatch.setattr("ltsi.training.averaging.STRETCH", 3)
    witness, module = fitted(make_store, tmp_path, keep)
    expected = running_average(witness.steps, keep)
    checkpoint = read_checkpoint(tmp_path / "checkpoints" / "last.ckpt")
    for name, now in witness.steps[-1].items():
        torch.testing.assert_close(witness.validated[-1][name], expected[name])
        torch.testing.assert_close(checkpoint["state_dict"][name], expected[name])
        torch.testing.assert_close(checkpoint[LEARNING][name], now)
        torch.testing.assert_close(weights(module)[name], now)
    moved = any(not torch.allclose(now, expected[name]) for name, now in witness.steps[-1].items())
    assert moved == (keep > 0)


def test_batches_that_make_a_step_together_count_as_one(make_store: Callable[..., Store], tmp_path: Path) -> None:
    witness, _ = fitted(make_store, tmp_path, keep=0.9, batches_a_step=2)
    moved = [now for before, now in zip(witness.steps, witness.steps[1:]) if not same(before, now)]
    assert len(moved) < len(witness.steps) - 1
    expected = running_average([witness.steps[0], *moved], keep=0.9)
    for name, found in witness.validated[-1].items():
        torch.testing.assert_close(found, expected[name])


def test_who_evaluates_after_training_brings_the_weights(make_store: Callable[..., Store], tmp_path: Path) -> None:
    witness, module = fitted(make_store, tmp_path, keep=0.9, validate=True)
    for name, now in weights(module).items():
        torch.testing.assert_close(witness.validated[-1][name], now)


def test_validation_needs_the_room_of_the_gradients(make_store: Callable[..., Store], tmp_path: Path) -> None:
    witness, _ = fitted(make_store, tmp_path, keep=0.5)
    assert witness.gradients
    assert all(gradient is None for gradient in witness.gradients)


@pytest.mark.parametrize("keep", [-0.1, 1.0])
def test_an_average_that_never_moves_is_refused(keep: float) -> None:
    with pytest.raises(ConfigError, match=rf"weight_average={keep} must be at least 0"):
        WeightAverage(keep)
