"""What a check of the audit sees at a time: the events of consecutive users."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ltsi.store import EncodedEvents, user_blocks


@dataclass(frozen=True)
class Block:
    """Events of consecutive users, at least one event.

    Attributes:
        start: row of the first event in the log.
        offsets: int64 `(users in block + 1,)`, events of each user inside this block.
        item: int32 `(events,)`.
        time: int64 `(events,)`.
        behavior: uint8 `(events,)`.
        row: int64 `(events,)`, row in the file.
        fraction: int32 `(events,)`, nanoseconds beside the second, which are not stored; None if the log has none.
    """

    start: int
    offsets: NDArray[np.int64]
    item: NDArray[np.int32]
    time: NDArray[np.int64]
    behavior: NDArray[np.uint8]
    row: NDArray[np.int64]
    fraction: NDArray[np.int32] | None = None

    @cached_property
    def step(self) -> NDArray[np.bool_]:
        """Whether an event is the next one of the same user, bool `(events - 1,)`."""
        step = np.ones(max(len(self.item) - 1, 0), dtype=bool)
        inner = self.offsets[1:-1]
        step[inner[(inner > 0) & (inner < len(self.item))] - 1] = False
        return step

    @cached_property
    def tied(self) -> NDArray[np.bool_]:
        """Whether an event has user and time of the one before it, bool `(events - 1,)`."""
        tied: NDArray[np.bool_] = self.step & (self.time[1:] == self.time[:-1])
        return tied

    @cached_property
    def unordered(self) -> NDArray[np.bool_]:
        """Whether no time of the log orders an event and the one before it, bool `(events - 1,)`."""
        if self.fraction is None:
            return self.tied
        unordered: NDArray[np.bool_] = self.tied & (self.fraction[1:] == self.fraction[:-1])
        return unordered

    def user(self) -> NDArray[np.int64]:
        """Returns the user of each event, counted inside the block, int64 `(events,)`."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))


def blocks(
    events: EncodedEvents, row: NDArray[np.int64], fraction: NDArray[np.int32] | None, max_events: int
) -> Iterator[Block]:
    """Passes over a log in blocks of whole users.

    Args:
        events: the log.
        row: row of each event in the file, `(events,)`.
        fraction: nanoseconds of each event beside its second, `(events,)`, or None.
        max_events: events in a block; a single user with more is a block alone.

    Yields:
        Blocks in user order.
    """
    for first, last in user_blocks(events.offsets, max_events):
        offsets = np.asarray(events.offsets[first : last + 1])
        rows = slice(int(offsets[0]), int(offsets[-1]))
        if rows.start < rows.stop:
            yield Block(
                rows.start,
                offsets - offsets[0],
                events.item[rows],
                events.time[rows],
                events.behavior[rows],
                row[rows],
                None if fraction is None else fraction[rows],
            )
