"""One clock for everybody: the model is trained on the past of a date and tested on what came after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ltsi.errors import ConfigError
from ltsi.moments import as_date
from ltsi.sequences.cutter import Cuts, Cutter
from ltsi.sequences.moments import moment, rows_before
from ltsi.sequences.roles import Roles
from ltsi.store import Store


@dataclass(frozen=True)
class GlobalTime(Cutter):
    """Cuts at two dates.

    Attributes:
        valid: start of the validation, a date ("2011-09-01", UTC) or a share of the events (0.8).
        test: start of the test, likewise.
    """

    name: ClassVar[str] = "global_time"
    advice: ClassVar[str] = "choose another date"

    valid: float | str = 0.8
    test: float | str = 0.9

    def cut(self, store: Store, roles: Roles) -> Cuts:  # noqa: ARG002
        """Cuts at the dates; see `Cutter.cut`."""
        store.require_clock("split=global_time")
        valid, test = moment(store, "valid", self.valid), moment(store, "test", self.test)
        if valid >= test:
            raise ConfigError(
                f"split.valid ({as_date(valid)}) must come before split.test ({as_date(test)}); "
                "give dates or shares further apart."
            )
        return Cuts(
            rows_before(store, valid),
            rows_before(store, test),
            np.asarray(store.offsets[1:]),
            places={"valid": f"split.valid ({as_date(valid)})", "test": f"split.test ({as_date(test)})"},
            report={"cut_valid": valid, "cut_test": test},
        )
