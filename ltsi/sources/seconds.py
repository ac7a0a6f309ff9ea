"""Whole seconds, which a store keeps, and the nanoseconds beside them, which only order the events of one second.

The same on each engine, so by means that all of them have. Fractions of times before 1970 may be negative: what counts
is that second and fraction add up to the time.
"""

from __future__ import annotations

import re

import narwhals as nw

from ltsi.events import Events

EPOCH = 719_163  # days from the first of January of the year 1 to 1970-01-01, both counted
DAY = 86_400
NANOSECONDS = 10**9
DIGITS = 9  # of a fraction that are read


def epoch_seconds(moments: nw.Expr, events: Events) -> nw.Expr:
    """Returns seconds since epoch of datetimes."""
    if events.implementation.is_polars() or events.implementation.is_pandas():
        return moments.dt.timestamp("ms") // 1_000
    # DuckDB and Spark know no timestamp behind narwhals, but the parts of one: days before the year, and in it.
    before = moments.dt.year().cast(nw.Int64) - 1
    days = before * 365 + before // 4 - before // 100 + before // 400 + moments.dt.ordinal_day().cast(nw.Int64) - EPOCH
    clock = (moments.dt.hour(), 3_600), (moments.dt.minute(), 60), (moments.dt.second(), 1)
    seconds = days * DAY
    for part, size in clock:
        seconds = seconds + part.cast(nw.Int64) * size
    return seconds


def nanoseconds(moments: nw.Expr) -> nw.Expr:
    """Returns the fractions of datetimes."""
    found = moments.dt.nanosecond().cast(nw.Int64)
    # Spark counts back from the next second before 1970.
    return found + (found < 0).cast(nw.Int64) * NANOSECONDS


def split_numbers(
    whole: nw.Expr, per_second: int, raw: nw.Expr | None, billionths: nw.Expr | None
) -> tuple[nw.Expr, nw.Expr | None]:
    """Splits numbers of a unit into seconds and fractions.

    Args:
        whole: Int64, the whole numbers.
        per_second: size of the unit.
        raw: Float64, the numbers with all they have, or None.
        billionths: Int64, what the numbers have behind the point, where they are no floats, or None.

    Returns:
        The seconds, and the fractions; None if there can be none.
    """
    behind = billionths
    if raw is not None:
        behind = ((raw - raw.floor()) * NANOSECONDS).floor().cast(nw.Int64)
    if per_second == 1:
        return whole, behind
    found = whole // per_second
    # Spark divides as floats, which may round up to the next second.
    seconds = found - (whole < found * per_second).cast(nw.Int64)
    fraction = (whole - seconds * per_second) * (NANOSECONDS // per_second)
    return seconds, fraction if behind is None else fraction + behind // per_second


def text_fractions(digits: nw.Expr) -> nw.Expr:
    """Returns the billionths whose digits are given as text, which may be empty."""
    return nw.concat_str(digits, nw.lit("0" * DIGITS)).str.slice(0, DIGITS).cast(nw.Int64)


def cut_fraction(text: nw.Expr, written: str) -> tuple[nw.Expr, str, nw.Expr | None]:
    """Cuts fractions off texts of a format that ends in them: engines read them each in its own way.

    Args:
        text: the texts.
        written: their strptime format.

    Returns:
        The texts and the format without them, and the fractions; None if the format does not end in them.
    """
    found = re.search(r"([^%\w])%f$", written)
    if found is None:
        return text, written, None
    mark = re.escape(found[1])
    behind = nw.when(text.str.contains(rf"{mark}[0-9]+$")).then(text.str.replace_all(rf"^.*{mark}", ""))
    return (
        text.str.replace_all(rf"{mark}[0-9]+$", ""),
        written[: found.start()],
        text_fractions(behind.otherwise(nw.lit(""))),
    )
