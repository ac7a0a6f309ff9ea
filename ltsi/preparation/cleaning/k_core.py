"""Users and items with enough events, counted among each other."""

from __future__ import annotations

from dataclasses import dataclass

import narwhals as nw

from ltsi.events import Events, count
from ltsi.preparation.clean import Stage
from ltsi.preparation.cleaning.settings import require_count


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
        """Refuses minima below 1."""
        require_count("clean.k_core.user", self.user, 1)
        require_count("clean.k_core.item", self.item, 1)

    def __call__(self, events: Events) -> Events:
        """Returns the events of the core."""
        return self.iterate(events, lambda frame: frame)

    def iterate(self, events: Events, stage: Stage) -> Events:
        """Returns the events of the core; the ids that are left are staged in each round."""
        core, sizes = events, (-1, -1)
        while True:
            users, items = stage(_frequent(core, "user", self.user)), stage(_frequent(core, "item", self.item))
            left = count(users), count(items)
            if left == sizes:
                return core
            # The core only shrinks, so each round can start from the whole log: the query stays two joins deep.
            core, sizes = events.join(users, on="user", how="semi").join(items, on="item", how="semi"), left


def _frequent(events: Events, column: str, least: int) -> Events:
    return events.group_by(column).agg(n=nw.len()).filter(nw.col("n") >= least).select(column)
