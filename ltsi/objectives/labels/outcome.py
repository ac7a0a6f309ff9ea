"""What came of it is the label: what was shown is positive if the user then acted on it.

Shape suffixes: N events that are asked for, M events of a block of users.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ltsi.errors import ConfigError, DataError
from ltsi.objectives.labels.labels import EventLabeller, Labels
from ltsi.sequences.roles import behaviors_named
from ltsi.sequences.split import Split
from ltsi.store import user_blocks

HOUR = 3_600


@dataclass(frozen=True)
class Outcome(Labels):
    """An example for every event that shows an item (`split.target_behaviors`), positive if an action on it follows.

    The action is an event of its own in the log. It counts for the showing of the item to the user right before it.

    Attributes:
        positive: behaviours that are actions; they are never asked for themselves.
        hours: an action later than this does not count; None: it does until the item is shown again.
    """

    name: ClassVar[str] = "outcome"

    positive: Sequence[str] | str = ()
    hours: float | None = None

    def on(self, split: Split) -> OutcomeLabeller:
        """Finds what followed; see `Labels.on`."""
        known, target_code = split.store.behaviors, split.roles.target_code
        positive = behaviors_named(split.store, "objective.labels.positive", self.positive)
        if not positive:
            raise ConfigError("objective.labels.positive=[] names no action; give behaviours, such as [click].")
        for name in positive:
            if not _occurs(split, known.index(name)):
                raise DataError(
                    f"objective/labels=outcome: no event of {name} is shown, so none follows anything; name it in "
                    "split.input_behaviors, or leave it out of objective.labels.positive."
                )
            if target_code is None or target_code[known.index(name)]:
                raise ConfigError(
                    f"objective.labels.positive: '{name}' is both a positive action and a target behaviour; "
                    "let split.target_behaviors name only what shows items, such as [impression]."
                )
        if self.hours is not None:
            if isinstance(self.hours, bool) or not isinstance(self.hours, (int, float)) or not self.hours > 0:
                raise ConfigError(f"objective.labels.hours={self.hours} must be a number above 0, or null.")
            split.store.require_clock("objective.labels.hours")
        return OutcomeLabeller(split, self.name, positive, self.hours)


class OutcomeLabeller(EventLabeller):
    """Labels by what followed.

    Training knows what happened in training: an action that comes after its end makes no training example positive.

    Args:
        split: has the events.
        name: name of the labels.
        positive: behaviours that are actions.
        hours: see `Outcome`.
    """

    def __init__(self, split: Split, name: str, positive: Sequence[str], hours: float | None) -> None:
        super().__init__(split, name)
        store = split.store
        action_code = np.array([one in positive for one in store.behaviors])
        self.followed = np.zeros(store.n_events, dtype=bool)
        for first, last in user_blocks(store.offsets):
            low = int(store.offsets[first])
            behavior = store.behavior[low : int(store.offsets[last])]
            row_M = low + np.flatnonzero(split.roles.is_target(behavior) | action_code[behavior])
            action_M = action_code[store.behavior[row_M]]
            user_M = np.searchsorted(store.offsets, row_M, side="right") - 1
            next_M = next_of_item(user_M, store.item[row_M])
            after_M = row_M[next_M]
            counts_M = ~action_M & (next_M >= 0) & action_M[next_M]
            counts_M &= (after_M < split.train_end[user_M]) | (row_M >= split.train_end[user_M])
            if hours is not None:
                counts_M &= store.time[after_M] - store.time[row_M] <= hours * HOUR
            self.followed[row_M[counts_M]] = True
        named = " or ".join(positive)
        within = "until the item was shown again" if hours is None else f"within {hours:g} hours"
        self.protocol = f"every target event is an example, positive if {named} followed {within}"

    def label(self, row_N: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Returns which events an action followed."""
        return np.asarray(self.followed[row_N])


def _occurs(split: Split, code: int) -> bool:
    """Returns whether a behaviour is left in the log as the split shows it."""
    store = split.store
    blocks = (slice(*store.offsets[[first, last]]) for first, last in user_blocks(store.offsets))
    return any((store.behavior[rows] == code).any() for rows in blocks)


def next_of_item(user_M: NDArray[np.int64], item_M: NDArray[np.integer]) -> NDArray[np.int64]:
    """Returns the place of the next event of the same user with the same item, int64 `(M,)`; -1 where there is none.

    Args:
        user_M: user of each event, in the order in which they happened.
        item_M: its item.
    """
    order = np.lexsort((item_M, user_M))
    same = (np.diff(user_M[order]) == 0) & (np.diff(item_M[order]) == 0)
    next_M = np.full(len(order), -1, dtype=np.int64)
    next_M[order[:-1][same]] = order[1:][same]
    return next_M
