"""Passes over the events of a store in bounded memory, and ranges of its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from ltsi.store import user_blocks

Marks = Callable[[slice], NDArray[np.bool_]]
"""Tells for a range of rows, which begins and ends between users, which of them count; bool `(rows,)`."""


def running_counts(offsets: NDArray[np.int64], marks: Marks) -> Iterator[tuple[int, int, int, NDArray[np.int64]]]:
    """Counts marked rows in blocks of whole users.

    Args:
        offsets: int64 `(users + 1,)`, rows of each user.
        marks: which rows count.

    Yields:
        First and one-past-last user of a block, its first row, and the number of marked rows before each of its rows
        and before its end, int64 `(rows + 1,)`.
    """
    for first, last in user_blocks(offsets):
        low, high = int(offsets[first]), int(offsets[last])
        yield first, last, low, np.concatenate([[0], np.cumsum(marks(slice(low, high)), dtype=np.int64)])


def count_per_user(offsets: NDArray[np.int64], marks: Marks) -> NDArray[np.int64]:
    """Returns how many of each user's rows are marked, int64 `(users,)`."""
    count = np.zeros(len(offsets) - 1, dtype=np.int64)
    for first, last, low, running in running_counts(offsets, marks):
        count[first:last] = np.diff(running[offsets[first : last + 1] - low])
    return count


def last_rows(
    offsets: NDArray[np.int64], end: NDArray[np.int64], marks: Marks, nth: tuple[int, ...]
) -> list[NDArray[np.int64]]:
    """Finds the n-th last marked row of each user, counted from 1.

    Args:
        offsets: int64 `(users + 1,)`, rows of each user.
        end: int64 `(users,)`, one past the last row of each user that is looked at.
        marks: which rows count.
        nth: which ones to find.

    Returns:
        For each n int64 `(users,)`; -1 for users with fewer.
    """
    found = [np.full(len(end), -1, dtype=np.int64) for _ in nth]
    for first, last, low, running in running_counts(offsets, marks):
        before, until = running[offsets[first:last] - low], running[end[first:last] - low]
        for row, n in zip(found, nth, strict=True):
            enough = until - n >= before
            # The count first exceeds `until - n` just behind the row looked for.
            row[first:last][enough] = np.searchsorted(running, until[enough] - n + 1) - 1 + low
    return found


def ragged(start: NDArray[np.int64], end: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Lists the rows of several ranges: which range each belongs to, and the row."""
    length = end - start
    which = np.repeat(np.arange(len(start)), length)
    return which, np.arange(len(which)) + np.repeat(start - (np.cumsum(length) - length), length)
