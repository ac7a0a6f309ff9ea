"""Every visit with all that came before it: what a rate that sums over earlier visits is fitted to.

The return hazard looks back to the last visit and no further, so a table by age holds all there is to know of it
(`ltsi.decay.statistics`). A sum over all earlier visits has no such table; here the visits themselves are kept, some 50
bytes for each.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ltsi.decay.forms import Floats
from ltsi.decay.intervals import EventBlock, Events, find_intervals
from ltsi.decay.statistics import SECONDS_PER_DAY, count_groups


@dataclass(frozen=True)
class Visits:
    """The times at risk after `V` visits, those of a pair of a user and an entity side by side and in order.

    Attributes:
        pair: `(V,)`, number of the pair, from 0.
        group: `(V,)`, group of users.
        position: `(V,)`, how many visits of the pair came before.
        end: `(V,)`, days at which the visit ended, from the first end of all.
        length: `(V,)`, days from there to the next visit, or to the end of the observation.
        returned: `(V,)`, whether the next visit ended it.
        gap_days: the risk of a return starts this many days after a visit's end.
        n_groups: groups of users.
        returning_users: users with at least one return.
    """

    pair: NDArray[np.int64]
    group: NDArray[np.int64]
    position: NDArray[np.int64]
    end: Floats
    length: Floats
    returned: NDArray[np.bool_]
    gap_days: float
    n_groups: int
    returning_users: int

    @classmethod
    def collect(
        cls,
        blocks: Iterable[EventBlock],
        entity_of_item: NDArray[np.integer] | None,
        n_entities: int,
        observation_end: NDArray[np.int64],
        gap_days: float,
    ) -> Visits:
        """Collects the visits in one pass.

        Args:
            blocks: events in blocks of whole users.
            entity_of_item: `(items,)`, the entity each item belongs to, -1: to none; None: every user is an entity.
            n_entities: number of entities.
            observation_end: `(users,)`, seconds until when each user was watched.
            gap_days: events of a user with an entity at most this far apart are one visit.
        """
        parts = [
            find_intervals(
                Events.watched(block, observation_end),
                entity_of_item,
                n_entities,
                observation_end,
                gap_days * SECONDS_PER_DAY,
            )
            for block in blocks
        ]
        none = np.empty(0, dtype=np.int64)
        user, entity, start, seconds = (
            np.concatenate([none, *(getattr(part, name) for part in parts)])
            for name in ("user", "entity", "start", "seconds")
        )
        returned = np.concatenate([none.astype(bool), *(part.returned for part in parts)])
        opens = np.ones(len(user), dtype=bool)
        opens[1:] = (user[1:] != user[:-1]) | (entity[1:] != entity[:-1])
        pair = np.cumsum(opens) - 1
        n_groups = count_groups(len(observation_end))
        return cls(
            pair=pair,
            group=user % n_groups,
            position=np.arange(len(user)) - np.flatnonzero(opens)[pair],
            end=(start - start.min(initial=start[0] if len(start) else 0)) / SECONDS_PER_DAY,
            length=seconds / SECONDS_PER_DAY,
            returned=returned,
            gap_days=gap_days,
            n_groups=n_groups,
            returning_users=len(np.unique(user[returned])),
        )

    @property
    def exposure(self) -> Floats:
        """Days at risk after each visit, `(V,)`."""
        return self.length - self.gap_days

    @property
    def longest_days(self) -> float:
        """Days from the first visit to the end of the observation."""
        return float((self.end + self.length).max(initial=0.0))
