"""Why a column of times cannot be read: the first row that is to blame, and what to set. Slow, but only in an error."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol

import narwhals as nw

from ltsi.errors import DataError
from ltsi.events import Events, how_many
from ltsi.sources.columns import shown
from ltsi.sources.time_formats import KINDS, MAGNITUDES, fitting_formats

SAMPLE_ROWS = 1_000
BLOCK_ROWS = 100_000
ADVICE = "set source.time_unit=s (or ms, us, ns, day), or source.time_format='%Y%m%d' if they are dates"


class Column(Protocol):
    """What is to be known of a column of times; see `TimeColumn`."""

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def origin(self) -> str: ...  # noqa: D102

    @property
    def locate(self) -> Callable[[int], str]: ...  # noqa: D102

    @property
    def format(self) -> str | None: ...  # noqa: D102

    @property
    def zone(self) -> str: ...  # noqa: D102


def refuse_texts(events: Events, column: Column) -> None:
    """Refuses a column of text if a text is no time, or texts are written in more than one way.

    Raises:
        DataError: it is so.
    """
    if events.collect_schema()[column.name] != nw.String:
        return
    text = nw.col(column.name).str.strip_chars()
    matches = {kind: text.str.contains(pattern) for kind, pattern in KINDS.items()}
    matches["unreadable"] = ~nw.any_horizontal(*matches.values(), ignore_nulls=False)
    found = _tally(events, column, matches)
    if "unreadable" in found:
        row, value, _ = found["unreadable"]
        formats = fitting_formats([value.strip(), *_fitting_sample(events, column, fitting_formats([value.strip()]))])
        raise DataError(
            f"{column.origin}: the time '{shown(value)}' in {column.locate(row)} is neither an ISO 8601 time nor a "
            f"number since 1970; {_advice(formats)}, or drop the row with source.filters."
        )
    _refuse_mixture(found, column)


def refuse_numbers(events: Events, column: Column, raw: nw.Expr, low: float, high: float) -> None:
    """Refuses a column of numbers that have no unit, or more than one.

    Args:
        events: the table.
        column: the column.
        raw: the numbers, Float64.
        low: the smallest without its sign.
        high: the largest without its sign.

    Raises:
        DataError: it is so; numbers that only may be dates pass.
    """
    dates = _written_as(events, raw, low, high)
    first = events.filter(nw.col("row") == nw.col("row").min()).select("row", column.name).collect()
    row, value = int(first.item(0, "row")), first.item(0, column.name)
    if dates is not None:
        raise DataError(f"{column.origin}: times such as {value} ({column.locate(row)}) look like {dates}.")
    bounds, floor = {}, 0.0
    for unit, ceiling in MAGNITUDES.items():
        bounds[unit] = (raw.abs() >= floor) & (raw.abs() < ceiling)
        floor = ceiling
    found = _tally(events, column, bounds)
    unit = _refuse_mixture(found, column, _of_size)
    if unit.startswith("too"):
        row, value, _ = found[unit]
        raise DataError(
            f"{column.origin}: the unit of times such as {value} ({column.locate(row)}) cannot be told from their "
            f"size; {ADVICE}."
        )


def unreadable(events: Events, column: Column, row: int | None = None, reason: str = "") -> DataError:
    """Returns the error for a time that is not what it should be.

    Args:
        events: the table.
        column: the column.
        row: the row; None finds the first that the format does not fit.
        reason: what is wrong with it.
    """
    wanted = f"{f'a {column.format}' if column.format else 'an ISO 8601'} time in zone {column.zone}"
    advice = "set source.time_format, source.time_unit or source.time_zone, or drop such rows with source.filters."
    rows = events.select("row", column.name)
    row = _first_misfit(rows, column) if row is None else row
    if row is None:
        return DataError(f"{column.origin} holds a value that is not {wanted}; {advice}")
    value = rows.filter(nw.col("row") == row).collect().item(0, column.name)
    told = f": {reason}" if reason else ""
    return DataError(
        f"{column.origin}: the time '{shown(value)}' in {column.locate(row)} is not {wanted}{told}; {advice}"
    )


def _first_misfit(rows: Events, column: Column) -> int | None:
    """Returns the first row that the format does not fit: block after block, as the log may be larger than memory."""
    place = nw.col("row")
    for start in range(0, int(rows.select(place.max()).collect().item()), BLOCK_ROWS):
        block = rows.filter((place > start) & (place <= start + BLOCK_ROWS)).sort("row").collect()
        for row, value in block.rows():
            if not _fits(str(value).strip(), column.format):
                return int(row)
    return None


def _fits(text: str, written: str | None) -> bool:
    try:
        if written is None:
            datetime.fromisoformat(text)
        else:
            datetime.strptime(text if "." in written else text.removesuffix(".0"), written)
    except ValueError:
        return False
    return True


def _fitting_sample(events: Events, column: Column, formats: list[str]) -> list[str]:
    """Returns some texts of the column that one of the formats fits: a 31st tells days from months."""
    texts = events.select(column.name).head(SAMPLE_ROWS).collect()[column.name].to_list()
    return [text.strip() for text in texts if text and any(_fits(text.strip(), each) for each in formats)]


def _advice(formats: list[str]) -> str:
    if not formats:
        return "set source.time_format, such as '%d/%m/%Y %H:%M'"
    which = " or ".join(f"'{each}'" for each in formats[:2])
    return f"set source.time_format={which}{', whichever is meant' if len(formats) > 1 else ''}"


def _written_as(events: Events, raw: nw.Expr, low: float, high: float) -> str | None:
    """Returns what kind of dates all numbers seem to be, and what to do about it."""
    ways = {
        "dates written YYYYMMDD; set source.time_format='%Y%m%d'": (19000101, 21001231, 1),
        "dates written YYYYMMDDHHMM; set source.time_format='%Y%m%d%H%M'": (190001010000, 210012312359, 10**4),
        "dates written YYYYMMDDHHMMSS; set source.time_format='%Y%m%d%H%M%S'": (
            19000101000000, 21001231235959, 10**6,
        ),
        "months and days without a year (MMDD); write the year before them and set source.time_format='%Y%m%d'": (
            101, 1231, 1,
        ),
    }  # fmt: skip
    for told, (least, most, scale) in ways.items():
        if least <= low and high <= most and _all_dates(events, (raw / scale).floor()):
            return told
    if low >= 1900 and high <= 2100:
        return "years; set source.time_format='%Y'"
    if low >= 9_000 and high <= 25_000:
        return "days since 1970; set source.time_unit=day"
    if low >= 30_000 and high <= 60_000:
        return "days as spreadsheets count them; set source.time_unit=excel"
    return None


def _all_dates(events: Events, number: nw.Expr) -> bool:
    month, day = (number / 100).floor() % 100, number % 100
    valid = (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
    return not events.select(wrong=how_many(~valid)).collect().item()


def _tally(events: Events, column: Column, matches: dict[str, nw.Expr]) -> dict[str, tuple[int, Any, int]]:
    """Counts the rows of each class; returns first row, its value and the count of those that occur."""
    names = {f"class{i}": name for i, name in enumerate(matches)}
    marked = events.select("row", column.name, **{alias: matches[name] for alias, name in names.items()})
    counts = marked.select(**{name: how_many(nw.col(name)) for name in names}).collect()
    found = {}
    for alias, name in names.items():
        if counts.item(0, alias):
            hits = marked.filter(nw.col(alias))
            first = hits.filter(nw.col("row") == nw.col("row").min()).select("row", column.name).collect()
            found[name] = (int(first.item(0, "row")), first.item(0, column.name), int(counts.item(0, alias)))
    return found


def _of_kind(count: int, kind: str) -> str:
    return f"{count:,} {kind}"


def _of_size(count: int, size: str) -> str:
    look = size if size.startswith("too") else f"like {size}"
    return f"1 number that looks {look}" if count == 1 else f"{count:,} numbers that look {look}"


def _refuse_mixture(
    found: dict[str, tuple[int, Any, int]], column: Column, told: Callable[[int, str], str] = _of_kind
) -> str:
    by_count = sorted(found, key=lambda name: found[name][2])
    if len(by_count) > 1:
        firsts = [(name, *found[name]) for name in by_count]
        parts = [f"{told(count, name)} (first '{shown(value)}' in {column.locate(row)})"
                 for name, row, value, count in firsts]  # fmt: skip
        raise DataError(
            f"{column.origin} mixes units or formats of time: {', '.join(parts)}; "
            "make them alike, or drop the odd rows with source.filters."
        )
    return by_count[0]
