"""The row of an epoch, through a training by the command line's own parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, Trainer
from torch.optim import SGD

from ltsi.losses.softmax import Softmax
from ltsi.models.interest import InterestModel
from ltsi.models.items import Items
from ltsi.models.lstm import Lstm
from ltsi.objectives.next_item import NextItem
from ltsi.runs.folder import RunFolder
from ltsi.sequences.augmentation import Augmentation, Crop, augmented
from ltsi.sequences.batches import TrainingBatches
from ltsi.sequences.datamodule import SplitDataModule
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.sequences.split import Split
from ltsi.store import Store
from ltsi.training.callbacks import EpochLog
from ltsi.training.module import InterestModule


@pytest.fixture
def split(make_store: Callable[..., Store]) -> Split:
    return LeaveOneOut()(make_store(*([((u + i) % 7, i) for i in range(4 + u)] for u in range(9))))


def train(
    split: Split,
    folder: RunFolder,
    epochs: int = 1,
    lr: float = 0.0,
    augmentation: Sequence[Augmentation] = (),
    batches_a_step: int = 1,
) -> InterestModule:
    torch.manual_seed(0)
    model = Lstm(Items(7, 4), dim=4, hidden=4, layers=1, dropout=0.0, embedding_dropout=0.0)
    task = NextItem().on(split, None)
    module = InterestModule(task, model, Softmax(), partial(SGD, lr=lr), ["hr@1"], seed=1)
    quiet: dict[str, Any] = {
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "use_distributed_sampler": False,
    }
    callbacks: list[Callback] = [EpochLog(folder, "ndcg@10")]
    trainer = Trainer(max_epochs=epochs, callbacks=callbacks, accumulate_grad_batches=batches_a_step, **quiet)
    trainer.fit(module, SplitDataModule(task, 5, 4, False, seed=1, augmentation=augmentation))
    return module


def test_the_loss_of_an_epoch_does_not_go_by_how_many_batches_make_a_step(split: Split, tmp_path: Path) -> None:
    folders = [RunFolder(tmp_path / name) for name in ("one", "three")]
    for folder, batches_a_step in zip(folders, (1, 3)):
        train(split, folder, batches_a_step=batches_a_step)
    one, three = (float(folder.epochs()[0]["loss"]) for folder in folders)
    assert one == pytest.approx(three, rel=1e-5)


@pytest.mark.parametrize("augmentation", [[], [Crop(0.5)]], ids=["as it happened", "augmented"])
def test_the_loss_of_an_epoch_is_the_mean_over_its_targets(
    split: Split, tmp_path: Path, augmentation: list[Augmentation]
) -> None:
    folder = RunFolder(tmp_path)
    model = train(split, folder, augmentation=augmentation).model.eval()
    assert isinstance(model, InterestModel)
    batches = list(augmented(TrainingBatches(split, 5, 4, seed=1), augmentation).epoch(0))
    with torch.no_grad():
        total = sum(float(model.training_loss(batch, Softmax())) * batch.n_targets for batch in batches)
    targets = sum(batch.n_targets for batch in batches)
    assert float(folder.epochs()[0]["loss"]) == pytest.approx(total / targets, abs=2e-6)


def test_each_epoch_has_a_row_with_its_own_metrics(split: Split, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    train(split, folder, epochs=4, lr=1.0)
    rows = folder.epochs()
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert float(rows[3]["loss"]) < float(rows[0]["loss"])
    assert len({row["ndcg@10"] for row in rows}) > 1
    for row in rows:
        assert float(row["epoch_seconds"]) > 0
        assert float(row["valid_seconds"]) > 0
