"""What happens around an epoch: a line for people, a row in `metrics.csv`."""

from __future__ import annotations

import logging
import time
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from ltsi.runs.folder import RunFolder
from ltsi.training.module import MONITOR

log = logging.getLogger(__name__)


class EpochLog(Callback):
    """Writes one row an epoch: loss, validation metrics, seconds, training events per second.

    Args:
        folder: the run folder.
        n_targets: training targets in an epoch, over all devices.
    """

    def __init__(self, folder: RunFolder, n_targets: int) -> None:
        self.folder, self.n_targets = folder, n_targets
        self._start = self._train_end = 0.0
        self._loss = torch.zeros(())

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Starts the clock."""
        self._start, self._loss = time.perf_counter(), torch.zeros((), device=module.device)

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Adds up the loss and stops the clock: the validation that follows the last batch is not training."""
        self._loss += outputs["loss"].detach() * batch.n_targets
        self._train_end = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Writes the row. Validation has run: Lightning ends a training epoch after it."""
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
        log.info("epoch %d: loss %.4f, valid %s %.4f, %.1f s", row["epoch"], loss, MONITOR, row[MONITOR], seconds)


class Threads(Callback):
    """Encodes small batches on one thread: waking a second one takes longer than the operations it would share.

    The loss over the catalogue has threads of its own, and ranking gets all of them back.

    Args:
        n_targets: training targets in a batch, on average.
    """

    SMALL = 8192
    """Measured on two cores, width 64: at 1,500 targets one thread takes 0.7 of the time of two."""

    def __init__(self, n_targets: float) -> None:
        self.small = n_targets < self.SMALL
        self.threads = torch.get_num_threads()

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Takes the threads away."""
        if self.small and module.device.type == "cpu":
            torch.set_num_threads(1)

    def on_validation_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Gives them back."""
        torch.set_num_threads(self.threads)

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Gives them back."""
        torch.set_num_threads(self.threads)

    def on_exception(self, trainer: Trainer, module: LightningModule, exception: BaseException) -> None:
        """Gives them back."""
        torch.set_num_threads(self.threads)
