"""What is learned from, what is selected on, and what is tested on: index arrays over a store, never a copy of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ltsi.errors import ConfigError
from ltsi.sequences.roles import UNRESTRICTED, Roles
from ltsi.store import Store, user_blocks

PARTS = ("valid", "test")


@dataclass(frozen=True)
class Targets:
    """Events to predict, each from the history before it.

    Attributes:
        user: int64 `(N,)`, user index.
        event: int64 `(N,)`, row of the target event in the store.
        history_end: int64 `(N,)`; the history is the inputs among rows `offsets[user]:history_end`.
        now: int64 `(N,)`, the time at which the target is asked for.
    """

    user: NDArray[np.int64]
    event: NDArray[np.int64]
    history_end: NDArray[np.int64]
    now: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.user)

    def take(self, which: NDArray[np.int64]) -> Targets:
        """Returns some of the targets, by their places."""
        return Targets(self.user[which], self.event[which], self.history_end[which], self.now[which])

    def spread(self, count: int) -> Targets:
        """Returns at most `count` of the targets, spread evenly over all."""
        return self.take(np.linspace(0, len(self) - 1, min(len(self), count)).astype(np.int64))

    @classmethod
    def none(cls) -> Targets:
        """Returns no targets."""
        return cls(*(np.empty(0, dtype=np.int64) for _ in range(4)))


@dataclass(frozen=True)
class Split:
    """A cut of a store's events.

    Attributes:
        store: the store that is cut; without the events that are neither shown nor asked for, if behaviours have roles.
        train_end: int64 `(users,)`; the training events of user u are rows `offsets[u]:train_end[u]`. Each target among
            them is learned from the inputs before it.
        valid: the events that selection may read.
        test: the events that only `eval` reads.
        report: counts worth telling (users too short, cold users, ...), by name.
        roles: which events are shown and which are asked for, in every part.
    """

    store: Store
    train_end: NDArray[np.int64]
    valid: Targets
    test: Targets
    report: dict[str, int] = field(default_factory=dict)
    roles: Roles = UNRESTRICTED

    def part(self, name: str) -> Targets:
        """Returns the targets of `valid` or `test`.

        Raises:
            ConfigError: another name.
        """
        if name not in PARTS:
            raise ConfigError(f"split={name} is not a part that can be ranked; it must be one of: {', '.join(PARTS)}.")
        targets: Targets = getattr(self, name)
        return targets

    def training_blocks(self, max_events: int = 4_000_000) -> Iterator[TrainingBlock]:
        """Passes over the training events in blocks of whole users, in bounded memory.

        Where behaviours have roles these are inputs and targets alike, in the order in which they happened: what a
        statistic may count. `TrainingBlock.behavior` tells them apart.

        Args:
            max_events: events in a block.

        Yields:
            Blocks in user order.
        """
        starts, ends = self.store.offsets[:-1], self.train_end
        for first, last in user_blocks(self.store.offsets, max_events):
            lengths = ends[first:last] - starts[first:last]
            low, high = int(starts[first]), int(self.store.offsets[last])
            user_of_row = np.repeat(np.arange(first, last), np.diff(self.store.offsets[first : last + 1]))
            rows = np.flatnonzero(np.arange(low, high) < ends[user_of_row]) + low
            yield TrainingBlock(
                first_user=first,
                offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
                item=np.asarray(self.store.item[rows]),
                time=np.asarray(self.store.time[rows]),
                behavior=np.asarray(self.store.behavior[rows]),
            )

    def unlearned_share(self, part: str) -> float:
        """Returns which share of a history before a target comes after the user's training events, on average.

        Only how long histories are is looked at, not what is in them. 0 where nobody has a history.
        """
        targets = self.part(part)
        start, known, end = (
            self.roles.position(row)
            for row in (self.store.offsets[targets.user], self.train_end[targets.user], targets.history_end)
        )
        asked = end > start
        share = (end - np.maximum(known, start)).clip(min=0)[asked] / (end - start)[asked]
        return float(share.mean()) if len(share) else 0.0

    def training_end_time(self) -> int:
        """Returns the last time seen in training: where its observation ends (right censoring)."""
        return max((int(block.time.max()) for block in self.training_blocks() if len(block.time)), default=0)


@dataclass(frozen=True)
class TrainingBlock:
    """Training events of consecutive users.

    Attributes:
        first_user: index of the first user.
        offsets: int64 `(users in block + 1,)`, rows of each user inside this block.
        item: int32 `(events,)`.
        time: int64 `(events,)`.
        behavior: uint8 `(events,)`.
    """

    first_user: int
    offsets: NDArray[np.int64]
    item: NDArray[np.int32]
    time: NDArray[np.int64]
    behavior: NDArray[np.uint8]

    def user(self) -> NDArray[np.int64]:
        """Returns the store-wide user index of each event, int64 `(events,)`."""
        return self.first_user + np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))
