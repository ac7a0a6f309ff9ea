"""Values far from those of their group."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import narwhals as nw

from ltsi.errors import ConfigError
from ltsi.events import Events
from ltsi.preparation.cleaning.settings import require_groups, require_positive, require_value, with_aggregates

ACTIONS = ("drop", "clip")
ROUNDING = 1e-9  # A share of the bounds: engines round sums differently, so less than this beyond a bound is on it.


@dataclass(frozen=True)
class Outliers(ABC):
    """Drops events whose value lies outside of bounds, or clips the value to them; events without a value stay.

    Attributes:
        by: columns that make a group, of user, item, behavior; empty: the whole log is one.
        action: drop or clip.
    """

    by: Sequence[str] = ()
    action: str = "drop"
    name: ClassVar[str]

    def __post_init__(self) -> None:
        """Refuses groups that are no columns, and actions that are none."""
        require_groups(f"clean.{self.name}.by", self.by)
        if self.action not in ACTIONS:
            raise ConfigError(f"clean.{self.name}.action={self.action} must be one of: {', '.join(ACTIONS)}.")

    def __call__(self, events: Events) -> Events:
        """Returns the events, or their values, inside of the bounds."""
        require_value(events, self.name)
        value, low, high = nw.col("value"), nw.col("_low"), nw.col("_high")
        bounded = self.with_bounds(events).with_columns(_slack=nw.max_horizontal(low.abs(), high.abs()) * ROUNDING)
        below, above = value < low - nw.col("_slack"), value > high + nw.col("_slack")
        if self.action == "drop":
            inside = bounded.filter(value.is_null() | ~(below | above))
        else:
            inside = bounded.with_columns(value=nw.when(below).then(low).when(above).then(high).otherwise(value))
        return inside.select(events.collect_schema().names())

    @abstractmethod
    def with_bounds(self, events: Events) -> Events:
        """Returns the events with the bounds of their group in the columns `_low` and `_high`."""


@dataclass(frozen=True)
class ZScore(Outliers):
    """The bounds lie a number of standard deviations (of the group, not of a sample) around the group's mean.

    Attributes:
        deviations: how many. In a group of n values none lies further out than √(n-1) of them.
    """

    deviations: float = 3.0
    name: ClassVar[str] = "outliers_zscore"

    def __post_init__(self) -> None:
        """Refuses bounds that hold nothing."""
        super().__post_init__()
        require_positive(f"clean.{self.name}.deviations", self.deviations)

    def with_bounds(self, events: Events) -> Events:
        """Returns the events with mean ± deviations · standard deviation."""
        value, reach = nw.col("value"), nw.col("_deviation") * self.deviations
        measured = with_aggregates(events, self.by, _mean=value.mean(), _deviation=value.std(ddof=0))
        return measured.with_columns(_low=nw.col("_mean") - reach, _high=nw.col("_mean") + reach)


@dataclass(frozen=True)
class InterquartileRange(Outliers):
    """The bounds lie a multiple of the group's interquartile range outside of its quartiles (Tukey's fences).

    Attributes:
        ranges: how many; a group half of whose values are equal may have a range of 0.
    """

    ranges: float = 1.5
    name: ClassVar[str] = "outliers_iqr"

    def __post_init__(self) -> None:
        """Refuses bounds that hold nothing."""
        super().__post_init__()
        require_positive(f"clean.{self.name}.ranges", self.ranges)

    def with_bounds(self, events: Events) -> Events:
        """Returns the events with first quartile − ranges · IQR and third quartile + ranges · IQR."""
        quartiles = {f"_q{i}": nw.col("value").quantile(i / 4, interpolation="linear") for i in (1, 3)}
        measured = with_aggregates(events, self.by, **quartiles)
        reach = (nw.col("_q3") - nw.col("_q1")) * self.ranges
        return measured.with_columns(_low=nw.col("_q1") - reach, _high=nw.col("_q3") + reach)
