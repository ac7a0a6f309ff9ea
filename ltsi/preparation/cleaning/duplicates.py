"""Events that say again what an earlier one has said."""

from __future__ import annotations

from dataclasses import dataclass

import narwhals as nw

from ltsi.events import Events
from ltsi.preparation.cleaning.settings import ORDER


@dataclass(frozen=True)
class DropDuplicates:
    """Keeps the first of several events that agree in user, item, time and behavior."""

    def __call__(self, events: Events) -> Events:
        """Returns the events without later copies."""
        return events.filter(nw.col("row") == nw.col("row").min().over("user", "item", "time", "behavior"))


@dataclass(frozen=True)
class DropConsecutive:
    """Keeps the first of a run of a user's events with one item and one behavior, whatever their times."""

    def __call__(self, events: Events) -> Events:
        """Returns the events that differ from the one before."""
        before = {f"_{name}": nw.col(name).shift(1).over("user", order_by=ORDER) for name in ("item", "behavior")}
        new = nw.col("_item").is_null() | (nw.col("item") != nw.col("_item"))
        return events.with_columns(**before).filter(new | (nw.col("behavior") != nw.col("_behavior"))).drop(*before)
