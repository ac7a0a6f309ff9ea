"""Moving filters of values: noise out, before a model takes it for interest.

A window ends at its event: a value never learns from what came after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import narwhals as nw

from ltsi.events import Events, order_of
from ltsi.preparation.cleaning.settings import require_count, require_groups, require_value


@dataclass(frozen=True)
class MovingMean:
    """Replaces each value by the mean of the last values of its sequence, its own among them.

    At the beginning of a sequence the window is as long as the sequence is so far. An event without a value keeps none,
    and adds none to the windows that it lies in.

    Attributes:
        window: events of a window.
        by: columns that make a sequence, of user, item, behavior.
    """

    window: int = 5
    by: Sequence[str] = ("user",)
    name: ClassVar[str] = "moving_mean"

    def __post_init__(self) -> None:
        """Refuses windows that change nothing, and groups that are no columns."""
        require_count(f"clean.{self.name}.window", self.window, 2)
        require_groups(f"clean.{self.name}.by", self.by, least=1)

    def __call__(self, events: Events) -> Events:
        """Returns the events with smoothed values."""
        require_value(events, self.name)
        mean = nw.col("value").rolling_mean(self.window, min_samples=1).over(*self.by, order_by=order_of(events))
        return _where_known(events.with_columns(_smooth=mean))


@dataclass(frozen=True)
class MovingMedian(MovingMean):
    """Replaces each value by the median of the last values of its sequence, its own among them; see `MovingMean`.

    An event becomes as many rows as its window has, so a long window costs time, and memory where all must fit.
    """

    name: ClassVar[str] = "moving_median"

    def __call__(self, events: Events) -> Events:
        """Returns the events with smoothed values."""
        require_value(events, self.name)
        values = {
            f"_{lag}": nw.col("value").shift(lag).over(*self.by, order_by=order_of(events)) if lag else nw.col("value")
            for lag in range(self.window)
        }
        # No engine but polars has a moving median: the values of each window become rows, and those a group.
        lagged = events.with_columns(**values)
        stacked = nw.concat([lagged.select("row", _smooth=nw.col(lag)) for lag in values])
        medians = stacked.group_by("row").agg(nw.col("_smooth").median())
        return _where_known(events.join(medians, on="row", how="inner"))


def _where_known(events: Events) -> Events:
    """Puts `_smooth` in the place of the values that are there."""
    return events.with_columns(value=nw.when(~nw.col("value").is_null()).then(nw.col("_smooth"))).drop("_smooth")
