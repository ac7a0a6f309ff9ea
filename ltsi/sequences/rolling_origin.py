"""Cross-validation over time: the origin that training ends at rolls forward, fold by fold.

Source: Tashman 2000, "Out-of-sample tests of forecasting accuracy: an analysis and review".
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np

from ltsi.errors import ConfigError
from ltsi.moments import as_date
from ltsi.sequences.cutter import Cuts, Cutter
from ltsi.sequences.moments import moment, quantile, rows_before
from ltsi.sequences.roles import Roles
from ltsi.store import Store


@dataclass(frozen=True)
class RollingOrigin(Cutter):
    """Cuts the time from `start` to `end` into `folds + 1` windows.

    Fold i is trained on everything before window i, validated on window i and tested on window i + 1: the tests of all
    folds follow one another and do not overlap. If `start` and `end` are shares, windows hold equally many events; if
    one is a date, they last equally long.

    Attributes:
        folds: number of folds.
        fold: the fold to cut, from 0.
        start: where training of fold 0 ends, a date ("2011-09-01", UTC) or a share of the events (0.5).
        end: where the test of the last fold ends, likewise; 1.0 is the end of the log.
    """

    name: ClassVar[str] = "rolling_origin"
    advice: ClassVar[str] = "take fewer folds, or other dates"

    folds: int = 5
    fold: int = 0
    start: float | str = 0.5
    end: float | str = 1.0

    def cut(self, store: Store, roles: Roles) -> Cuts:  # noqa: ARG002
        """Cuts at three of the windows' borders; see `Cutter.cut`."""
        store.require_clock("split=rolling_origin")
        if not isinstance(self.folds, int) or self.folds < 1:
            raise ConfigError(f"split.folds={self.folds} must be a whole number from 1.")
        if not isinstance(self.fold, int) or not 0 <= self.fold < self.folds:
            raise ConfigError(
                f"split.fold={self.fold} must be a whole number from 0 to {self.folds - 1} (split.folds={self.folds})."
            )
        valid, test, end = self._borders(store)[self.fold : self.fold + 3]
        return Cuts(
            rows_before(store, valid),
            rows_before(store, test),
            rows_before(store, end),
            places={
                "valid": f"{as_date(valid)} (fold {self.fold})",
                "test": f"{as_date(test)} (fold {self.fold})",
            },
            report={"cut_valid": valid, "cut_test": test, "cut_end": end},
        )

    def _borders(self, store: Store) -> list[int]:
        """Returns the borders of the windows, `folds + 2` moments."""
        first, whole = moment(store, "start", self.start), self.end == 1
        last = quantile(store, 1.0) + 1 if whole else moment(store, "end", self.end)
        if isinstance(self.start, str) or isinstance(self.end, str):
            borders = [int(border) for border in np.linspace(first, last, self.folds + 2)]
        else:
            shares = np.linspace(self.start, self.end, self.folds + 2)[1:-1]
            borders = [first, *(quantile(store, float(share)) for share in shares), last]
        if any(later <= earlier for earlier, later in pairwise(borders)):
            raise ConfigError(
                f"split.start ({as_date(first)}) and split.end ({as_date(last)}) leave no time for "
                f"{self.folds + 1} windows; "
                "take fewer folds, or set them further apart."
            )
        return borders
