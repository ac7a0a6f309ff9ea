"""Batches over a split: training windows and histories to rank, cut from the memory-mapped store as they are needed.

Shape suffixes: B windows or histories, L positions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ltsi.errors import ConfigError, DataError
from ltsi.histories import Histories, RankingBatch, TrainingBatch, TrainingGroup
from ltsi.sequences.split import Split, Targets
from ltsi.store import Store

SCORE_BUDGET = 16_000_000
"""Scores (histories times items) held at a time when ranking: 64 MB of float32."""

GROUPS = 4
"""Groups that a batch of equally long windows is cut into."""


@dataclass(frozen=True)
class Shard:
    """Which part of each batch this process computes.

    Attributes:
        rank: index of this process.
        world: number of processes.
    """

    rank: int = 0
    world: int = 1


class TrainingBatches:
    """All training windows once an epoch, in batches drawn at random.

    A window is at most `max_length + 1` consecutive training events of a user; each event after the first is a target.
    Longer users give several windows, cut from the most recent end. Within a batch, windows of similar length form a
    group, so that padding stays below the real positions. Each process takes every world-th window of the same batch:
    the summed gradient does not depend on the number of processes.

    Args:
        split: what to train on.
        max_length: longest input.
        batch_size: windows in a batch, over all processes; the batches of an epoch differ in size by one at most.
        seed: with the epoch, fixes the order.
        shard: this process's part.

    Raises:
        DataError: there is nothing to train on.
        ConfigError: there are more processes than windows in a batch.
    """

    def __init__(self, split: Split, max_length: int, batch_size: int, seed: int, shard: Shard = Shard()) -> None:
        self.store, self.seed, self.shard = split.store, seed, shard
        self.first, self.last = _windows(split, max_length)
        if not len(self.first):
            raise DataError(
                f"Store '{self.store.name}' has no user with two training events, so there is no next event to learn."
            )
        self.n_batches = max(1, round(len(self.first) / batch_size))
        if len(self.first) // self.n_batches < shard.world:
            raise ConfigError(
                f"trainer.devices={shard.world} is more than the {len(self.first) // self.n_batches} histories in a "
                f"batch (batch_size={batch_size}, {len(self.first)} training histories); use fewer devices."
            )

    def __len__(self) -> int:
        return self.n_batches

    @property
    def n_targets(self) -> int:
        """Number of targets in an epoch, over all processes."""
        return int((self.last - self.first).sum())

    def epoch(self, number: int) -> Iterator[TrainingBatch]:
        """Cuts the batches of an epoch, in an order fixed by the seed and the epoch's number."""
        order = np.random.default_rng([self.seed, number]).permutation(len(self.first))
        for windows in np.array_split(order, self.n_batches):
            n_targets = int((self.last[windows] - self.first[windows]).sum())
            mine = windows[self.shard.rank :: self.shard.world]
            yield TrainingBatch([self._group(part) for part in self._by_length(mine)], n_targets)

    def _by_length(self, windows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        length = self.last[windows] - self.first[windows]
        windows = windows[np.argsort(-length, kind="stable")]
        length = -np.sort(-length)
        start = 0
        while start < len(windows):
            # A group reaches down to half its longest window: less than half of it is padding. A quarter of all
            # positions is enough for a group: a CPU computes groups side by side.
            end = int(np.searchsorted(-length, -(length[start] // 2), side="left"))
            end = min(end, start + int(length.sum() // (GROUPS * length[start])))
            end = max(end, start + 1)
            yield windows[start:end]
            start = end

    def _group(self, windows: NDArray[np.int64]) -> TrainingGroup:
        first, last = self.first[windows], self.last[windows]
        histories = gather(self.store, first, last, now=self.store.time[last])
        item_BL, time_BL, _ = _pad(self.store, first + 1, last + 1)
        return TrainingGroup(histories, torch.from_numpy(item_BL), torch.from_numpy(time_BL))


class RankingBatches:
    """Targets and the histories before them, batched by history length.

    Args:
        store: the store.
        targets: what to rank.
        max_length: events of a history that are shown.
        hide_seen: whether items of the whole history are not ranked.
        shard: this process's part: whole batches in turn, at least one.
        limit: rank only this many targets, spread evenly over the users; None: all.

    Raises:
        ConfigError: there are more processes than targets.
    """

    def __init__(
        self,
        store: Store,
        targets: Targets,
        max_length: int,
        hide_seen: bool,
        shard: Shard = Shard(),
        limit: int | None = None,
    ) -> None:
        self.store, self.targets, self.max_length, self.hide_seen = store, targets, max_length, hide_seen
        chosen = np.arange(len(targets))
        if limit is not None and limit < len(chosen):
            chosen = chosen[np.linspace(0, len(chosen) - 1, limit).astype(np.int64)]
        if len(chosen) < shard.world:
            raise ConfigError(
                f"trainer.devices={shard.world} is more than the {len(chosen)} users to rank; use fewer devices."
            )
        # A process without a batch would not take part in bringing the ranks together, and the others would wait.
        batch_size = max(1, min(1024, SCORE_BUDGET // store.n_items, len(chosen) // shard.world))
        length = np.minimum(history_length(store, targets), max_length)[chosen]
        order = chosen[np.argsort(length, kind="stable")]
        self.batches = [order[i : i + batch_size] for i in range(0, len(order), batch_size)][shard.rank :: shard.world]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[RankingBatch]:
        for index in self.batches:
            user, event = self.targets.user[index], self.targets.event[index]
            start, end = self.store.offsets[user], self.targets.history_end[index]
            histories = gather(
                self.store, np.maximum(start, end - self.max_length), end, now=np.asarray(self.store.time[event])
            )
            row, seen = ragged(start, end) if self.hide_seen else (np.empty(0, np.int64), np.empty(0, np.int64))
            yield RankingBatch(
                histories,
                torch.from_numpy(self.store.item[event].astype(np.int64)),
                torch.from_numpy(index),
                torch.from_numpy(row),
                torch.from_numpy(self.store.item[seen].astype(np.int64)),
            )


def history_length(store: Store, targets: Targets) -> NDArray[np.int64]:
    """Returns the number of events before each target, int64 `(N,)`."""
    return np.asarray(targets.history_end - store.offsets[targets.user])


def gather(store: Store, first: NDArray[np.int64], end: NDArray[np.int64], now: NDArray[np.int64]) -> Histories:
    """Reads histories from a store.

    Args:
        store: the store.
        first: int64 `(B,)`, first row of each history.
        end: int64 `(B,)`, one past its last row.
        now: int64 `(B,)`, when the next item is asked for.
    """
    item_BL, time_BL, length_B = _pad(store, first, end)
    return Histories(
        torch.from_numpy(item_BL),
        torch.from_numpy(time_BL),
        torch.from_numpy(length_B),
        torch.from_numpy(np.array(now, dtype=np.int64)),
    )


def _pad(
    store: Store, first: NDArray[np.int64], end: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    length = np.asarray(end - first)
    row_BL = first[:, None] + np.arange(length.max())
    real_BL = row_BL < end[:, None]
    row_BL = np.minimum(row_BL, end[:, None] - 1)
    item_BL = np.where(real_BL, store.item[row_BL], store.n_items).astype(np.int64)
    return item_BL, store.time[row_BL], length


def ragged(start: NDArray[np.int64], end: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Lists the rows of several ranges: which range each belongs to, and the row."""
    length = end - start
    which = np.repeat(np.arange(len(start)), length)
    return which, np.arange(len(which)) + np.repeat(start - (np.cumsum(length) - length), length)


def _windows(split: Split, max_length: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the first row of each window and the row of its last target."""
    start, end = np.asarray(split.store.offsets[:-1]), split.train_end
    n_windows = np.maximum(-(-(end - start - 1) // max_length), 0)
    user = np.repeat(np.arange(len(start)), n_windows)
    nth = np.arange(len(user)) - np.repeat(np.cumsum(n_windows) - n_windows, n_windows)
    last = end[user] - 1 - nth * max_length
    return np.maximum(last - max_length, start[user]), last
