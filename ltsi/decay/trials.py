"""Exposure in trials: a user who was not there could not have come back.

In days, every day at risk is exposure, whether the user was there or not, and the hazard holds the rhythm of the user's
visits to the shop together with the interest in the entity. Counted in active days or in events, only the moments at
which the user was active are exposure: the hazard is then the chance that such a moment is a return, given the days
since the last visit, and shops, holidays and lost customers drop out of it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ltsi.decay.forms import Floats
from ltsi.decay.intervals import Events, Intervals

DAYS, ACTIVE_DAYS, EVENTS = "days", "active_days", "events"
UNITS = {DAYS: "day", ACTIVE_DAYS: "active day", EVENTS: "event"}
EXPOSURES = (DAYS, ACTIVE_DAYS, EVENTS)
SECONDS_PER_DAY = 86_400

_INTERVALS_AT_ONCE = 50_000


def count_trials(
    found: Intervals, events: Events, edges: Floats, exposure: str
) -> Iterator[tuple[Floats, NDArray[np.int64], NDArray[np.int64]]]:
    """Counts the trials of every interval in every age bin.

    The trial that was a return counts at the age of the return. Of the other active days, each counts once, at the age
    of its first event; an event at the very moment of the return is no trial of its own.

    Args:
        found: intervals of users at risk.
        events: everything the same users did.
        edges: edges of the age bins in days.
        exposure: ACTIVE_DAYS or EVENTS.

    Yields:
        Counts, their users and their columns (entity · bins + bin), in parts of bounded size.
    """
    n_bins = len(edges) - 1
    user, time = _moments(events, exposure)
    if not len(found.user) or not len(user):
        return
    origin = int(min(time.min(), found.start.min()))
    span = int(max(time.max(), (found.start + found.seconds).max())) - origin + SECONDS_PER_DAY + 1
    keys = user * span + (time - origin)
    for first in range(0, len(found.user), _INTERVALS_AT_ONCE):
        rows = slice(first, first + _INTERVALS_AT_ONCE)
        base, start, came = found.user[rows] * span, found.start[rows], found.returned[rows]
        end = start + found.seconds[rows]
        limit = end // SECONDS_PER_DAY * SECONDS_PER_DAY if exposure == ACTIVE_DAYS else end
        # Up to the return's own day or moment, or up to and with the end of the observation.
        stop = np.where(
            came,
            np.searchsorted(keys, base + np.maximum(limit - origin, 0), side="left"),
            np.searchsorted(keys, base + (end - origin), side="right"),
        )
        seconds = np.minimum(np.floor(edges * SECONDS_PER_DAY).astype(np.int64), span)
        reach = np.minimum(start[:, None] + seconds - origin, span - 1)
        before = np.searchsorted(keys, base[:, None] + reach, side="right")
        counts = np.diff(np.minimum(before, stop[:, None]), axis=1)
        row, age_bin = np.nonzero(counts)
        column = found.entity[rows][row] * n_bins + age_bin
        yield counts[row, age_bin].astype(np.float64), found.user[rows][row], column


def _moments(events: Events, exposure: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns user and time of every moment at which a user could have returned, sorted by (user, time)."""
    if exposure == EVENTS:
        return events.user, events.time
    day = events.time // SECONDS_PER_DAY
    opens = np.ones(len(day), dtype=bool)
    opens[1:] = (events.user[1:] != events.user[:-1]) | (day[1:] != day[:-1])
    return events.user[opens], events.time[opens]
