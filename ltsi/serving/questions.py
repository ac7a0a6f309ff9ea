"""What is asked: the history of each user up to a time, as batches of bounded size.

Shape suffixes: U users asked, B histories of a batch, H pairs of history and hidden item.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ltsi.histories import Histories
from ltsi.sequences.batches import cut_to_rank, to_rank
from ltsi.sequences.rows import count_per_user
from ltsi.sequences.split import Split


@dataclass(frozen=True)
class Question:
    """What next, for some users.

    Attributes:
        user_B: int64, index of each user.
        length_B: int64, inputs in each whole history, also those that the model is not shown.
        histories: what the model is shown.
        hidden_row: int64 `(H,)`, rows of items that are not recommended because the user has seen them.
        hidden_item: int64 `(H,)`, those items.
    """

    user_B: NDArray[np.int64]
    length_B: NDArray[np.int64]
    histories: Histories
    hidden_row: Tensor
    hidden_item: Tensor


class Questions:
    """Histories of users up to a time, cut and shown as `ltsi.sequences.batches.RankingBatches` does for evaluation.

    Args:
        split: has the events, and says which of them histories are made of.
        max_length: events of a history that are shown.
        hide_seen: whether items of the whole history are not recommended.
        at: histories are what happened before this time, seconds; it is the now. None: all that happened, asked one
            second after the last event of the log, or without a clock one position after each user's last event.
    """

    def __init__(self, split: Split, max_length: int, hide_seen: bool, at: int | None = None) -> None:
        self.split, self.max_length, self.hide_seen = split, max_length, hide_seen
        store = split.store
        if at is None and store.has_clock:
            ends = np.asarray(store.offsets[1:])
            at = 1 + int(store.time[ends[ends > store.offsets[:-1]] - 1].max())
        self.at = at
        self.end_row = np.asarray(store.offsets[1:])
        if at is not None:
            self.end_row = store.offsets[:-1] + count_per_user(store.offsets, lambda rows: store.time[rows] < at)

    def of(self, users: NDArray[np.int64]) -> Iterator[Question]:
        """Asks for users, those with short histories first, so that little is padding.

        Args:
            users: int64 `(U,)`, indices.
        """
        start, end = self._bounds(users)
        for index in cut_to_rank(np.minimum(end - start, self.max_length), self.split.store.n_items):
            yield self._ask(users[index])

    def _bounds(self, user_B: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Returns the position of the first input of each history, and one past that of its last."""
        roles = self.split.roles
        return roles.position(np.asarray(self.split.store.offsets[user_B])), roles.position(self.end_row[user_B])

    def _ask(self, user_B: NDArray[np.int64]) -> Question:
        store, roles = self.split.store, self.split.roles
        start_B, end_B = self._bounds(user_B)
        if self.at is not None:
            now_B = np.full(len(user_B), self.at)
        else:
            # Positions count all events of a user, also those that are neither inputs nor targets and not in the store.
            last_B = np.maximum(self.end_row[user_B], 1) - 1
            now_B = np.where(self.end_row[user_B] > store.offsets[user_B], np.asarray(store.time[last_B]) + 1, 0)
        shown = to_rank(store, start_B, end_B, now_B, self.max_length, self.hide_seen, roles, user_B)
        return Question(user_B, end_B - start_B, *shown)
