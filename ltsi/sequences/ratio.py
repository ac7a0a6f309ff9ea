"""The last share of each user's own events is the test, the share before it the validation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ltsi.errors import ConfigError
from ltsi.sequences.cutter import Cuts, Cutter
from ltsi.sequences.roles import Roles
from ltsi.store import Store

ROUNDING = 1e-9
"""0.29 of 100 events is 28.999999999999996 in binary, and means 29."""


@dataclass(frozen=True)
class Ratio(Cutter):
    """Cuts every user at shares of their events, rounded down; a user's first event is always trained on.

    Attributes:
        valid: share of a user's events before the validation.
        test: share of a user's events before the test.
    """

    name: ClassVar[str] = "ratio"
    advice: ClassVar[str] = "choose other shares"

    valid: float = 0.8
    test: float = 0.9

    def cut(self, store: Store, roles: Roles) -> Cuts:  # noqa: ARG002
        """Cuts at the shares; see `Cutter.cut`."""
        for key, share in (("valid", self.valid), ("test", self.test)):
            if not isinstance(share, (int, float)) or not 0 < share < 1:
                raise ConfigError(f"split.{key}={share} must be a share between 0 and 1.")
        if self.valid >= self.test:
            raise ConfigError(f"split.valid={self.valid} must be less than split.test={self.test}.")
        offsets = np.asarray(store.offsets)
        length = np.diff(offsets)

        def at(share: float) -> NDArray[np.int64]:
            kept = np.floor(share * length + ROUNDING).astype(np.int64)
            return np.asarray(offsets[:-1] + np.minimum(np.maximum(kept, 1), length))

        places = {key: f"split.{key}={getattr(self, key)} of their events" for key in ("valid", "test")}
        return Cuts(at(self.valid), at(self.test), offsets[1:], places)
