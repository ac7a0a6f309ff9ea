"""Events that show interest, by their value."""

from __future__ import annotations

from dataclasses import dataclass

import narwhals as nw

from ltsi.events import Events
from ltsi.preparation.cleaning.settings import require_finite, require_value


@dataclass(frozen=True)
class Positive:
    """Keeps events whose value reaches a threshold, such as ratings of at least 4; an event without a value does not.

    Attributes:
        least: the threshold.
    """

    least: float = 4.0

    def __post_init__(self) -> None:
        """Refuses what is no number."""
        require_finite("clean.positive.least", self.least)

    def __call__(self, events: Events) -> Events:
        """Returns the positive events."""
        require_value(events, "positive")
        return events.filter(~nw.col("value").is_null() & (nw.col("value") >= self.least))
