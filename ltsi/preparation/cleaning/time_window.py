"""Events between two dates."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import narwhals as nw

from ltsi.errors import ConfigError
from ltsi.events import Events
from ltsi.moments import parse_moment


@dataclass(frozen=True)
class TimeWindow:
    """Keeps the events from a first to a last time, both included.

    A bound is an ISO date, an ISO date and time (UTC if it says no zone), or seconds since 1970. A date alone is its
    whole day.

    Attributes:
        first: the first time that is kept; None: from the beginning.
        last: the last time that is kept; None: to the end.
    """

    first: str | int | None = None
    last: str | int | None = None
    needs_clock: ClassVar[bool] = True
    _bounds: tuple[int | None, int | None] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuses bounds that are no times, and a window that holds none."""
        first, last = _seconds("first", self.first, end=False), _seconds("last", self.last, end=True)
        if first is None and last is None:
            raise ConfigError("clean=time_window keeps everything; set clean.time_window.first or .last, a date.")
        if first is not None and last is not None and first > last:
            raise ConfigError(f"clean.time_window.first={self.first} must not come after .last={self.last}.")
        object.__setattr__(self, "_bounds", (first, last))

    def __call__(self, events: Events) -> Events:
        """Returns the events of the window."""
        first, last = self._bounds
        if first is not None:
            events = events.filter(nw.col("time") >= first)
        return events if last is None else events.filter(nw.col("time") <= last)


def _seconds(name: str, value: str | int | None, *, end: bool) -> int | None:
    """Returns a bound in seconds since epoch UTC, of a day its last second if `end`."""
    if value is None:
        return None
    return parse_moment(str(value), f"clean.time_window.{name}={value}", end_of_day=end)
