"""Batches for Lightning: the same ones on one device and on several."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader, IterableDataset

from ltsi.histories import RankingBatch
from ltsi.sequences.batches import RankingBatches, Shard, TrainingBatches
from ltsi.sequences.split import Split

CALIBRATION_TARGETS = 8192
"""Validation targets that mixing parameters are chosen on; more only cost time."""


class SplitDataModule(LightningDataModule):
    """Serves a split.

    Batches are cut by the process that uses them: cutting is cheap beside a step, and worker processes would only take
    cores from it.

    Args:
        split: what to serve.
        max_length: events of a history that are shown.
        batch_size: training windows in a batch, over all devices.
        hide_seen: whether a user's own items are not ranked.
        seed: fixes the order of training.
    """

    def __init__(self, split: Split, max_length: int, batch_size: int, hide_seen: bool, seed: int) -> None:
        super().__init__()
        self.split, self.max_length, self.batch_size = split, max_length, batch_size
        self.hide_seen, self.seed = hide_seen, seed

    def train_dataloader(self) -> DataLoader[Any]:
        """Returns a loader of `TrainingBatch`, one pass over all training windows."""
        batches = TrainingBatches(self.split, self.max_length, self.batch_size, self.seed, self._shard())
        batches.epoch = self.trainer.current_epoch if self.trainer else 0
        return _loader(batches)

    def val_dataloader(self) -> DataLoader[Any]:
        """Returns a loader of `RankingBatch` over the validation targets."""
        return _loader(self._ranking("valid", self._shard()))

    def test_dataloader(self) -> DataLoader[Any]:
        """Returns a loader of `RankingBatch` over the test targets."""
        return _loader(self._ranking("test", self._shard()))

    def calibration_batches(self) -> Iterable[RankingBatch]:
        """Returns the validation targets that mixing parameters are chosen on: the same for every process."""
        return self._ranking("valid", Shard(), limit=CALIBRATION_TARGETS)

    def _ranking(self, part: str, shard: Shard, limit: int | None = None) -> RankingBatches:
        return RankingBatches(self.split, part, self.max_length, self.hide_seen, shard, limit)

    def _shard(self) -> Shard:
        return Shard(self.trainer.global_rank, self.trainer.world_size) if self.trainer else Shard()


class _Ready(IterableDataset[Any]):
    """Batches that are made whole already."""

    def __init__(self, batches: TrainingBatches | RankingBatches) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Any:
        return iter(self.batches)


def _loader(batches: TrainingBatches | RankingBatches) -> DataLoader[Any]:
    return DataLoader(_Ready(batches), batch_size=None, num_workers=0)
