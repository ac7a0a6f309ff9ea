"""Each user's last n events are the test, the n before them the validation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from ltsi.errors import ConfigError, DataError
from ltsi.sequences.cutter import ALL, Cuts, Cutter
from ltsi.sequences.roles import Roles
from ltsi.sequences.rows import last_rows
from ltsi.store import Store


@dataclass(frozen=True)
class LeaveN(Cutter):
    """Leaves n target events out for the test and n for the validation; the test history contains the validation.

    Users with fewer than `min_events` events, or without an event before the validation, are only trained on.

    Attributes:
        n: target events in each part.
        min_events: events a user must have to be tested; at least `2 n + 1`.
    """

    name: ClassVar[str] = "leave_n"
    advice: ClassVar[str] = "leave out fewer"

    n: int = 2
    min_events: int = 3
    target: str = field(default=ALL, kw_only=True)

    def cut(self, store: Store, roles: Roles) -> Cuts:
        """Cuts at the n-th and 2n-th last target event; see `Cutter.cut`."""
        for key, value, least in (("n", self.n, 1), ("min_events", self.min_events, 0)):
            if not isinstance(value, int) or value < least:
                raise ConfigError(f"split.{key}={value} must be a whole number from {least}.")
        start, end = np.asarray(store.offsets[:-1]), np.asarray(store.offsets[1:])
        minimum = max(self.min_events, 2 * self.n + 1)
        test, valid = last_rows(
            store.offsets, end, lambda rows: roles.is_target(store.behavior[rows]), (self.n, 2 * self.n)
        )
        tested = (end - start >= minimum) & (valid > start)
        if not tested.any():
            asked = "" if roles.target_code is None else f", {2 * self.n} of them targets and not the first"
            raise DataError(
                f"split={self.name} needs users with at least {minimum} events{asked}; store '{store.name}' has none."
            )
        place = f"their last {{}} event{'s' if self.n > 1 else ''}"
        return Cuts(
            np.where(tested, valid, end),
            np.where(tested, test, end),
            end,
            places={"valid": place.format(2 * self.n), "test": place.format(self.n)},
            report={"users_too_short": int((~tested).sum())},
        )
