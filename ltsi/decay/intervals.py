"""Visits and the times at risk between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class EventBlock(Protocol):
    """Events of consecutive users, sorted by (user, time); `ltsi.sequences.split.TrainingBlock` is one."""

    @property
    def item(self) -> NDArray[np.int32]:
        """Item index, `(events,)`."""
        ...

    @property
    def time(self) -> NDArray[np.int64]:
        """Seconds, `(events,)`."""
        ...

    def user(self) -> NDArray[np.int64]:
        """Returns the user index of each event, `(events,)`."""
        ...


@dataclass(frozen=True)
class Events:
    """Events sorted by (user, time).

    Attributes:
        user: `(events,)`.
        item: `(events,)`.
        time: seconds, `(events,)`.
    """

    user: NDArray[np.int64]
    item: NDArray[np.int32]
    time: NDArray[np.int64]

    @classmethod
    def watched(cls, block: EventBlock, observation_end: NDArray[np.int64]) -> Events:
        """Returns the events of a block until the end of their users' observation, `(users,)` seconds."""
        user = block.user()
        kept = block.time <= observation_end[user]
        return cls(user[kept], block.item[kept], block.time[kept])


@dataclass(frozen=True)
class Intervals:
    """Times at risk of a return, `n` of them.

    Attributes:
        user: `(n,)`.
        entity: `(n,)`.
        start: seconds at which the visit before ended, `(n,)`.
        seconds: length, `(n,)`.
        returned: whether a return ended it, else the end of the observation, `(n,)`.
        visits: visits to each entity, `(E,)`.
    """

    user: NDArray[np.int64]
    entity: NDArray[np.int64]
    start: NDArray[np.int64]
    seconds: NDArray[np.int64]
    returned: NDArray[np.bool_]
    visits: NDArray[np.int64]


def find_intervals(
    events: Events,
    entity_of_item: NDArray[np.integer] | None,
    n_entities: int,
    observation_end: NDArray[np.int64],
    gap_seconds: float,
) -> Intervals:
    """Cuts events into visits and returns the times at risk after them.

    Args:
        events: the events.
        entity_of_item: `(items,)`, the entity each item belongs to, -1: to none, so that an event with it is no visit;
            None: every user is an entity.
        n_entities: number of entities.
        observation_end: `(users,)`, seconds until when each user was watched.
        gap_seconds: events of a user with an entity at most this far apart are one visit.
    """
    user, time = events.user, events.time
    entity = user if entity_of_item is None else entity_of_item[events.item].astype(np.int64)
    if entity.min(initial=0) < 0:
        known = entity >= 0
        user, entity, time = user[known], entity[known], time[known]
    # Events come sorted by (user, time), so a stable sort by (user, entity) leaves every pair's events in time order.
    order = np.argsort(user * n_entities + entity, kind="stable")
    user, entity, time = user[order], entity[order], time[order]
    same = np.zeros(len(time), dtype=bool)
    same[:-1] = (user[1:] == user[:-1]) & (entity[1:] == entity[:-1])
    ahead = np.diff(time, append=time[-1:])
    closes_visit = ~same | (ahead > gap_seconds)
    seconds = np.where(same, ahead, observation_end[user] - time)
    at_risk = closes_visit & (seconds > gap_seconds)
    return Intervals(
        user=user[at_risk],
        entity=entity[at_risk],
        start=time[at_risk],
        seconds=seconds[at_risk],
        returned=same[at_risk],
        visits=np.bincount(entity[closes_visit], minlength=n_entities),
    )
