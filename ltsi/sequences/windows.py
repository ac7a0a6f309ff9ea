"""How training events are cut into windows of bounded length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ltsi.sequences.rows import last_rows, running_counts
from ltsi.sequences.split import Split


@dataclass(frozen=True)
class Windows:
    """Windows in user order; all arrays are int64 `(windows,)`.

    Attributes:
        first: position of the first input (see `Roles`).
        end: one past the position of the last input.
        until: row of the last event that may be predicted from the window; the first is the one after its first input.
        n_targets: events that are.
    """

    first: NDArray[np.int64]
    end: NDArray[np.int64]
    until: NDArray[np.int64]
    n_targets: NDArray[np.int64]


def cut_windows(split: Split, max_length: int) -> Windows:
    """Cuts the training events of each user into windows, from the most recent end.

    Args:
        split: what to train on.
        max_length: inputs in a window.

    Returns:
        The windows with at least one target.
    """
    offsets, roles = np.asarray(split.store.offsets), split.roles
    if not roles.restricted:
        # The last training event is only a target.
        _, first, end = _tile(offsets[:-1], split.train_end - 1, max_length)
        return Windows(first, end, end, end - first)

    def asked(rows: slice) -> NDArray[np.bool_]:
        return roles.is_target(split.store.behavior[rows])

    (last_target,) = last_rows(offsets, split.train_end, asked, (1,))
    user, first, end = _tile(roles.position(offsets[:-1]), roles.position(last_target), max_length)
    # The input behind a window may be a target itself; behind a user's last window there is none that counts.
    newest = np.diff(user, prepend=-1) != 0
    until = np.where(newest, last_target[user], roles.row(np.where(newest, first, end)))
    n_targets = np.zeros(len(user), dtype=np.int64)
    for first_user, last_user, low, running in running_counts(offsets, asked):
        here = slice(*np.searchsorted(user, [first_user, last_user]))
        n_targets[here] = running[until[here] + 1 - low] - running[roles.row(first[here]) + 1 - low]
    some = n_targets > 0
    return Windows(first[some], end[some], until[some], n_targets[some])


def _tile(
    start: NDArray[np.int64], end: NDArray[np.int64], max_length: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Covers the range `start:end` of each user with pieces, the newest first: user, start and end of each piece."""
    n_pieces = np.maximum(-(-(end - start) // max_length), 0)
    user = np.repeat(np.arange(len(start)), n_pieces)
    nth = np.arange(len(user)) - np.repeat(np.cumsum(n_pieces) - n_pieces, n_pieces)
    piece_end = end[user] - nth * max_length
    return user, np.maximum(piece_end - max_length, start[user]), piece_end
