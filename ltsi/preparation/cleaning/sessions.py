"""Sessions that are too short to learn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import narwhals as nw

from ltsi.events import Events, order_of
from ltsi.preparation.cleaning.settings import require_count, require_positive


@dataclass(frozen=True)
class ShortSessions:
    """Drops the sessions with too few events; a user's session ends where nothing follows for longer than a gap.

    Attributes:
        gap_minutes: a longer silence ends a session.
        least: events that a session must have.
    """

    gap_minutes: float = 30.0
    least: int = 2
    needs_clock: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuses settings that keep everything or make no sense."""
        require_positive("clean.short_sessions.gap_minutes", self.gap_minutes)
        require_count("clean.short_sessions.least", self.least, 2)

    def __call__(self, events: Events) -> Events:
        """Returns the events of the sessions that are long enough."""
        wait = nw.col("time") - nw.col("time").shift(1).over("user", order_by=order_of(events))
        started = nw.when(nw.col("_wait") > self.gap_minutes * 60).then(1).otherwise(0)
        session = nw.col("_started").cum_sum().over("user", order_by=order_of(events))
        events = events.with_columns(_wait=wait).with_columns(_started=started).with_columns(_session=session)
        return events.filter(nw.len().over("user", "_session") >= self.least).drop("_wait", "_started", "_session")
