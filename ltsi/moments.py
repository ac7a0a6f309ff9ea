"""Moments, as users write and read them; inside, a moment is a number of seconds since epoch, UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np

from ltsi.errors import ConfigError

LATEST_SECONDS = 10_000_000_000
"""A number from here on is in milliseconds or finer: as seconds it would be in the year 2286."""

# As seconds, eight digits that are a date would lie in the first year of the epoch.
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}|(19|20)\d{6}", re.ASCII)
_NUMBER = re.compile(r"[+-]?\d+", re.ASCII)


def parse_moment(text: str, said: str, *, end_of_day: bool = False) -> int:
    """Reads a moment: ISO 8601 (UTC where it names no zone; 20111130 is a date) or seconds since 1970.

    Args:
        text: what the user wrote.
        said: the same with its setting, such as `now=yesterday`, for the error.
        end_of_day: whether a date stands for its last second and not for its first.

    Returns:
        Seconds since epoch; fractions are cut off.

    Raises:
        ConfigError: it is neither, or a number in a finer unit.
    """
    text = text.strip()
    is_date = _DATE.fullmatch(text) is not None
    if not is_date and _NUMBER.fullmatch(text):
        if abs(int(text)) >= LATEST_SECONDS:
            raise ConfigError(f"{said} looks like milliseconds or a finer unit; give seconds since 1970 or ISO 8601.")
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return int((moment + timedelta(days=1, seconds=-1) * (is_date and end_of_day)).timestamp())
    except (ValueError, OverflowError) as error:
        raise ConfigError(
            f"{said} is not a time; give ISO 8601, such as 2011-11-30 or 2011-11-30T12:00Z, or seconds since 1970."
        ) from error


def as_date(seconds: int, until: Literal["D", "m", "s"] = "s") -> str:
    """Writes a moment of any year in UTC, such as `2011-11-30 12:00:00`, down to the day, the minute or the second."""
    return str(np.datetime_as_string(np.datetime64(seconds, "s"), unit=until)).replace("T", " ")
