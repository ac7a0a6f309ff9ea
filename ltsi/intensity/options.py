"""What an interest can be, and when it is called what."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ltsi.errors import ConfigError

STATES = ("rising", "falling", "steady", "dormant", "revived")
RISING, FALLING, STEADY, DORMANT, REVIVED = range(len(STATES))


@dataclass(frozen=True)
class StateOptions:
    """When an interest is called what.

    Attributes:
        share: an interest is dormant, or has faded, at a rate below this share of what it was.
        evidence: nats; log Bayes factor from which a rise, a turn or a fall is believed. 3 is a factor of 20.
        revival_evidence: nats; log-likelihood ratio of a revival against silence and against the season.
        silence: an interest too thin to tell a change is dormant if a silence as long has at most this probability.
        horizon: bins that are forecast.
        confidence: coverage of intervals.
    """

    share: float = 0.1
    evidence: float = 3.0
    revival_evidence: float = 5.0
    silence: float = 0.05
    horizon: int = 4
    confidence: float = 0.95

    def __post_init__(self) -> None:
        """Refuses what means nothing."""
        for key in ("share", "silence", "confidence"):
            if not 0 < getattr(self, key) < 1:
                raise ConfigError(f"{key}={getattr(self, key)} must lie between 0 and 1.")
        for key in ("evidence", "revival_evidence"):
            if not 0 <= getattr(self, key) < math.inf:
                raise ConfigError(f"{key}={getattr(self, key)} must be a number from 0.")
        if isinstance(self.horizon, bool) or not isinstance(self.horizon, int) or self.horizon < 1:
            raise ConfigError(f"horizon={self.horizon} must be a whole number from 1.")
