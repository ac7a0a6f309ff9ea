"""One clock for everybody: the model is trained on the past of a date and tested on what came after it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from ltsi.errors import ConfigError, DataError
from ltsi.sequences.split import Split, Targets
from ltsi.store import Store


@dataclass(frozen=True)
class GlobalTime:
    """Cuts at two dates; the target is each user's first event from a cut on, the history everything before the cut.

    Users without a history before a cut are cold: they are counted and not ranked. Targets whose item never occurs in
    training are counted and ranked.

    Attributes:
        valid: start of the validation, a date ("2011-09-01", UTC) or a share of the events (0.8).
        test: start of the test, likewise.
    """

    valid: float | str = 0.8
    test: float | str = 0.9

    def __call__(self, store: Store) -> Split:
        """Cuts the store.

        Raises:
            DataError: the log has no clock, or a cut leaves a part empty.
            ConfigError: a cut is neither a share nor a date, or the cuts are out of order.
        """
        store.require_clock("split=global_time")
        cut_valid, cut_test = self._cut(store, "valid", self.valid), self._cut(store, "test", self.test)
        if cut_valid >= cut_test:
            raise ConfigError(
                f"split.valid ({_date(cut_valid)}) must come before split.test ({_date(cut_test)}); "
                "give dates or shares further apart."
            )
        # Times are sorted inside a user only, so the first row at or after a cut is found by counting rows before it.
        before_valid, before_test = _rows_before(store, cut_valid), _rows_before(store, cut_test)
        valid, cold_valid = _first_after(store, before_valid, before_test)
        test, cold_test = _first_after(store, before_test, store.offsets[1:])
        for name, part, cut in (("valid", valid, cut_valid), ("test", test, cut_test)):
            if not len(part):
                raise DataError(
                    f"split=global_time: no user of store '{store.name}' has events before and after "
                    f"split.{name} ({_date(cut)}); choose another date."
                )
        split = Split(store, before_valid, valid, test)
        trained = np.zeros(store.n_items, dtype=bool)
        for block in split.training_blocks():
            trained[block.item] = True
        split.report.update(
            cut_valid=cut_valid,
            cut_test=cut_test,
            cold_users_valid=cold_valid,
            cold_users_test=cold_test,
            cold_items_valid=int((~trained[store.item[valid.event]]).sum()),
            cold_items_test=int((~trained[store.item[test.event]]).sum()),
        )
        return split

    @staticmethod
    def _cut(store: Store, key: str, value: float | str) -> int:
        if isinstance(value, (int, float)):
            if not 0 < value < 1:
                raise ConfigError(f"split.{key}={value} must be a share between 0 and 1, or a date in quotes.")
            return int(np.quantile(store.time, value, method="higher"))
        try:
            moment = datetime.fromisoformat(value)
        except ValueError as error:
            raise ConfigError(f"split.{key}={value} is neither a share like 0.8 nor a date like 2011-09-01.") from error
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _rows_before(store: Store, cut: int) -> np.ndarray:
    """Returns, per user, the row of the first event at or after `cut`, int64 `(users,)`."""
    earlier = np.concatenate([[0], np.cumsum(store.time < cut)])
    counts: np.ndarray = store.offsets[:-1] + earlier[store.offsets[1:]] - earlier[store.offsets[:-1]]
    return counts


def _first_after(store: Store, history_end: np.ndarray, part_end: np.ndarray) -> tuple[Targets, int]:
    """Returns the first event of each user in `[history_end, part_end)` and the number of users without a history."""
    active = history_end < part_end
    known = history_end > store.offsets[:-1]
    users = np.flatnonzero(active & known).astype(np.int64)
    rows = history_end[users].astype(np.int64)
    return Targets(users, rows, rows), int((active & ~known).sum())


def _date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(sep=" ")
