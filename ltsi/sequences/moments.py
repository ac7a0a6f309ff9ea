"""Moments that a log is cut at: dates, and shares of its events."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ltsi.errors import ConfigError
from ltsi.moments import parse_moment
from ltsi.sequences.rows import count_per_user
from ltsi.store import Store, user_blocks

BINS = 65_536


def moment(store: Store, key: str, value: float | str) -> int:
    """Returns the moment that a setting names, seconds since epoch.

    Args:
        store: its events.
        key: name of the setting, for the error.
        value: a share of the events, above 0 and below 1, or a date in ISO 8601 (UTC where it has no zone).

    Raises:
        ConfigError: it is neither.
    """
    if isinstance(value, (int, float)):
        if not 0 < value < 1:
            raise ConfigError(f"split.{key}={value} must be a share between 0 and 1, or a date in quotes.")
        return quantile(store, value)
    try:
        return parse_moment(str(value), f"split.{key}={value}")
    except ConfigError as error:
        raise ConfigError(f"split.{key}={value} is neither a share like 0.8 nor a date like 2011-09-01.") from error


def quantile(store: Store, share: float) -> int:
    """Returns the time of the event before which a share of all events lies, rounded up to an event.

    Equals `np.quantile(times, share, method="higher")`, by counting instead of sorting: each pass narrows the answer
    down to one of `BINS` equal spans.

    Args:
        store: its events, at least one.
        share: from 0 to 1.
    """
    rank = int(np.ceil(share * (store.n_events - 1)))
    blocks = [slice(store.offsets[first], store.offsets[last]) for first, last in user_blocks(store.offsets)]
    blocks = [rows for rows in blocks if rows.start < rows.stop]
    low = min(int(store.time[rows].min()) for rows in blocks)
    high = max(int(store.time[rows].max()) for rows in blocks)
    while low < high:
        width = -(-(high - low + 1) // BINS)
        count = np.zeros(BINS, dtype=np.int64)
        for rows in blocks:
            time = store.time[rows]
            inside = time[(time >= low) & (time <= high)]
            count += np.bincount((inside - low) // width, minlength=BINS)
        before = np.cumsum(count)
        index = int(np.searchsorted(before, rank, side="right"))
        rank -= int(before[index] - count[index])
        low += index * width
        high = min(high, low + width - 1)
    return low


def rows_before(store: Store, cut: int) -> NDArray[np.int64]:
    """Returns, per user, the row of the first event at or after a moment, int64 `(users,)`."""
    # Times are sorted inside a user only: that row is found by counting the ones before it.
    return np.asarray(store.offsets[:-1]) + count_per_user(store.offsets, lambda rows: store.time[rows] < cut)
