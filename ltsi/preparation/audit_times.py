"""Audit of times: span, resolution, precision, and dates that cannot be."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ltsi.findings import Finding
from ltsi.moments import as_date
from ltsi.preparation.audit_block import Block
from ltsi.store import EncodedEvents

DAY = 86_400
RESOLUTIONS = {"day": DAY, "hour": 3_600, "minute": 60, "second": 1}
SHORT_SPAN = 14  # days that an interest over weeks needs at least
YEAR_1900, YEAR_1975, YEAR_1990, YEAR_2100 = -25_567, 1_826, 7_305, 47_482  # days since 1970
DAYS = 400 * 365  # days that are counted one by one, from 1900 on
PAUSE = 366  # days without any event that set the events on its far side apart
STRAY = 0.01  # share of the events that can be called stray
LAST = 0.1  # share of the span that is looked at for a burst
BURST = 0.5  # share of the events there that makes one
DISTINCT = 16  # different times that a claim about their precision needs
FLOAT32_SINCE = 2**29  # seconds from which a 32-bit float is coarser than half a minute
ROUNDED = {*(2**n for n in range(6, 20)), *(10**n for n in range(3, 8))}


class Times:
    """Distribution of the times of a log."""

    def __init__(self, events: EncodedEvents, row: NDArray[np.int64], sample: NDArray[np.int64], now: int) -> None:
        """Prepares for one pass.

        Args:
            events: the log.
            row: row of each event in the file, `(events,)`.
            sample: times of events spread over the log.
            now: today, seconds since epoch UTC.
        """
        self._events, self._row, self._sample = events, row, sample
        self._tomorrow = now + DAY
        self._first, self._last = int(sample[0]), int(sample[0])
        self._divisor = -1
        self._late_steps = 0
        self._fractions = False
        self._per_day = np.zeros(DAYS, dtype=np.int64)

    def add(self, block: Block) -> None:
        """Takes note of a block."""
        self._first, self._last = min(self._first, int(block.time.min())), max(self._last, int(block.time.max()))
        if self._divisor != 1:
            own = int(np.gcd.reduce(block.time))
            self._divisor = own if self._divisor < 0 else int(np.gcd(self._divisor, own))
        # Inside a tie the order is a choice of the preparation, so it says nothing about the file.
        self._late_steps += int((block.step & ~block.unordered & (block.row[1:] < block.row[:-1])).sum())
        self._fractions |= block.fraction is not None and bool(block.fraction.any())
        self._per_day += np.bincount(_day(block.time), minlength=DAYS)

    def findings(self) -> list[Finding]:
        """Says what was found in all blocks."""
        days = (self._last - self._first) / DAY
        found = [
            Finding("info", "first_time", as_date(self._first), "UTC."),
            Finding("info", "last_time", as_date(self._last), f"UTC; the log spans {days:,.1f} days."),
            self._resolution(),
            self._order(),
        ]
        found += [*self._wrong_unit(), *self._precision(), *self._future(), *self._impossible()]
        return [*found, *self._isolated(), *self._short_span(), *self._burst()]

    def _resolution(self) -> Finding:
        if self._fractions:
            sentence = "Times have fractions of a second: used for the order, then dropped; the store keeps seconds."
            return Finding("info", "resolution", "below a second", sentence)
        unit = next(name for name, seconds in RESOLUTIONS.items() if self._divisor % seconds == 0)
        return Finding("info", "resolution", unit, f"Every time is a whole {unit}.")

    def _order(self) -> Finding:
        late = self._late_steps
        if not late:
            return Finding("info", "out_of_order", 0, "The file is sorted by time.")
        sentence = "Steps of a user that are out of order in the file; they were sorted by time."
        return Finding("warn", "out_of_order", late, sentence)

    def _wrong_unit(self) -> list[Finding]:
        advice = "set source.time_unit or source.time_format, unless the clock starts at zero on purpose."
        if self._last < YEAR_1975 * DAY:
            return [Finding("warn", "unit_of_time", as_date(self._last), f"Every event lies before 1975: {advice}")]
        if self._first >= YEAR_2100 * DAY:
            return [Finding("error", "unit_of_time", as_date(self._first), f"Every event lies after 2100: {advice}")]
        return []

    def _precision(self) -> list[Finding]:
        if len(np.unique(self._sample)) < DISTINCT or self._first < FLOAT32_SINCE or self._divisor % 60 == 0:
            return []
        advice = "read the times again from whole numbers, text or 64-bit floats."
        if self._divisor in ROUNDED:
            sentence = (
                f"Every time is a multiple of {self._divisor:,} s: it was rounded, as by a 32-bit float; {advice}"
            )
            return [Finding("error", "precision_loss", self._divisor, sentence)]
        unit = next((unit for unit, per_second in (("ms", 10**3), ("us", 10**6), ("ns", 10**9))
                     if self._is_float32(per_second)), None)  # fmt: skip
        if unit is None:
            return []
        sentence = f"Every time is a 32-bit float in {unit}, which tells times apart only by minutes; {advice}"
        return [Finding("error", "precision_loss", unit, sentence)]

    def _is_float32(self, per_second: int) -> bool:
        """Tells whether every time of the sample is the whole second of a 32-bit float in a finer unit."""
        lowest = self._sample.astype(np.float64) * per_second
        rounded = lowest.astype(np.float32)
        above = np.where(rounded < lowest, np.nextafter(rounded, np.float32(np.inf)), rounded)
        return bool((above.astype(np.float64) // per_second == self._sample).all())

    def _future(self) -> list[Finding]:
        if self._last <= self._tomorrow or self._first >= YEAR_2100 * DAY:
            return []
        future, row = _find(self._events, self._row, self._tomorrow + 1, self._last)
        sentence = (
            f"Events later than today, up to {as_date(self._last)}, the first in row {row:,}; "
            f"{_drop(last=as_date(self._tomorrow - DAY))}, or correct source.time_unit."
        )
        return [Finding("error", "future_dates", future, sentence)]

    @cached_property
    def _body(self) -> tuple[int, int]:
        """First and last time of the largest group of events without a long pause inside, after 1990 if any is."""
        days = np.flatnonzero(self._per_day)
        group = np.concatenate([[0], np.cumsum(np.diff(days) > PAUSE)])
        size = np.bincount(group, weights=self._per_day[days])
        last_day = days[np.searchsorted(group, np.arange(len(size)), side="right") - 1]
        # Missing times that became zero can be the largest group of all.
        modern = last_day >= YEAR_1990 - YEAR_1900
        largest = days[group == np.where(modern | ~modern.any(), size, 0).argmax()]
        first, last = int(largest[0]), int(largest[-1])
        return (
            max(self._first, (first + YEAR_1900) * DAY) if first else self._first,
            min(self._last, (last + YEAR_1900) * DAY + DAY - 1) if last < DAYS - 1 else self._last,
        )

    def _impossible(self) -> list[Finding]:
        """Finds events before 1990 that a long pause separates from the rest."""
        first, _ = self._body
        end = min(first, YEAR_1990 * DAY) - 1
        if self._first > end:
            return []
        count, row = _find(self._events, self._row, self._first, end)
        sentence = (
            f"Events before 1990 and long before all others (which begin {as_date(first)}), from "
            f"{as_date(self._first)} on, the first in row {row:,}; {_drop(first=as_date(first))}."
        )
        return [Finding("error", "impossible_dates", count, sentence)]

    def _isolated(self) -> list[Finding]:
        """Finds a few events that a long pause separates from the rest, and that are possible."""
        first, last = self._body
        sides = (max(self._first, YEAR_1990 * DAY), first - 1), (last + 1, min(self._last, self._tomorrow))
        found = [_find(self._events, self._row, low, high) if low <= high else (0, 0) for low, high in sides]
        count = sum(events for events, _ in found)
        if not 0 < count <= STRAY * len(self._events.time):
            return []
        row = min(row for events, row in found if events)
        edges = zip(("first", "last"), (first, last), found, strict=True)
        advice = _drop(**{name: as_date(edge) for name, edge, (events, _) in edges if events})
        sentence = (
            f"Events more than a year away from all others ({as_date(first)} to {as_date(last)}), the first in row "
            f"{row:,}; if they are a mistake {advice}."
        )
        return [Finding("warn", "isolated_dates", count, sentence)]

    def _short_span(self) -> list[Finding]:
        first, last = self._body
        days = (last - first) / DAY
        if days >= SHORT_SPAN:
            return []
        sentence = (
            f"Days that the log spans, {days:.1f}: too few for interests that fade over weeks; "
            f"half-lives of more than {days / 2:.1f} days are guesses."
        )
        return [Finding("warn", "short_span", round(days), sentence)]

    def _burst(self) -> list[Finding]:
        first, last = _day(np.array(self._body))
        body = self._per_day[first : last + 1]
        share = float(body[-max(1, round(LAST * len(body))) :].sum() / body.sum())
        if len(body) < SHORT_SPAN or share < BURST:
            return []
        sentence = f"Share of the events in the last {LAST:.0%} of the span: what lies before says little about now."
        return [Finding("warn", "burst", round(share, 6), sentence)]


def _day(time: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns days since 1900; times out of the range that is counted go to its ends."""
    return np.clip(time // DAY - YEAR_1900, 0, DAYS - 1)


def _drop(**edges: str) -> str:
    """Returns how to drop what lies before the day of `first` or after that of `last`."""
    bounds = " ".join(f"clean.time_window.{key}={edge[:-9]}" for key, edge in edges.items())
    return f"drop them with clean=time_window {bounds} or source.filters"


def _find(events: EncodedEvents, row: NDArray[np.int64], low: int, high: int) -> tuple[int, int]:
    """Counts the events from `low` to `high`, and returns the first of their rows in the file."""
    count, first, size = 0, 0, 1_000_000
    for start in range(0, len(events.time), size):
        time = events.time[start : start + size]
        hits = np.flatnonzero((time >= low) & (time <= high))
        if len(hits):
            earliest = int(row[start : start + size][hits].min())
            first = earliest if not count else min(first, earliest)
            count += len(hits)
    return count, first
