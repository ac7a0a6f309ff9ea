"""Batches over a split: training windows and histories to rank, cut from the memory-mapped store as they are needed.

Shape suffixes: B windows or histories, L positions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ltsi.errors import ConfigError, DataError
from ltsi.histories import Histories, RankingBatch, TrainingBatch, TrainingGroup
from ltsi.sequences.roles import UNRESTRICTED, Roles
from ltsi.sequences.rows import ragged
from ltsi.sequences.split import Split, Targets
from ltsi.sequences.windows import cut_windows
from ltsi.store import Store

SCORE_BUDGET = 16_000_000
"""Scores (histories times items) held at a time when ranking: 64 MB of float32."""

FEWEST_RANKED = 16
"""Histories ranked at a time at least, even in a catalogue so large that their scores take more: each batch reads the
vectors of all items, which then take four times as much."""

POSITION_BUDGET = 65_536
"""Positions, padding included, that are encoded at a time when ranking."""

RANKED_AT_ONCE = 1024
"""Histories ranked at a time at most, however short they are."""

GROUPS = 4
"""Groups that a batch of equally long windows is cut into."""


NOTHING_SEEN = (torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int64))
"""Hidden rows and items where none are hidden."""


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

    A window is at most `max_length` consecutive inputs of a user, and the targets among the training events that are
    predicted from them: each from the inputs up to the last one before it. Without roles this is up to `max_length + 1`
    consecutive events, of which each after the first is a target. Longer users give several windows, cut from the most
    recent end; a window without a target is left out. Within a batch, windows of similar length form a group, so that
    padding stays below the real positions. Each process takes every world-th window of the same batch: the summed
    gradient does not depend on the number of processes.

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
        self.store, self.roles, self.seed, self.shard = split.store, split.roles, seed, shard
        self.windows = cut_windows(split, max_length)
        n_windows = len(self.windows.first)
        if not n_windows:
            lacking = "a training target after an input" if self.roles.restricted else "two training events"
            raise DataError(
                f"Store '{self.store.name}' has no user with {lacking}, so there is no next event to learn."
            )
        self.n_batches = max(1, round(n_windows / batch_size))
        if n_windows // self.n_batches < shard.world:
            raise ConfigError(
                f"trainer.devices={shard.world} is more than the {n_windows // self.n_batches} histories in a "
                f"batch (batch_size={batch_size}, {n_windows} training histories); use fewer devices."
            )

    def __len__(self) -> int:
        return self.n_batches

    @property
    def n_targets(self) -> int:
        """Number of targets in an epoch, over all processes."""
        return int(self.windows.n_targets.sum())

    def epoch(self, number: int) -> Iterator[TrainingBatch]:
        """Cuts the batches of an epoch, in an order fixed by the seed and the epoch's number."""
        for groups, n_targets in self.groups(number):
            yield TrainingBatch([self._group(windows) for windows in groups], n_targets)

    def groups(self, number: int) -> Iterator[tuple[list[NDArray[np.int64]], int]]:
        """Lists the windows of each batch of an epoch.

        Yields:
            This process's windows in groups of similar length, and the targets in the whole batch.
        """
        order = np.random.default_rng([self.seed, number]).permutation(len(self.windows.first))
        for windows in np.array_split(order, self.n_batches):
            n_targets = int(self.windows.n_targets[windows].sum())
            yield list(self._by_length(windows[self.shard.rank :: self.shard.world])), n_targets

    def read(self, windows: NDArray[np.int64]) -> tuple[Histories, Tensor]:
        """Reads windows from the store.

        Args:
            windows: `(W,)`; a window with several targets between two inputs is read several times.

        Returns:
            The histories, and the row of the target at each position, int64 `(B, L)`; -1 where there is none.
        """
        first, end, until = (column[windows] for column in (self.windows.first, self.windows.end, self.windows.until))
        if not self.roles.restricted:
            histories = gather(self.store, first, end, now=self.store.time[until])
            event_BL = torch.from_numpy(first[:, None] + 1 + np.arange(histories.item_BL.shape[1]))
            return histories, event_BL.where(histories.real_BL(), -1)
        return self._read_asked(first, end, until)

    def _by_length(self, windows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        length = self.windows.end[windows] - self.windows.first[windows]
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
        histories, event_BL = self.read(windows)
        item_BL = torch.from_numpy(self.store.item[event_BL.clamp(min=0).numpy()].astype(np.int64))
        return TrainingGroup(histories, item_BL.where(event_BL >= 0, self.store.n_items))

    def _read_asked(
        self, first: NDArray[np.int64], end: NDArray[np.int64], until: NDArray[np.int64]
    ) -> tuple[Histories, Tensor]:
        """Reads windows between whose inputs there may be no target, or several."""
        which, row = ragged(self.roles.row(first) + 1, until + 1)
        asked = self.roles.is_target(self.store.behavior[row])
        which, row = which[asked], row[asked]
        column = self.roles.position(row) - 1 - first[which]
        # Targets between the same two inputs are predicted from the same state, and a position has room for one: the
        # history is repeated for the others.
        begins = np.flatnonzero((np.diff(which, prepend=-1) != 0) | (np.diff(column, prepend=-1) != 0))
        nth = np.arange(len(row)) - np.repeat(begins, np.diff(begins, append=len(row)))
        copies = np.zeros(len(first), dtype=np.int64)
        np.maximum.at(copies, which, nth + 1)
        line = (np.cumsum(copies) - copies)[which] + nth
        first, end, until = (np.repeat(part, copies) for part in (first, end, until))
        histories = gather(self.store, first, end, now=self.store.time[until], roles=self.roles)
        event_BL = torch.full_like(histories.item_BL, -1)
        event_BL[line, column] = torch.from_numpy(row)
        histories.now_BL[line, column] = torch.from_numpy(np.asarray(self.store.time[row]))
        return histories, event_BL


class RankingBatches:
    """Targets and the histories before them, batched by history length.

    Args:
        store: the store.
        targets: what to rank.
        max_length: events of a history that are shown.
        hide_seen: whether items of the whole history are not ranked.
        shard: this process's part: whole batches in turn, at least one.
        limit: rank only this many targets, spread evenly over the users; None: all.
        roles: which events histories are made of.

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
        roles: Roles = UNRESTRICTED,
    ) -> None:
        self.store, self.targets, self.roles = store, targets, roles
        self.max_length, self.hide_seen = max_length, hide_seen
        chosen = np.arange(len(targets))
        if limit is not None and limit < len(chosen):
            chosen = chosen[np.linspace(0, len(chosen) - 1, limit).astype(np.int64)]
        if len(chosen) < shard.world:
            raise ConfigError(
                f"trainer.devices={shard.world} is more than the {len(chosen)} targets to rank; use fewer devices."
            )
        self.bounds = history_positions(store, targets, roles)
        length = np.minimum(self.bounds[1] - self.bounds[0], max_length)[chosen]
        # A process without a batch would not take part in bringing the ranks together, and the others would wait.
        cut = cut_to_rank(length, store.n_items, most=max(1, len(chosen) // shard.world))
        self.batches = [chosen[index] for index in cut][shard.rank :: shard.world]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[RankingBatch]:
        for index in self.batches:
            start, end = (bound[index] for bound in self.bounds)
            now = self.targets.now[index]
            histories, *hidden = to_rank(self.store, start, end, now, self.max_length, self.hide_seen, self.roles)
            target_B = torch.from_numpy(self.store.item[self.targets.event[index]].astype(np.int64))
            yield RankingBatch(histories, target_B, torch.from_numpy(index), *hidden)


def cut_to_rank(length: NDArray[np.int64], n_items: int, most: int = RANKED_AT_ONCE) -> Iterator[NDArray[np.int64]]:
    """Cuts histories into batches that hold neither too many scores nor too many positions, the shortest first.

    Args:
        length: int64 `(N,)`, events of each history that are shown.
        n_items: size of the catalogue.
        most: histories in a batch, at most; never more than `RANKED_AT_ONCE`.

    Yields:
        Index of the histories of a batch, int64.
    """
    batch_size = min(RANKED_AT_ONCE, most, max(FEWEST_RANKED, SCORE_BUDGET // n_items))
    order = np.argsort(length, kind="stable")
    length, start = length[order], 0
    while start < len(order):
        longest = length[start : start + batch_size]
        # Of the first n histories the last is the longest, so they have n times its positions.
        positions = np.arange(1, len(longest) + 1) * longest
        size = max(1, int(np.searchsorted(positions, POSITION_BUDGET, side="right")))
        yield order[start : start + size]
        start += size


def to_rank(
    store: Store,
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    now: NDArray[np.int64],
    max_length: int,
    hide_seen: bool,
    roles: Roles = UNRESTRICTED,
    user: NDArray[np.int64] | None = None,
) -> tuple[Histories, Tensor, Tensor]:
    """Reads what a ranking is made of.

    Args:
        store: the store.
        start: int64 `(B,)`, position of the first input of each whole history.
        end: int64 `(B,)`, one past that of its last input.
        now: int64 `(B,)`, when the next item is asked for.
        max_length: events of a history that are shown.
        hide_seen: whether items of the whole history are not ranked.
        roles: which events histories are made of.
        user: see `gather`.

    Returns:
        The histories as they are shown, and rows and items that are not ranked, int64 `(H,)` each.
    """
    histories = gather(store, np.maximum(start, end - max_length), end, now, roles, user)
    hidden = seen_items(store, start, end, roles) if hide_seen else NOTHING_SEEN
    return histories, *hidden


def history_positions(
    store: Store, targets: Targets, roles: Roles = UNRESTRICTED
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the position of the first input of each target's history, and one past that of its last, int64 `(N,)`."""
    start = np.asarray(store.offsets[targets.user])
    return roles.position(start), roles.position(targets.history_end)


def history_length(store: Store, targets: Targets, roles: Roles = UNRESTRICTED) -> NDArray[np.int64]:
    """Returns the number of inputs before each target, int64 `(N,)`."""
    start, end = history_positions(store, targets, roles)
    return end - start


def seen_items(
    store: Store, start: NDArray[np.int64], end: NDArray[np.int64], roles: Roles = UNRESTRICTED
) -> tuple[Tensor, Tensor]:
    """Lists the items of whole histories: what is not ranked where seen items are hidden.

    Args:
        store: the store.
        start: int64 `(B,)`, position of the first input of each history.
        end: int64 `(B,)`, one past that of its last input.
        roles: which events histories are made of.

    Returns:
        Row of the batch and item, int64 `(H,)` each, an item as often as it was taken.
    """
    row, position = ragged(start, end)
    return torch.from_numpy(row), torch.from_numpy(store.item[roles.row(position)].astype(np.int64))


def gather(
    store: Store,
    first: NDArray[np.int64],
    end: NDArray[np.int64],
    now: NDArray[np.int64],
    roles: Roles = UNRESTRICTED,
    user: NDArray[np.int64] | None = None,
) -> Histories:
    """Reads histories from a store.

    Args:
        store: the store.
        first: int64 `(B,)`, position of the first input of each history.
        end: int64 `(B,)`, one past that of its last input; equal to `first` where there is no history.
        now: int64 `(B,)`, when the next item is asked for.
        roles: which events histories are made of.
        user: int64 `(B,)`, whose histories they are, needed where some are empty; None: those of the first input.
    """
    item_BL, time_BL, length_B = _pad(store, first, end, roles)
    time_BL = np.where(length_B[:, None] > 0, time_BL, now[:, None])
    now_BL = np.concatenate([time_BL[:, 1:], time_BL[:, -1:]], axis=1)
    # The last real position and the padding behind it.
    now_BL = np.where(np.arange(time_BL.shape[1]) < length_B[:, None] - 1, now_BL, now[:, None])
    user_B = np.searchsorted(store.offsets, roles.row(first), side="right") - 1 if user is None else user
    return Histories(*(torch.from_numpy(column) for column in (item_BL, time_BL, length_B, now_BL, user_B)))


def _pad(
    store: Store, first: NDArray[np.int64], end: NDArray[np.int64], roles: Roles
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    length = np.asarray(end - first)
    position_BL = first[:, None] + np.arange(max(1, length.max()))
    real_BL = position_BL < end[:, None]
    # The position behind an empty history's is somebody else's, or none at all.
    row_BL = roles.row(np.clip(position_BL, 0, np.maximum(end[:, None] - 1, 0)))
    item_BL = np.where(real_BL, store.item[row_BL], store.n_items).astype(np.int64)
    return item_BL, store.time[row_BL], length
