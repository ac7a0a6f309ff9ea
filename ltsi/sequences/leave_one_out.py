"""Each user's last event is the test, the one before it the validation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ltsi.errors import DataError
from ltsi.sequences.split import Split, Targets
from ltsi.store import Store


@dataclass(frozen=True)
class LeaveOneOut:
    """Leaves one event out for the test and one for the validation; the test history contains the validation event.

    Users with fewer than `min_events` events are only trained on.

    Attributes:
        min_events: events a user must have to be tested; at least 3.
    """

    min_events: int = 3

    def __call__(self, store: Store) -> Split:
        """Cuts the store.

        Raises:
            DataError: no user is long enough.
        """
        minimum = max(self.min_events, 3)
        start, end = store.offsets[:-1], store.offsets[1:]
        tested = np.flatnonzero(end - start >= minimum).astype(np.int64)
        if not len(tested):
            raise DataError(
                f"split=leave_one_out needs users with at least {minimum} events; store '{store.name}' has none."
            )
        train_end = np.array(end)
        train_end[tested] -= 2
        last = np.asarray(end[tested]) - 1
        return Split(
            store=store,
            train_end=train_end,
            valid=Targets(tested, last - 1, last - 1),
            test=Targets(tested, last, last),
            report={"users_too_short": store.n_users - len(tested)},
        )
