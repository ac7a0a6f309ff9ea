"""What happens around an epoch: a line for people, a row in `metrics.csv`."""

from __future__ import annotations

import logging
import time
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from ltsi.runs.folder import RunFolder

log = logging.getLogger(__name__)


class EpochLog(Callback):
    """Writes one row an epoch: loss, validation metrics, seconds, training events per second.

    Args:
        folder: the run folder.
        monitor: the metric that a person is shown.
    """

    def __init__(self, folder: RunFolder, monitor: str) -> None:
        self.folder, self.monitor, self.n_targets = folder, monitor, 0
        self._start = self._train_end = 0.0
        self._loss, self._validated = torch.zeros(()), False

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Starts the clock."""
        self._start, self._loss, self.n_targets = time.perf_counter(), torch.zeros((), device=module.device), 0
        self._validated = False

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Adds up the loss and stops the clock: the validation that follows the last batch is not training."""
        # Lightning hands on what a batch adds to a step that several batches make together.
        self._loss += outputs["loss"].detach() * trainer.accumulate_grad_batches * batch.n_targets
        self.n_targets += batch.n_targets
        self._train_end = time.perf_counter()

    def on_validation_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Takes note that the epoch was validated."""
        self._validated = True

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Writes the row. Validation has run, if the epoch was not cut short: Lightning ends an epoch after it."""
        if not self._validated:
            return
        loss = float(trainer.strategy.reduce(self._loss, reduce_op="mean")) / self.n_targets
        if not trainer.is_global_zero:
            return
        seconds = self._train_end - self._start
        row: dict[str, float | int] = {"epoch": trainer.current_epoch + 1, "loss": loss}
        row |= {name: float(value) for name, value in trainer.callback_metrics.items()}
        row["epoch_seconds"] = seconds
        row["events_per_second"] = self.n_targets / max(seconds, 1e-9)
        row["valid_seconds"] = time.perf_counter() - self._train_end
        self.folder.append_epoch({name: round(value, 6) for name, value in row.items()})
        shown = row[self.monitor]
        log.info("epoch %d: loss %.4f, valid %s %.4f, %.1f s", row["epoch"], loss, self.monitor, shown, seconds)
