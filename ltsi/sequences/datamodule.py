"""Batches for Lightning: the same ones on one device and on several."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from pytorch_lightning import LightningDataModule

from ltsi.errors import ConfigError
from ltsi.sequences.augmentation import Augmentation
from ltsi.sequences.batches import Shard
from ltsi.sequences.serving import PartPass, Serving

LARGEST_SEED = 2**32 - 1
"""What numpy takes."""

CALIBRATION_TARGETS = 8192
"""Validation targets that mixing parameters are chosen on; more only cost time."""


class SplitDataModule(LightningDataModule):
    """Serves a split.

    Batches are cut by the process that uses them: cutting is cheap beside a step, and worker processes would only take
    cores from it.

    Args:
        task: makes the batches: an objective on a split (`ltsi.objectives`).
        max_length: events of a history that are shown.
        batch_size: training windows in a batch, over all devices.
        hide_seen: whether a user's own items are not ranked.
        seed: fixes the order of training.
        augmentation: what happens to training windows, step by step.

    Raises:
        ConfigError: a number is not a whole number in its range.
    """

    def __init__(
        self,
        task: Serving,
        max_length: int,
        batch_size: int,
        hide_seen: bool,
        seed: int,
        augmentation: Sequence[Augmentation] = (),
    ) -> None:
        super().__init__()
        for key, value, least in (("max_length", max_length, 1), ("batch_size", batch_size, 1), ("seed", seed, 0)):
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ConfigError(f"{key}={value} must be a whole number from {least}.")
        if seed > LARGEST_SEED:
            raise ConfigError(f"seed={seed} must be at most {LARGEST_SEED}.")
        self.task, self.split, self.max_length, self.batch_size = task, task.split, max_length, batch_size
        self.hide_seen, self.seed, self.augmentation = hide_seen, seed, augmentation

    def train_dataloader(self) -> Loader:
        """Returns a loader of one pass over all training windows."""
        batches = self.task.training(self.max_length, self.batch_size, self.seed, self._shard(), self.augmentation)

        def epoch() -> Iterator[Any]:
            # Asked for when the first batch is: a resumed trainer opens its loader before it knows its epoch.
            yield from batches.epoch(self.trainer.current_epoch if self.trainer else 0)

        return Loader(epoch, len(batches))

    def val_dataloader(self) -> Loader:
        """Returns a loader over the validation targets."""
        batches = self._part("valid", self._shard())
        return Loader(lambda: iter(batches), len(batches))

    def test_dataloader(self) -> Loader:
        """Returns a loader over the test targets."""
        batches = self._part("test", self._shard())
        return Loader(lambda: iter(batches), len(batches))

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:  # noqa: ARG002
        """Moves a batch of any kind; Lightning's own way does not know frozen dataclasses."""
        return batch.to(device)

    def calibration_batches(self) -> Iterable[Any]:
        """Returns the validation targets that mixing parameters are chosen on: the same for every process."""
        return self._part("valid", Shard(), limit=CALIBRATION_TARGETS)

    def _part(self, part: str, shard: Shard, limit: int | None = None) -> PartPass:
        return self.task.part(part, self.max_length, self.hide_seen, shard, limit)

    def _shard(self) -> Shard:
        return Shard(self.trainer.global_rank, self.trainer.world_size) if self.trainer else Shard()


class Loader:
    """Batches that are made whole already, in the form Lightning takes: something with a length to iterate over.

    Args:
        start: starts a pass.
        length: batches in a pass.
    """

    def __init__(self, start: Callable[[], Iterator[Any]], length: int) -> None:
        self.start, self.length = start, length

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Any]:
        return self.start()
