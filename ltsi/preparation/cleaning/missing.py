"""What becomes of events without a value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import narwhals as nw

from ltsi.errors import DataError
from ltsi.events import Events, order_of
from ltsi.preparation.cleaning.settings import require_finite, require_groups, require_value, with_aggregates

SIDES: tuple[tuple[str, Literal["forward", "backward"]], ...] = (("before", "forward"), ("after", "backward"))


@dataclass(frozen=True)
class DropMissing:
    """Drops the events without a value."""

    def __call__(self, events: Events) -> Events:
        """Returns the events with a value."""
        require_value(events, "missing_drop")
        return events.filter(~nw.col("value").is_null())


@dataclass(frozen=True)
class FillConstant:
    """Gives events without a value a constant one.

    Attributes:
        constant: the value.
    """

    constant: float = 0.0

    def __post_init__(self) -> None:
        """Refuses what is no number."""
        require_finite("clean.missing_constant.constant", self.constant)

    def __call__(self, events: Events) -> Events:
        """Returns the events, each with a value."""
        require_value(events, "missing_constant")
        return events.with_columns(value=nw.col("value").fill_null(float(self.constant)))


@dataclass(frozen=True)
class FillMean:
    """Gives events without a value the mean of their group, or of the whole log where the group has no value.

    Attributes:
        by: columns that make a group, of user, item, behavior; empty: the whole log is one.
    """

    by: Sequence[str] = ("item",)
    name: ClassVar[str] = "missing_mean"
    statistic: ClassVar[Callable[[nw.Expr], nw.Expr]] = nw.Expr.mean

    def __post_init__(self) -> None:
        """Refuses groups that are no columns."""
        require_groups(f"clean.{self.name}.by", self.by)

    def __call__(self, events: Events) -> Events:
        """Returns the events, each with a value.

        Raises:
            DataError: no event has a value.
        """
        require_value(events, self.name)
        typical = type(self).statistic(nw.col("value"))
        overall = events.select(known=nw.col("value").count(), typical=typical).collect()
        if not overall.item(0, "known"):
            raise DataError(
                f"clean={self.name}: no event has a value to learn from; is source.columns.value the right column?"
            )
        filled = nw.coalesce(nw.col("value"), nw.col("_typical")).fill_null(float(overall.item(0, "typical")))
        return with_aggregates(events, self.by, _typical=typical).with_columns(value=filled).drop("_typical")


@dataclass(frozen=True)
class FillMedian(FillMean):
    """Gives events without a value the median of their group, or of the whole log where the group has no value."""

    name: ClassVar[str] = "missing_median"
    statistic: ClassVar[Callable[[nw.Expr], nw.Expr]] = nw.Expr.median


@dataclass(frozen=True)
class Interpolate:
    """Gives events without a value one on the line, over time, between the values before and after in their sequence.

    Before the first and after the last value of a sequence the nearest one is taken; in a sequence without any value
    events stay without (`clean=[missing_interpolated,missing_mean]` fills them).

    Attributes:
        by: columns that make a sequence, of user, item, behavior.
    """

    by: Sequence[str] = ("user",)

    def __post_init__(self) -> None:
        """Refuses groups that are no columns."""
        require_groups("clean.missing_interpolated.by", self.by, least=1)

    def __call__(self, events: Events) -> Events:
        """Returns the events."""
        require_value(events, "missing_interpolated")
        known = nw.when(~nw.col("value").is_null()).then(nw.col("time")).cast(nw.Float64)
        sides = {
            f"_{column}_{side}": nw.col(column).fill_null(strategy=strategy).over(*self.by, order_by=order_of(events))
            for side, strategy in SIDES
            for column in ("value", "known")
        }
        start, rise = nw.col("_value_before"), nw.col("_value_after") - nw.col("_value_before")
        span = nw.col("_known_after") - nw.col("_known_before")
        # Values before and after at one time: the one before is taken.
        share = nw.when(span > 0).then((nw.col("time") - nw.col("_known_before")) / span).otherwise(0.0)
        between = nw.coalesce(nw.col("value"), start + rise * share, start, nw.col("_value_after"))
        events = events.with_columns(known=known).with_columns(**sides)
        return events.with_columns(value=between).drop("known", *sides)
