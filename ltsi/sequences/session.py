"""Each user's last session is the test, the session before it the validation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ltsi.errors import ConfigError, DataError
from ltsi.sequences.cutter import Cuts, Cutter
from ltsi.sequences.roles import Roles
from ltsi.sequences.rows import last_rows
from ltsi.store import Store


@dataclass(frozen=True)
class Session(Cutter):
    """Leaves two sessions out; a session ends where the next event is more than a gap away.

    Users with fewer than three sessions are only trained on.

    Attributes:
        gap_minutes: longest pause inside a session.
    """

    name: ClassVar[str] = "session"
    advice: ClassVar[str] = "choose another split.gap_minutes"

    gap_minutes: float = 30

    def cut(self, store: Store, roles: Roles) -> Cuts:  # noqa: ARG002
        """Cuts at the starts of the last two sessions; see `Cutter.cut`."""
        store.require_clock("split=session")
        if not isinstance(self.gap_minutes, (int, float)) or not self.gap_minutes > 0:
            raise ConfigError(f"split.gap_minutes={self.gap_minutes} must be a number above 0.")
        offsets = np.asarray(store.offsets)

        def begins(rows: slice) -> NDArray[np.bool_]:
            time = store.time[rows]
            begun = np.concatenate([[True], np.diff(time) > 60 * self.gap_minutes])[: len(time)]
            first, last = np.searchsorted(offsets, [rows.start, rows.stop])
            begun[offsets[first:last] - rows.start] = True
            return np.asarray(begun)

        test, valid, third = last_rows(offsets, offsets[1:], begins, (1, 2, 3))
        tested = third >= 0
        if not tested.any():
            raise DataError(
                f"split=session needs users with at least 3 sessions, and store '{store.name}' has none that are more "
                f"than split.gap_minutes={self.gap_minutes} apart."
            )
        return Cuts(
            np.where(tested, valid, offsets[1:]),
            np.where(tested, test, offsets[1:]),
            offsets[1:],
            places={"valid": "the start of their last session but one", "test": "the start of their last session"},
            report={"users_too_short": int((~tested).sum())},
        )
