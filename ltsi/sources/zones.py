"""Wall-clock times of a zone to UTC, the same on each engine: a sum over the changes of the clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import narwhals as nw

from ltsi.sources.seconds import DAY


@dataclass(frozen=True)
class Change:
    """A change of the clock.

    Attributes:
        before: seconds since epoch, UTC, at which it happens, as a wall clock of the old offset shows it.
        shift: seconds by which the clock is put forward; negative if it is put back.
    """

    before: int
    shift: int

    @property
    def doubtful(self) -> tuple[int, int]:
        """Wall-clock seconds, from and before, that this change skips or repeats."""
        return min(self.before, self.before + self.shift), max(self.before, self.before + self.shift)


def changes(zone: ZoneInfo, first: int, last: int) -> tuple[int, list[Change]]:
    """Finds the changes of a zone's clock.

    Args:
        zone: the zone.
        first: seconds since epoch, UTC.
        last: seconds since epoch, UTC.

    Returns:
        The offset from UTC at the beginning, seconds, and the changes up to the end.
    """
    # A day more at each end: wall clocks differ from UTC by less than that.
    moment, end = first - DAY, last + DAY
    offset = start = _offset(zone, moment)
    found = []
    while moment < end:
        following = min(moment + DAY, end)
        if (new := _offset(zone, following)) != offset:
            low, high = moment, following
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (low, middle) if _offset(zone, middle) != offset else (middle, high)
            found.append(Change(high + offset, new - offset))
            offset = new
        moment = following
    return start, found


def to_utc(wall: nw.Expr, start: int, found: Sequence[Change]) -> nw.Expr:
    """Returns seconds since epoch, UTC.

    Args:
        wall: seconds since epoch that a wall clock shows.
        start: offset before the first change.
        found: the changes.
    """
    utc = wall - start
    for change in found:
        utc = utc - (wall >= change.doubtful[1]).cast(nw.Int64) * change.shift
    return utc


def is_doubtful(wall: nw.Expr, found: Sequence[Change]) -> nw.Expr:
    """Tells wall-clock times that a change of the clock skips or repeats: they have two readings."""
    spans = [(wall >= first) & (wall < end) for first, end in (change.doubtful for change in found)]
    return nw.any_horizontal(*spans, ignore_nulls=True) if spans else nw.lit(value=False)


def _offset(zone: ZoneInfo, moment: int) -> int:
    offset = datetime.fromtimestamp(moment, UTC).astimezone(zone).utcoffset()
    assert offset is not None, "a time with a zone has an offset"
    return round(offset.total_seconds())
