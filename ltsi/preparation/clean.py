"""Cleaning steps, each counted: event table in, event table out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import narwhals as nw

from ltsi.errors import ConfigError, DataError
from ltsi.events import Events, Step, count


class CleaningStep(Protocol):
    """One way to clean a log; an entry of the config group `clean` instantiates one."""

    def __call__(self, events: Events) -> Events:
        """Returns the events that are kept."""
        ...


def clean(events: Events, steps: Mapping[str, CleaningStep]) -> tuple[Events, list[Step]]:
    """Applies cleaning steps in order.

    Args:
        events: an event table.
        steps: steps by name.

    Returns:
        The events that are left, and what each step dropped.

    Raises:
        DataError: a step leaves nothing.
    """
    report, before = [], count(events)
    for name, step in steps.items():
        events = step(events)
        left = count(events)
        if not left:
            raise DataError(f"The cleaning step '{name}' ({step}) leaves none of {before:,} events; loosen it.")
        report.append(Step(name, before - left, left))
        before = left
    return events, report


@dataclass(frozen=True)
class DropDuplicates:
    """Keeps the first of several events that agree in user, item, time and behavior."""

    def __call__(self, events: Events) -> Events:
        """Returns the events without later copies."""
        return events.filter(nw.col("row") == nw.col("row").min().over("user", "item", "time", "behavior"))


@dataclass(frozen=True)
class KCore:
    """Keeps users and items with enough events, counted among each other: repeats until nothing more falls out.

    Attributes:
        user: events that a user must have.
        item: events that an item must have.
    """

    user: int = 5
    item: int = 5

    def __post_init__(self) -> None:
        """Refuses minima that keep everything."""
        for key in ("user", "item"):
            if getattr(self, key) < 1:
                raise ConfigError(f"clean.k_core.{key}={getattr(self, key)} must be at least 1.")

    def __call__(self, events: Events) -> Events:
        """Returns the events of the core."""
        core, size = events, -1
        while (left := count(core)) != size:
            size = left
            users, items = _frequent(core, "user", self.user), _frequent(core, "item", self.item)
            # The core only shrinks, so each round can start from the whole log: the query stays two joins deep.
            core = events.join(users, on="user", how="semi").join(items, on="item", how="semi")
        return core


def _frequent(events: Events, column: str, least: int) -> Events:
    return events.group_by(column).agg(nw.len().alias("n")).filter(nw.col("n") >= least).select(column).collect().lazy()
