"""What cleaning steps ask of their settings and of the table."""

from __future__ import annotations

import math
from collections.abc import Sequence

import narwhals as nw

from ltsi.errors import ConfigError, did_you_mean
from ltsi.events import Events

GROUPS = ("user", "item", "behavior")


def require_finite(key: str, value: float) -> None:
    """Refuses what is no finite number.

    Raises:
        ConfigError: naming the key.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ConfigError(f"{key}={value} must be a number.")


def require_count(key: str, value: int, least: int) -> None:
    """Refuses a number of events, users or items that is below a bound, and what is no whole number.

    Raises:
        ConfigError: naming the key.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"{key}={value} must be a whole number.")
    if value < least:
        raise ConfigError(f"{key}={value} must be at least {least}.")


def require_positive(key: str, value: float) -> None:
    """Refuses a number that is not above 0.

    Raises:
        ConfigError: naming the key.
    """
    require_finite(key, value)
    if value <= 0:
        raise ConfigError(f"{key}={value} must be above 0.")


def require_groups(key: str, by: Sequence[str], *, least: int = 0) -> None:
    """Refuses groups that are no columns to group events by.

    Raises:
        ConfigError: naming the key and the columns there are.
    """
    form = f"give a list of: {', '.join(GROUPS)}"
    if isinstance(by, str) or not isinstance(by, Sequence) or len(by) < least:
        raise ConfigError(f"{key}={by} does not say which columns make a group; {form}.")
    for column in by:
        if column not in GROUPS:
            raise ConfigError(f"{key} has no group '{column}'; {form}.{did_you_mean(column, GROUPS)}")


def require_value(events: Events, step: str) -> None:
    """Refuses a log without values.

    Raises:
        ConfigError: naming the step and the key that would give it values.
    """
    if "value" not in events.collect_schema():
        raise ConfigError(f"clean={step} needs values and the log has none; set source.columns.value=COLUMN.")


def with_aggregates(events: Events, by: Sequence[str], **aggregates: nw.Expr) -> Events:
    """Adds to each event the aggregates of its group, of the whole log if `by` is empty."""
    if not by:
        return events.join(events.select(**aggregates), how="cross")
    return events.join(events.group_by(*by).agg(**aggregates), on=list(by), how="inner")
