"""Users or items with too few or too many events."""

from __future__ import annotations

from dataclasses import dataclass

import narwhals as nw

from ltsi.errors import ConfigError
from ltsi.events import ID_COLUMNS, Events
from ltsi.preparation.cleaning.settings import require_count


@dataclass(frozen=True)
class Frequency:
    """Keeps the users, or the items, whose number of events lies in a window; counted once, unlike `KCore`.

    Attributes:
        of: user or item.
        least: events that it must have.
        most: events that it may have; None: any number.
    """

    of: str
    least: int = 1
    most: int | None = None

    def __post_init__(self) -> None:
        """Refuses a window that holds no number."""
        if self.of not in ID_COLUMNS:
            raise ConfigError(f"A frequency is of: {', '.join(ID_COLUMNS)}; not of '{self.of}'.")
        key = f"clean.{self.of}_frequency"
        require_count(f"{key}.least", self.least, 1)
        if self.most is not None:
            require_count(f"{key}.most", self.most, 1)
            if self.most < self.least:
                raise ConfigError(f"{key}.most={self.most} must not be below {key}.least={self.least}.")

    def __call__(self, events: Events) -> Events:
        """Returns the events of the users or items that are kept."""
        n = nw.len().over(self.of)
        return events.filter(n >= self.least if self.most is None else n.is_between(self.least, self.most))
