"""What a data module needs of whoever makes its batches, be they rankings or examples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from ltsi.sequences.augmentation import Augmentation
from ltsi.sequences.batches import Shard
from ltsi.sequences.split import Split


class TrainingPass(Protocol):
    """Batches for training, drawn anew for each epoch."""

    def __len__(self) -> int: ...

    def epoch(self, number: int) -> Iterator[Any]:
        """Makes the batches of an epoch; each has `n_targets` and `to(device)`."""
        ...


class PartPass(Protocol):
    """Batches of a part of the split, the same in every pass."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...


class Serving(Protocol):
    """Makes batches of a split.

    Attributes:
        split: what batches are made of.
    """

    split: Split

    def training(
        self, max_length: int, batch_size: int, seed: int, shard: Shard, augmentation: Sequence[Augmentation] = ()
    ) -> TrainingPass:
        """Returns the training batches.

        Args:
            max_length: inputs in a window.
            batch_size: windows in a batch, over all processes.
            seed: fixes what is drawn.
            shard: this process's part.
            augmentation: what happens to training windows, step by step.
        """
        ...

    def part(self, part: str, max_length: int, hide_seen: bool, shard: Shard, limit: int | None = None) -> PartPass:
        """Returns the batches of `valid` or `test`.

        Args:
            part: the part.
            max_length: events of a history that are shown.
            hide_seen: whether items of a user's history are not asked for.
            shard: this process's part.
            limit: only this many targets; None: all.
        """
        ...
