"""Times of a log, whatever way they are written, to seconds since epoch UTC.

The way is guessed from the first times, checked on the whole column, and stated. A column that is written in more than
one way is refused: half of it would be read wrongly, in silence. The checks are aggregates, so that a source can ask
them together with its own questions in one pass over the log; the search for the first bad row is on the way to an
error only.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import narwhals as nw

from ltsi.errors import ConfigError, DataError
from ltsi.events import Events, how_many
from ltsi.findings import Finding
from ltsi.moments import as_date
from ltsi.sources.columns import ask
from ltsi.sources.seconds import DAY, cut_fraction, epoch_seconds, nanoseconds, split_numbers, text_fractions
from ltsi.sources.time_errors import refuse_numbers, refuse_texts, unreadable
from ltsi.sources.time_formats import CLOCK_DIRECTIVES, INTEGERS, KINDS, UNITS, completed_format, unit_of
from ltsi.sources.zones import changes, is_doubtful, to_utc

DAY_UNITS = {"day": 0, "excel": 25_569}
"""Units of days, by the number that 1970-01-01 has. Spreadsheets count from 1899-12-30."""

FIRST, LAST = -30_610_224_000, 253_370_764_800  # the years 1000 to 9998: beyond, calendars and libraries end
MINUTE = 60
SAMPLE_ROWS = 200
WITH_FRACTIONS = ", fractions of a second used for the order, then dropped"
# Names of what is computed from a column of times.
SECONDS, RAW, FRACTION = "time:seconds", "time:raw", "time:fraction"
ROUNDED_ROWS = 20  # fewer times may lie on a coarse grid by chance


@dataclass(frozen=True)
class TimeColumn:
    """A column of times, and what the user said about it.

    Attributes:
        name: column of the event table under construction.
        origin: file and column, for errors: "log.csv, column 'ts'".
        locate: names a row of the table, for errors.
        unit: s, ms, us, ns, day or excel for numbers; None detects s, ms, us and ns.
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
        check_time_settings(self.unit, self.format, self.zone)


def check_time_settings(unit: str | None, written: str | None, zone: str) -> None:
    """Refuses settings of times that cannot be meant.

    Args:
        unit: of numbers.
        written: strptime format.
        zone: of times that carry none.

    Raises:
        ConfigError: there is no such unit, format or zone.
    """
    if unit is not None and unit not in {*UNITS, *DAY_UNITS}:
        raise ConfigError(f"source.time_unit={unit} must be one of: {', '.join([*UNITS, *DAY_UNITS])}.")
    if unit is not None and written is not None:
        raise ConfigError("source.time_unit and source.time_format exclude each other; set one of them.")
    if written is not None:
        moment = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)
        try:
            datetime.strptime(moment.strftime(written), written)
        except ValueError as error:
            raise ConfigError(f"source.time_format='{written}' is not a strptime format ({error}).") from error
        if "%" not in written:
            raise ConfigError(f"source.time_format='{written}' names no part of a time; set one like '%d/%m/%Y %H:%M'.")
        if "%Z" in re.findall("%.", written):
            raise ConfigError(
                f"source.time_format='{written}': names of zones (%Z) are not read, as one name is several zones; "
                "write offsets and use %z, or write the one name as it stands and set source.time_zone."
            )
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError) as error:
        raise ConfigError(f"source.time_zone={zone} is not a time zone; give one such as Europe/London.") from error


def parse_times(events: Events, column: TimeColumn) -> tuple[Events, str, list[Finding]]:
    """Reads the times.

    Args:
        events: a table with the column of times (text, number, date or datetime) and `row`.
        column: the column.

    Returns:
        The table with the column as Int64 seconds since epoch UTC, with `fraction` if times have fractions of a second,
        a sentence on how it was read, and what is wrong with times that can be read.

    Raises:
        DataError: a time is missing or cannot be read, or the column mixes ways of writing times.
    """
    way = TimeWay.guess(events, column)
    asked = {"missing": how_many(nw.col(column.name).is_null()), **way.questions()}
    answers = ask(events, asked, way.computed())
    if answers["missing"]:
        row = events.filter(nw.col(column.name).is_null()).select(nw.col("row").min()).collect().item()
        raise DataError(f"{column.origin}: {column.locate(row)} has no time; drop such rows with source.filters.")
    return way.read(events, answers)


@dataclass(frozen=True)
class TimeWay:
    """A way to read a column of times, guessed from its first rows.

    Attributes:
        column: the column.
        how: the way in words.
        seconds: Int64, wall-clock seconds since epoch; null where a time is not written in this way.
        fraction: Int64, nanoseconds beside the seconds; None if the way has no finer times than seconds.
        raw: Float64, numbers in their own unit; None if times are no numbers.
        unit: unit of the numbers.
        local: whether the wall clock is that of `column.zone`; if not, it is UTC.
        fallible: whether computing `seconds` may fail, as a format of the user's can.
        single: whether numbers are stored in 32 bits.
        days: whether times are days; one begins at its first moment, also where the clocks skip or repeat midnight.
    """

    column: TimeColumn
    how: str
    seconds: nw.Expr = field(repr=False)
    fraction: nw.Expr | None = field(default=None, repr=False)
    raw: nw.Expr | None = field(default=None, repr=False)
    unit: str = "s"
    local: bool = True
    fallible: bool = False
    single: bool = False
    days: bool = False

    @classmethod
    def guess(cls, events: Events, column: TimeColumn) -> TimeWay:
        """Guesses the way from the type of the column and its first times.

        Raises:
            DataError: the column holds no times.
        """
        dtype = events.collect_schema()[column.name]
        text = nw.col(column.name)
        if column.format is not None and dtype.is_float():
            whole = (text == text.floor()) & (text.abs() < INTEGERS)
            return _by_format(events, column, nw.when(whole).then(text).cast(nw.Int64).cast(nw.String))
        if column.format is not None and (dtype == nw.String or dtype.is_integer()):
            return _by_format(events, column, text.cast(nw.String))
        if dtype.is_numeric():
            return _numbers(events, column, dtype)
        if dtype == nw.String:
            return _texts(events, column)
        if isinstance(dtype, (nw.Datetime, nw.Date)):
            zone = dtype.time_zone if isinstance(dtype, nw.Datetime) else None
            moments = text.cast(nw.Datetime("us", zone))
            return cls(
                column,
                "dates and times",
                epoch_seconds(moments, events),
                nanoseconds(text) if isinstance(dtype, nw.Datetime) else None,
                local=zone is None,
                fallible=True,
                days=dtype == nw.Date,
            )
        raise DataError(f"{column.origin} holds {dtype}, which is not a time; set source.columns.time=COLUMN.")

    def computed(self) -> dict[str, nw.Expr]:
        """Returns what the questions are about, by name, so that it is computed once for all of them."""
        if self.fallible:
            return {}
        found = {SECONDS: self.seconds, FRACTION: self.fraction, RAW: self.raw}
        return {name: expression for name, expression in found.items() if expression is not None}

    def questions(self) -> dict[str, nw.Expr]:
        """Returns what to ask of the whole column and of what is computed from it: aggregates by name."""
        if self.fallible:
            return {}
        seconds, raw = nw.col(SECONDS), nw.col(RAW)
        asked = {
            "time_wrong": how_many(seconds.is_null() & ~nw.col(self.column.name).is_null()),
            "time_first": seconds.min(),
            "time_last": seconds.max(),
        }
        if self.fraction is not None:
            asked["time_fractions"] = how_many(nw.col(FRACTION) != 0)
        if self.raw is not None:
            # Sizes without a sign, as floats: the smallest integer has no positive counterpart.
            asked |= {"time_low": raw.abs().min(), "time_high": raw.abs().max(), "time_rows": nw.len()}
            if self.unit in UNITS:
                asked |= {f"time_off_{grid}": how_many(raw % grid != 0) for grid in self._grids()}
                asked["time_off_minutes"] = how_many(raw % (MINUTE * UNITS[self.unit]) != 0)
        return asked

    def read(self, events: Events, answers: Mapping[str, Any]) -> tuple[Events, str, list[Finding]]:
        """Reads the column, given the answers.

        Raises:
            DataError: a time cannot be read, or the column mixes ways of writing times.
        """
        column = self.column
        if self.fallible:
            answers = self._try(events)
        self._refuse(events, answers)
        seconds, how = self.seconds, self.how
        if self.local and column.zone != "UTC":
            start, found = changes(ZoneInfo(column.zone), answers["time_first"], answers["time_last"])
            doubtful = [change for change in found if not self.days or abs(change.shift) >= DAY]
            odd = is_doubtful(seconds, doubtful)
            if doubtful and ask(events, {"odd": how_many(odd)})["odd"]:
                row = events.filter(odd).select(nw.col("row").min()).collect().item()
                raise unreadable(events, column, row, "the clocks skip or repeat it")
            seconds, how = to_utc(seconds, start, found), f"{how} in zone {column.zone}"
        read = [seconds.alias(column.name)]
        if self.fraction is not None and answers["time_fractions"]:
            read.append(self.fraction.alias("fraction"))
            how += WITH_FRACTIONS
        parsed = events.with_columns(*read)
        first, last = (as_date(answers[name]) for name in ("time_first", "time_last"))
        zone = "UTC" if not self.local or column.zone == "UTC" else "on its clocks"
        note = f"{column.origin} is read as {how}, from {first} to {last} {zone}."
        return parsed, note, self._precision(answers)

    def _try(self, events: Events) -> Mapping[str, Any]:
        try:
            span = {"time_first": self.seconds.min(), "time_last": self.seconds.max()}
            wrong = how_many(self.seconds.is_null() & ~nw.col(self.column.name).is_null())
            finer = {} if self.fraction is None else {"time_fractions": how_many(self.fraction != 0)}
            answers = ask(events, {"time_wrong": wrong, **span, **finer})
        except Exception as error:  # each engine raises what it likes on a text that does not fit
            raise unreadable(events, self.column) from error
        if answers["time_wrong"]:
            raise unreadable(events, self.column)
        return answers

    def _refuse(self, events: Events, answers: Mapping[str, Any]) -> None:
        """Refuses a column that is not written in this way throughout."""
        column = self.column
        if answers["time_wrong"]:
            refuse_texts(events, column)
        if self.raw is not None and column.unit is None:
            low, high = answers["time_low"], answers["time_high"]
            units = {unit_of(low), unit_of(high)}
            if len(units) > 1 or units - set(UNITS) or looks_like_dates(low, high):
                refuse_numbers(events, column, self.raw, low, high)
        elif answers["time_wrong"]:
            raise unreadable(events, column)
        if answers["time_first"] < FIRST or answers["time_last"] > LAST:
            beyond = events.filter((self.seconds < FIRST) | (self.seconds > LAST))
            row = beyond.select(nw.col("row").min()).collect().item()
            raise unreadable(events, column, row, "it lies outside the years 1000 to 9998")

    def _grids(self) -> tuple[int, int]:
        """Returns the grids, in the unit, onto which 32-bit floats round times until and from 2004, about."""
        finer = 2 ** {"s": 6, "ms": 16, "us": 26, "ns": 36}[self.unit]
        return finer, 2 * finer

    def _precision(self, answers: Mapping[str, Any]) -> list[Finding]:
        """Finds times that 32-bit floats have rounded: their order is lost in part."""
        if self.raw is None or self.unit not in UNITS:
            return []
        origin = self.column.origin
        if self.single and (spacing := _spacing(answers["time_high"])) >= UNITS[self.unit]:
            seconds = self._seconds(spacing)
            told = f"{origin} is stored in 32 bits, which rounds times to {seconds}; store it as integers."
            return [Finding("error", "precision_loss", seconds, told)]
        finer, coarser = self._grids()
        # Later times would lie on a coarser grid, so all of them lie on that of the earliest.
        grid = coarser if _spacing(answers["time_low"]) >= coarser else finer
        if answers["time_rows"] < ROUNDED_ROWS or answers["time_low"] == answers["time_high"]:
            return []
        # Whole minutes, hours or days may lie on such a grid, too.
        if answers[f"time_off_{grid}"] or not answers["time_off_minutes"]:
            return []
        seconds = self._seconds(grid)
        told = f"{origin}: all times lie on a grid of {seconds}, as if 32-bit floats had rounded them."
        return [Finding("warn", "precision_loss", seconds, told)]

    def _seconds(self, spacing: float) -> str:
        return f"{spacing / UNITS[self.unit]:g} s"


def _spacing(size: float) -> float:
    """Returns how far apart 32-bit floats of a size are."""
    return 2.0 ** (math.floor(math.log2(max(size, 1))) - 23)


def looks_like_dates(low: float, high: float) -> bool:
    """Tells whether numbers may be written YYYYMMDDHHMM or YYYYMMDDHHMMSS."""
    return any(190001 * scale <= low and high < 210000 * scale for scale in (10**6, 10**8))


def _by_format(events: Events, column: TimeColumn, text: nw.Expr) -> TimeWay:
    assert column.format is not None
    written, suffix = completed_format(column.format)
    text, written, fraction = cut_fraction(text.str.strip_chars(), written)
    if "." not in written:
        text = text.str.replace_all(r"\.0$", "")  # whole numbers written as decimals
    elif events.implementation.is_polars():
        written = written.replace(".%f", "%.f")  # without the point, Polars takes digits for nanoseconds
    moments = (nw.concat_str(text, nw.lit(suffix)) if suffix else text).str.to_datetime(format=written)
    if fraction is None and "%f" in column.format:
        fraction = nanoseconds(moments)
    days = not set(re.findall(r"%-?([A-Za-z])", column.format)) & CLOCK_DIRECTIVES
    how, local = f"'{column.format}' times", "%z" not in written
    seconds = epoch_seconds(moments, events)
    return TimeWay(column, how, seconds, fraction, local=local, fallible=True, days=days)


def _sample(events: Events, column: TimeColumn) -> list[Any]:
    known = events.select(column.name).filter(~nw.col(column.name).is_null())
    return list(known.head(SAMPLE_ROWS).collect()[column.name].to_list())


def _numbers(events: Events, column: TimeColumn, dtype: nw.dtypes.DType) -> TimeWay:
    number = nw.col(column.name)
    sizes = [abs(float(value)) for value in _sample(events, column)]
    exact = None if dtype.is_float() or dtype.is_decimal() else number
    return replace(_numeric(column, number.cast(nw.Float64), exact, sizes), single=dtype == nw.Float32)


def _numeric(
    column: TimeColumn, raw: nw.Expr, exact: nw.Expr | None, sizes: list[float], digits: nw.Expr | None = None
) -> TimeWay:
    """Returns the way to read numbers.

    Args:
        column: the column.
        raw: the numbers as Float64.
        exact: the numbers as integers, where they are; floats round large ones.
        sizes: some numbers without their sign.
        digits: Int64, what text has behind the point, in billionths.
    """
    found = max(map(unit_of, sizes), key=list(map(unit_of, sizes)).count, default="s")
    unit = column.unit or found
    said = "as set by source.time_unit" if column.unit else "detected by their size"
    if unit in DAY_UNITS:
        since = "1970" if unit == "day" else "1899-12-30, as spreadsheets do,"
        days = nw.when(raw.abs() < LAST).then(raw - DAY_UNITS[unit])
        # To the nearest second: the fraction of a day is no round number.
        rounded = (days * DAY + 0.5).floor().cast(nw.Int64)
        return TimeWay(column, f"numbers of days since {since} ({said})", rounded, raw=raw, unit=unit)
    whole = raw.floor() if exact is None else exact
    inside: nw.Expr = nw.when(raw.abs() < INTEGERS).then(whole).cast(nw.Int64)
    seconds, fraction = split_numbers(inside, UNITS.get(unit, 1), raw if exact is None else None, digits)
    how = f"numbers in {unit} since 1970 ({said})"
    return TimeWay(column, how, seconds, fraction, raw=raw, unit=unit, local=False)


def _texts(events: Events, column: TimeColumn) -> TimeWay:
    text = nw.col(column.name).str.strip_chars()
    sample = [value.strip() for value in _sample(events, column)]
    matching = {kind: sum(bool(re.search(pattern, value)) for value in sample) for kind, pattern in KINDS.items()}
    kind = max(matching, key=lambda name: matching[name])
    written = nw.when(text.str.contains(KINDS[kind])).then(text)
    if kind == "number":
        sizes = [abs(float(value)) for value in sample if re.search(KINDS[kind], value)]
        if column.unit in DAY_UNITS:
            return _numeric(column, written.cast(nw.Float64), None, sizes)
        # The fraction is cut off as text, so that no time passes through a float.
        exact = written.str.replace_all(r"\.[0-9]*$", "").cast(nw.Int64)
        digits = text_fractions(written.str.replace_all(r"^[^.]*\.?", ""))
        signed = digits * (1 - 2 * written.str.starts_with("-").cast(nw.Int64))
        return _numeric(column, exact.cast(nw.Float64), exact, sizes, signed)
    if kind == "date":
        return TimeWay(column, "dates", epoch_seconds(written.str.to_datetime(format="%Y-%m-%d"), events), days=True)
    minutes, zoned = "to the minute" in kind, "with zone" in kind
    wall = written.str.slice(0, 16 if minutes else 19).str.replace_all("T", " ", literal=True)
    seconds = epoch_seconds(wall.str.to_datetime(format="%Y-%m-%d %H:%M" if minutes else "%Y-%m-%d %H:%M:%S"), events)
    # Behind the seconds: a point or a comma and digits, if any, and a zone.
    behind = written.str.slice(19).str.replace_all(r" ?[Z+-].*$", "").str.replace_all(r"^[.,]", "")
    fraction = None if minutes else text_fractions(behind)
    if not zoned:
        return TimeWay(column, "dates and times", seconds, fraction)
    return TimeWay(column, "dates and times with a zone", seconds - _offset_seconds(written), fraction, local=False)


def _offset_seconds(text: nw.Expr) -> nw.Expr:
    digits = text.str.replace_all("Z", "+0000", literal=True).str.replace_all(":", "", literal=True).str.tail(5)
    hours, minutes = digits.str.slice(1, 2).cast(nw.Int64), digits.str.slice(3, 2).cast(nw.Int64)
    size = hours * 3_600 + minutes * 60
    return nw.when(digits.str.contains(r"^-")).then(-size).otherwise(size)
