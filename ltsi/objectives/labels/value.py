"""The value of an event is the label: a rating of four and more is positive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ltsi.errors import ConfigError, DataError
from ltsi.objectives.labels.labels import EventLabeller, Labels
from ltsi.sequences.split import Split
from ltsi.store import user_blocks


@dataclass(frozen=True)
class Value(Labels):
    """An example for every target event of the split, positive from a value on.

    Attributes:
        at_least: the least positive value.
    """

    name: ClassVar[str] = "value"

    at_least: float | None = None

    def on(self, split: Split) -> ValueLabeller:
        """Looks for values; see `Labels.on`."""
        if isinstance(self.at_least, bool) or not isinstance(self.at_least, (int, float)):
            raise ConfigError(f"objective.labels.at_least={self.at_least} must be a number, such as 4.")
        store, lacking = split.store, 0
        if store.value is None:
            raise DataError(
                f"objective/labels=value needs values, and store '{store.name}' has none; prepare it with "
                "source.columns.value=COLUMN, or choose other labels."
            )
        for first, last in user_blocks(store.offsets):
            rows = slice(int(store.offsets[first]), int(store.offsets[last]))
            lacking += int((np.isnan(store.value[rows]) & split.roles.is_target(store.behavior[rows])).sum())
        if lacking:
            raise DataError(
                f"objective/labels=value: {lacking} target events of store '{store.name}' have no value; "
                "name behaviours that have one in split.target_behaviors, or clean the log (clean=missing_drop)."
            )
        return ValueLabeller(split, self.name, store.value, self.at_least)


class ValueLabeller(EventLabeller):
    """Labels by value.

    Args:
        split: has the events.
        name: name of the labels.
        value: of every event of the store.
        at_least: the least positive value.
    """

    def __init__(self, split: Split, name: str, value: NDArray[np.float32], at_least: float) -> None:
        super().__init__(split, name)
        self.value, self.at_least = value, at_least
        self.protocol = f"every target event is an example, positive from a value of {at_least:g} on"

    def label(self, row_N: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Returns which events have such a value."""
        return np.asarray(self.value[row_N] >= self.at_least)
