"""The time a question is asked at, as a user writes it."""

from __future__ import annotations

from datetime import UTC, datetime

from ltsi.errors import ConfigError

LATEST_SECONDS = 10_000_000_000
"""A number from here on is in milliseconds or finer: as seconds it would be in the year 2286."""

DATE_DIGITS = 8


def parse_moment(text: str) -> int:
    """Reads a time: ISO 8601 (UTC where it names no zone; 20111130 is a date) or seconds since 1970.

    Returns:
        Seconds since epoch; fractions are cut off.

    Raises:
        ConfigError: it is neither, or a number in a finer unit.
    """
    try:
        seconds = None if _is_date(text) else int(text)
    except ValueError:
        seconds = None
    if seconds is not None:
        if abs(seconds) >= LATEST_SECONDS:
            raise ConfigError(
                f"--at {text} looks like milliseconds or a finer unit; give seconds since 1970 or ISO 8601."
            )
        return seconds
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            f"--at {text} is not a time; give ISO 8601, such as 2011-11-30 or 2011-11-30T12:00Z, or seconds since 1970."
        ) from error
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _is_date(text: str) -> bool:
    """Tells whether digits are a date: as seconds they would lie in the first year of the epoch."""
    return len(text) == DATE_DIGITS and text.isascii() and text.isdecimal() and text[:2] in {"19", "20"}


def written(seconds: int) -> str:
    """Returns a time as ISO 8601 in UTC, or the bare number where no calendar reaches."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return str(seconds)
