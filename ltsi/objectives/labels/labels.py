"""The contract of labels.

Shape suffixes: N events that are asked for, E examples that they make.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ltsi.errors import DataError
from ltsi.sequences.split import Split


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
        label_N = self.label(self.split.part(part).event)
        if label_N.all() or not label_N.any():
            found = "positive" if label_N.all() else "negative"
            raise DataError(
                f"objective/labels={self.name}: all {len(label_N)} examples of the {part} part of store "
                f"'{self.split.store.name}' are {found}, so there is nothing to tell apart; choose other labels, or a "
                "split with more events in a part."
            )
