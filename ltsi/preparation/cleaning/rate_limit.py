"""Users that act faster than people do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import narwhals as nw

from ltsi.events import Events, order_of
from ltsi.preparation.cleaning.settings import require_count, require_positive


@dataclass(frozen=True)
class RateLimit:
    """Drops the users with more events than people manage in some stretch of time, wherever it begins.

    Attributes:
        events: events that a user may have in less than `minutes`.
        minutes: length of the stretch.
    """

    events: int = 100
    minutes: float = 1.0
    needs_clock: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuses limits that nobody keeps."""
        require_count("clean.rate_limit.events", self.events, 1)
        require_positive("clean.rate_limit.minutes", self.minutes)

    def __call__(self, events: Events) -> Events:
        """Returns the events of the users that keep the limit."""
        # One event too many fits into the stretch where an event and the one `self.events` before it are that close.
        span = nw.col("time") - nw.col("time").shift(self.events).over("user", order_by=order_of(events))
        fastest = nw.col("_span").min().over("user")
        timed = events.with_columns(_span=span).with_columns(_fastest=fastest)
        kept = timed.filter(nw.col("_fastest").is_null() | (nw.col("_fastest") >= self.minutes * 60))
        return kept.drop("_span", "_fastest")
