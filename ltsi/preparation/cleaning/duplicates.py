"""Events that say again what an earlier one has said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import narwhals as nw

from ltsi.events import Events, order_of


@dataclass(frozen=True)
class DropDuplicates:
    """Keeps the first of several events that agree in user, item, time (to the second) and behavior."""

    needs_clock: ClassVar[bool] = True  # positions in a sequence never agree

    def __call__(self, events: Events) -> Events:
        """Returns the events without later copies."""
        same, row = ("user", "item", "time", "behavior"), nw.col("row")
        if "fraction" in events.collect_schema():
            return events.filter(row.shift(1).over(*same, order_by=order_of(events)).is_null())
        return events.filter(row == row.min().over(*same))  # in half the time


@dataclass(frozen=True)
class DropConsecutive:
    """Keeps the first of a run of a user's events with one item and one behavior, whatever their times."""

    def __call__(self, events: Events) -> Events:
        """Returns the events that differ from the one before."""
        before = {
            f"_{name}": nw.col(name).shift(1).over("user", order_by=order_of(events)) for name in ("item", "behavior")
        }
        new = nw.col("_item").is_null() | (nw.col("item") != nw.col("_item"))
        return events.with_columns(**before).filter(new | (nw.col("behavior") != nw.col("_behavior"))).drop(*before)
