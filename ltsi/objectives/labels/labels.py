"""The contract of labels.

Shape suffixes: N events that are asked for, E examples that they make.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ltsi.errors import DataError
from ltsi.sequences.rows import ragged
from ltsi.sequences.split import Split
from ltsi.store import user_blocks

TRAIN = "train"
"""What is learned from, beside the parts that are judged."""


@dataclass(frozen=True)
class Labelled:
    """Examples.

    Attributes:
        event_E: int64, place of each example's event among those asked for.
        nth_E: int64, which of the event's examples it is, from 0.
        item_E: int64, the item in question.
        label_E: bool, whether it is positive.
    """

    event_E: NDArray[np.int64]
    nth_E: NDArray[np.int64]
    item_E: NDArray[np.int64]
    label_E: NDArray[np.bool_]


class Labeller(ABC):
    """Labels on a split.

    Attributes:
        per_event: examples that an event makes, at most.
        protocol: what is positive and what is negative, for people.
        passes_over_taken: whether no item that the user has taken is ever negative.
    """

    passes_over_taken: ClassVar[bool] = False
    per_event: int = 1
    protocol: str

    @abstractmethod
    def examples(self, user_N: NDArray[np.int64], row_N: NDArray[np.int64], seed: int) -> Labelled:
        """Makes examples of events; the same ones whichever events are asked for together.

        Args:
            user_N: int64, user of each event.
            row_N: int64, its row in the store.
            seed: fixes what is drawn.
        """

    @abstractmethod
    def require_both(self, part: str) -> None:
        """Refuses a part of the split in which there is only one class.

        Args:
            part: `valid`, `test`, or `train`: what is learned from.

        Raises:
            DataError: there is.
        """


class Labels(ABC):
    """What a configuration chooses."""

    name: ClassVar[str]

    @abstractmethod
    def on(self, split: Split) -> Labeller:
        """Puts the labels on a split.

        Raises:
            ConfigError: a setting does not fit the log.
            DataError: the log has not what the labels are read off.
        """


class EventLabeller(Labeller):
    """Labels that an event carries itself: every event that is asked for is one example.

    Args:
        split: has the events.
        name: name of the labels, for errors.
    """

    def __init__(self, split: Split, name: str) -> None:
        self.split, self.name = split, name

    @abstractmethod
    def label(self, row_N: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Returns which events are positive, bool `(N,)`."""

    def examples(self, user_N: NDArray[np.int64], row_N: NDArray[np.int64], seed: int) -> Labelled:  # noqa: ARG002
        """Makes one example of each event; see `Labeller.examples`."""
        place = np.arange(len(row_N))
        item = self.split.store.item[row_N].astype(np.int64)
        return Labelled(place, np.zeros_like(place), item, self.label(row_N))

    def require_both(self, part: str) -> None:
        """Looks at the part's labels; see `Labeller.require_both`."""
        found = set(self._learned() if part == TRAIN else np.unique(self.label(self.split.part(part).event)).tolist())
        if found == {False, True}:
            return
        only, name = "positive" if True in found else "negative", "training" if part == TRAIN else part
        raise DataError(
            f"objective/labels={self.name}: all examples of the {name} part of store '{self.split.store.name}' are "
            f"{only}, so there is nothing to tell apart; choose other labels, or another split, in which each part has "
            "both."
        )

    def _learned(self) -> Iterator[bool]:
        """Looks for both classes among the training events that have an input before them, as far as it takes."""
        store, roles = self.split.store, self.split.roles
        for first, last in user_blocks(store.offsets):
            start, end = store.offsets[first:last], self.split.train_end[first:last]
            user, row = ragged(start, end)
            asked = roles.is_target(store.behavior[row]) & (roles.position(row) > roles.position(start)[user])
            yield from np.unique(self.label(row[asked])).tolist()
