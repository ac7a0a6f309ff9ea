"""Times of a log, whatever way they are written, to seconds since epoch UTC.

The way is detected on the whole column and stated. A column that is written in more than one way is refused: half of it
would be read wrongly, in silence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import narwhals as nw
from narwhals.exceptions import NarwhalsError

from ltsi.errors import ConfigError, DataError
from ltsi.events import Events

UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
# Numbers since 1970 by magnitude: each unit covers 1973 to 5138, and the ranges do not overlap.
MAGNITUDES = {"too small": 10**8, "s": 10**11, "ms": 10**14, "us": 10**17, "ns": 2**63 - 1}
_DAY, _CLOCK = r"\d{4}-\d{2}-\d{2}", r"[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?"
KINDS = {
    "number": r"^-?[0-8]?\d{1,18}(\.\d*)?$",
    "date": f"^{_DAY}$",
    "date and time": f"^{_DAY}{_CLOCK}$",
    "date and time with zone": rf"^{_DAY}{_CLOCK} ?(Z|[+-]\d{{2}}:?\d{{2}})$",
}


@dataclass(frozen=True)
class TimeColumn:
    """A column of times, and what the user said about it.

    Attributes:
        name: column of the event table under construction.
        origin: file and column, for errors: "log.csv, column 'ts'".
        key: configuration prefix, for errors: "source".
        locate: names a row of the table, for errors.
        unit: s, ms, us, ns for numbers; None detects it.
        format: strptime format for text; None detects ISO 8601.
        zone: zone of times that carry none.
    """

    name: str
    origin: str
    locate: Callable[[int], str] = lambda row: f"row {row}"
    unit: str | None = None
    format: str | None = None
    zone: str = "UTC"

    def __post_init__(self) -> None:
        """Refuses settings that cannot be meant."""
        if self.unit is not None and self.unit not in UNITS:
            raise ConfigError(f"source.time_unit={self.unit} must be one of: {', '.join(UNITS)}.")
        if self.unit is not None and self.format is not None:
            raise ConfigError("source.time_unit and source.time_format exclude each other; set one of them.")
        try:
            ZoneInfo(self.zone)
        except (KeyError, ValueError, OSError) as error:
            raise ConfigError(f"source.time_zone={self.zone} is no time zone; give one like Europe/London.") from error


def parse_times(events: Events, column: TimeColumn) -> tuple[Events, str]:
    """Reads the times.

    Args:
        events: a table with the column of times (text, number, date or datetime) and `row`.
        column: the column.

    Returns:
        The table with the column as Int64 seconds since epoch UTC, and a sentence on how it was read.

    Raises:
        DataError: a time is missing or cannot be read, or the column mixes ways of writing times.
    """
    dtype = events.collect_schema()[column.name]
    missing = events.filter(nw.col(column.name).is_null()).select(nw.col("row").min()).collect().item()
    if missing is not None:
        raise DataError(f"{column.origin}: {column.locate(missing)} has no time; drop such rows with source.filters.")
    if dtype.is_numeric():
        parsed, how = _from_numbers(events, column)
    elif isinstance(dtype, (nw.Datetime, nw.Date)):
        zone = dtype.time_zone if isinstance(dtype, nw.Datetime) else None
        moments = nw.col(column.name).cast(nw.Datetime("us", zone))
        parsed, how = _from_datetimes(events, moments, column if zone is None else replace(column, zone="UTC"))
    elif dtype == nw.String:
        parsed, how = _from_text(events.with_columns(nw.col(column.name).str.strip_chars()), column)
    else:
        raise DataError(f"{column.origin} holds {dtype}, which is no time.")
    try:
        span = parsed.select(first=nw.col(column.name).min(), last=nw.col(column.name).max()).collect()
    except NarwhalsError as error:
        raise _unreadable(events, column) from error
    first, last = (datetime.fromtimestamp(span.item(0, name), UTC) for name in ("first", "last"))
    return parsed, f"{column.origin} is read as {how}, from {first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC."


def _from_text(events: Events, column: TimeColumn) -> tuple[Events, str]:
    name = column.name
    if column.format is not None:
        moments = nw.col(name).str.to_datetime(format=column.format)
        return _from_datetimes(events, moments, column, f"'{column.format}' times")
    kind = _only_kind(events, column)
    if kind == "number":
        # The fraction of a second is cut off as text, so that no time passes through a float.
        digits = nw.col(name).str.replace(r"\.\d*$", "").cast(nw.Int64)
        return _from_numbers(events.with_columns(digits.alias(name)), column)
    if kind == "date":
        return _from_datetimes(events, nw.col(name).str.to_datetime(format="%Y-%m-%d"), column, "dates")
    zoned = kind == "date and time with zone"
    plain = nw.col(name).str.slice(0, 10) + nw.lit(" ") + nw.col(name).str.slice(11, 5)
    seconds = (
        nw.when(nw.col(name).str.contains(r"^.{16}:")).then(nw.col(name).str.slice(16, 3)).otherwise(nw.lit(":00"))
    )
    moments = (plain + seconds).str.to_datetime(format="%Y-%m-%d %H:%M:%S")
    if not zoned:
        return _from_datetimes(events, moments, column, "dates and times")
    utc = moments.dt.timestamp("ms") // 1_000 - _offset_seconds(nw.col(name))
    return events.with_columns(utc.alias(name)), "dates and times with a zone"


def _only_kind(events: Events, column: TimeColumn) -> str:
    """Returns the one way in which all texts are written."""
    matches = {kind: nw.col(column.name).str.contains(pattern) for kind, pattern in KINDS.items()}
    matches["unreadable"] = ~nw.any_horizontal(*matches.values(), ignore_nulls=False)
    found = _tally(events, column, matches)
    if "unreadable" in found:
        row, value, _ = found["unreadable"]
        raise DataError(
            f"{column.origin}: the time '{value}' in {column.locate(row)} is neither a number since 1970 nor an ISO "
            "date; set source.time_format, such as '%d/%m/%Y %H:%M', or drop the row with source.filters."
        )
    return _refuse_mixture(found, column)


def _from_numbers(events: Events, column: TimeColumn) -> tuple[Events, str]:
    name = column.name
    events = events.with_columns(nw.col(name).cast(nw.Int64))
    unit = column.unit or _detect_unit(events, column)
    said = "as set by source.time_unit" if column.unit else "detected by their size"
    seconds = nw.col(name) // UNITS[unit]
    return events.with_columns(seconds.alias(name)), f"numbers in {unit} since 1970 ({said})"


def _detect_unit(events: Events, column: TimeColumn) -> str:
    size, low = nw.col(column.name).abs(), 0
    matches = {}
    for unit, high in MAGNITUDES.items():
        matches[unit] = (size >= low) & (size < high)
        low = high
    found = _tally(events, column, matches)
    unit = _refuse_mixture(found, column, of="numbers that look like ")
    if unit == "too small":
        row, value, _ = found[unit]
        raise DataError(
            f"{column.origin}: the unit of times such as {value} ({column.locate(row)}) cannot be told from their "
            "size; set source.time_unit=s (or ms, us), or source.time_format='%Y%m%d' if they are dates."
        )
    return unit


def _from_datetimes(
    events: Events, moments: nw.Expr, column: TimeColumn, how: str = "dates and times"
) -> tuple[Events, str]:
    if column.zone != "UTC":
        moments, how = moments.dt.replace_time_zone(column.zone), f"{how} in zone {column.zone}"
    seconds = moments.dt.timestamp("ms") // 1_000
    return events.with_columns(seconds.alias(column.name)), how


def _tally(events: Events, column: TimeColumn, matches: dict[str, nw.Expr]) -> dict[str, tuple[int, Any, int]]:
    """Counts the rows of each class; returns first row, its value and the count of those that occur."""
    names = {f"class{i}": name for i, name in enumerate(matches)}
    marked = events.select("row", column.name, **{alias: matches[name] for alias, name in names.items()})
    counts = marked.select(nw.col(*names).sum()).collect()
    found = {}
    for alias, name in names.items():
        if counts.item(0, alias):
            hits = marked.filter(nw.col(alias))
            first = hits.filter(nw.col("row") == nw.col("row").min()).select("row", column.name).collect()
            found[name] = (int(first.item(0, "row")), first.item(0, column.name), int(counts.item(0, alias)))
    return found


def _refuse_mixture(found: dict[str, tuple[int, Any, int]], column: TimeColumn, of: str = "") -> str:
    by_count = sorted(found, key=lambda name: found[name][2])
    if len(by_count) > 1:
        parts = [f"{found[name][2]:,} {of}{name} (first '{found[name][1]}' in {column.locate(found[name][0])})"
                 for name in by_count]  # fmt: skip
        raise DataError(
            f"{column.origin} mixes units or formats of time: {', '.join(parts)}; "
            "make them alike, or drop the odd rows with source.filters."
        )
    return by_count[0]


def _offset_seconds(text: nw.Expr) -> nw.Expr:
    digits = text.str.replace(r"Z$", "+00:00").str.replace(r":(\d\d)$", "$1").str.tail(5)
    hours, minutes = digits.str.slice(1, 2).cast(nw.Int64), digits.str.slice(3, 2).cast(nw.Int64)
    size = hours * 3_600 + minutes * 60
    return nw.when(digits.str.contains(r"^-")).then(-size).otherwise(size)


def _unreadable(events: Events, column: TimeColumn) -> DataError:
    """Finds the first time that cannot be read. Slow, but on the way to an error only."""
    rows = events.select("row", nw.col(column.name).cast(nw.String)).sort("row").collect().rows()
    wanted = f"{column.format or 'ISO 8601'} time in zone {column.zone}"
    advice = "set source.time_format or source.time_zone, or drop such rows with source.filters."
    for row, value in rows:
        if not _is_readable(value, column):
            return DataError(f"{column.origin}: the time '{value}' in {column.locate(row)} is no {wanted}; {advice}")
    return DataError(f"{column.origin} holds times that are no {wanted}; {advice}")


def _is_readable(value: str, column: TimeColumn) -> bool:
    try:
        moment = datetime.strptime(value, column.format) if column.format else datetime.fromisoformat(value)
    except ValueError:
        return False
    local = moment.replace(tzinfo=moment.tzinfo or ZoneInfo(column.zone))
    # A wall-clock time that a change of the clock skips or repeats has two readings.
    return local.utcoffset() == local.replace(fold=1).utcoffset()
