"""What is asked of a decay fit, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ltsi.decay.forms import FORMS
from ltsi.decay.statistics import ReturnStatistics
from ltsi.errors import ConfigError

AUTO = "auto"
POOLED = "(all)"
"""Label of all entities taken as one."""

MIN_RETURNING_USERS = 10
"""Fewer users who ever came back make an interval over users meaningless."""

MIN_REPLICATES = 20
"""Fewer replicates have no tails to read an interval from."""


@dataclass(frozen=True)
class FitOptions:
    """How a return hazard is fitted.

    Attributes:
        session_gap_days: events at most this far apart are one visit.
        form: a name in `FORMS`, or "auto": the lowest AIC.
        replicates: bootstrap replicates over users; 0 gives no intervals.
        confidence: coverage of the intervals.
        seed: seed of the bootstrap.
        min_returns: an entity with fewer returns is not fitted.
    """

    session_gap_days: float = 0.5
    form: str = AUTO
    replicates: int = 200
    confidence: float = 0.95
    seed: int = 0
    min_returns: int = 30

    def __post_init__(self) -> None:
        """Refuses values that mean nothing."""
        known = [AUTO, *FORMS]
        if self.form not in known:
            raise ConfigError(f"form={self.form} is not a form of decay; it must be one of: {', '.join(known)}.")
        if not self.session_gap_days > 0:
            raise ConfigError(f"session_gap_days={self.session_gap_days} must be a positive number of days.")
        if self.replicates < 0 or 0 < self.replicates < MIN_REPLICATES:
            raise ConfigError(f"replicates={self.replicates} must be 0 (no intervals) or at least {MIN_REPLICATES}.")
        if not 0 < self.confidence < 1:
            raise ConfigError(f"confidence={self.confidence} must be between 0 and 1, such as 0.95.")
        if self.min_returns < 1:
            raise ConfigError(f"min_returns={self.min_returns} must be at least 1.")


@dataclass(frozen=True)
class EntityDecay:
    """The decay of one entity. What could not be estimated is None, and `note` says why.

    Attributes:
        entity: label.
        form: name of the form.
        rate_per_day: `λ`; 0 where the hazard does not fall.
        half_life_days: `ln 2 / λ`.
        half_life_low_days: lower end of the interval.
        half_life_high_days: upper end of the interval; None, with a note, where the log is too short to bound it.
        amplitude: returns per day that fade, at age 0.
        floor: returns per day that do not fade.
        visits: visits to the entity.
        returns: visits that ended in a return.
        returning_users: users who returned at least once.
        exposure_days: days at risk of a return.
        aic: Akaike's criterion of every form that was fitted.
        note: why something is missing; empty if nothing is.
    """

    entity: str
    visits: int
    returns: int
    returning_users: int
    exposure_days: float
    form: str | None = None
    rate_per_day: float | None = None
    half_life_days: float | None = None
    half_life_low_days: float | None = None
    half_life_high_days: float | None = None
    amplitude: float | None = None
    floor: float | None = None
    aic: dict[str, float] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class DecayFit:
    """The decay of every entity, and of all of them taken as one.

    Attributes:
        entities: one entry per entity, in the order of their codes.
        pooled: all entities taken as one; a return is still to the same entity.
        statistics: what the entities were fitted to.
        options: how they were fitted.
    """

    entities: tuple[EntityDecay, ...]
    pooled: EntityDecay
    statistics: ReturnStatistics
    options: FitOptions

    def rates_per_day(self, default: float = 0.0) -> NDArray[np.float64]:
        """Returns `λ` of each entity, `(E,)`, per day.

        Args:
            default: the rate where even all entities together hold too little evidence.

        Returns:
            An entity's own rate, else the pooled one, else `default`.
        """
        fallback = default if self.pooled.rate_per_day is None else self.pooled.rate_per_day
        own = [fallback if one.rate_per_day is None else one.rate_per_day for one in self.entities]
        return np.array(own, dtype=np.float64)

    def most_returned(self, count: int) -> list[int]:
        """Returns the codes of the entities with the most returns, at most `count` of them, in order of evidence."""
        return sorted(range(len(self.entities)), key=lambda code: -self.entities[code].returns)[:count]
