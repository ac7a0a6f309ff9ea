"""What is asked of a decay fit, and what it answers."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ltsi.decay.contest import Contest
from ltsi.decay.estimators import ESTIMATORS, LIKELIHOODS, LOG_LINEAR, LOG_RATIO, NEGATIVE_BINOMIAL
from ltsi.decay.families import BINOMIAL
from ltsi.decay.forms import FORMS, has_half_life, rate_bounds
from ltsi.decay.statistics import ReturnStatistics
from ltsi.decay.trials import DAYS, EXPOSURES
from ltsi.errors import ConfigError, did_you_mean

log = logging.getLogger(__name__)

AUTO = "auto"
"""The contest of all forms on held-out likelihood."""

SIMPLE_FORM = "simple"
"""The exponential, with a floor where the AIC wants one: what models ask for their rates, at the cost of two fits."""

POOLED = "(all)"
"""Label of all entities taken as one."""

MIN_RETURNING_USERS = 10
"""Fewer users who ever came back make an interval over users meaningless."""

MIN_REPLICATES = 20
"""Fewer replicates have no tails to read an interval from."""


def too_thin(returns: int, users: int, min_returns: int, least_users: int) -> str:
    """Says why there is too little to fit; empty where there is enough."""
    if returns < min_returns:
        return f"{returns} return{'' if returns == 1 else 's'}, fewer than min_returns={min_returns}"
    if users < least_users:
        return f"only {users} user{'' if users == 1 else 's'} ever returned, fewer than {least_users}"
    return ""


@dataclass(frozen=True)
class FitOptions:
    """How a return hazard is fitted.

    Attributes:
        session_gap_days: events at most this far apart are one visit.
        exposure: what is counted at risk, a name in `EXPOSURES`.
        form: a name in `FORMS`, "simple" or "auto".
        estimator: a name in `ESTIMATORS`.
        replicates: bootstrap replicates over users; 0 gives no intervals and no other evidence of trust.
        confidence: coverage of the intervals.
        seed: seed of the bootstrap and of the deal of users into folds.
        min_returns: an entity with fewer returns is not fitted.
        excitation: whether to ask if earlier visits add up, beside the return hazard (`ltsi.decay.excitation`).
    """

    session_gap_days: float = 0.5
    exposure: str = DAYS
    form: str = SIMPLE_FORM
    estimator: str = "poisson"
    replicates: int = 200
    confidence: float = 0.95
    seed: int = 0
    min_returns: int = 30
    excitation: bool = False

    def __post_init__(self) -> None:
        """Refuses values that mean nothing."""
        for key, known in (
            ("form", (AUTO, SIMPLE_FORM, *FORMS)),
            ("estimator", ESTIMATORS),
            ("exposure", EXPOSURES),
        ):
            value = getattr(self, key)
            if value not in known:
                near = did_you_mean(value, known)
                raise ConfigError(f"{key}={value} is not one of: {', '.join(known)}.{near}")
        if not (math.isfinite(self.session_gap_days) and self.session_gap_days > 0):
            raise ConfigError(f"session_gap_days={self.session_gap_days} must be a positive number of days.")
        if self.replicates < 0 or 0 < self.replicates < MIN_REPLICATES:
            raise ConfigError(f"replicates={self.replicates} must be 0 (no intervals) or at least {MIN_REPLICATES}.")
        if not 0 < self.confidence < 1:
            raise ConfigError(f"confidence={self.confidence} must be between 0 and 1, such as 0.95.")
        if self.min_returns < 1:
            raise ConfigError(f"min_returns={self.min_returns} must be at least 1.")
        self._refuse_combinations()

    def _refuse_combinations(self) -> None:
        if self.estimator == BINOMIAL.name and self.exposure == DAYS:
            raise ConfigError(
                "estimator=binomial needs trials, which exposure=days does not count; set exposure=active_days or "
                "events."
            )
        if self.estimator == NEGATIVE_BINOMIAL and self.exposure != DAYS:
            raise ConfigError(
                f"estimator=negative_binomial needs exposure=days, not exposure={self.exposure}: trials are binomial."
            )
        if self.excitation and self.exposure != DAYS:
            raise ConfigError(
                f"excitation=true needs exposure=days, not exposure={self.exposure}: visits add up in continuous time."
            )
        if self.estimator in (LOG_LINEAR, LOG_RATIO) and self.form != "exponential":
            raise ConfigError(f"estimator={self.estimator} fits one form only; set form=exponential.")
        if self.estimator not in LIKELIHOODS and self.form in (AUTO, SIMPLE_FORM):
            raise ConfigError(
                f"form={self.form} compares likelihoods, which estimator={self.estimator} does not have; name a form."
            )


def rate_to_use(own: float | None, borrowed: float | None) -> float | None:
    """Returns the rate of an entity for those who act on it: after borrowing, for its own may be mere noise.

    Args:
        own: as fitted on the entity alone; None: it has none. What does not fade (0) borrows no fading.
        borrowed: after borrowing from the levels above; None: it did not.
    """
    return own if own == 0 or borrowed is None else borrowed


@dataclass(frozen=True, slots=True)
class EntityDecay:
    """The decay of one entity. What could not be estimated is None, and `note` says why.

    Attributes:
        entity: label.
        visits: visits to the entity.
        returns: visits that ended in a return.
        returning_users: users who returned at least once.
        exposure: days or trials at risk of a return.
        form: name of the form.
        rate_per_day: `λ`; 0 where the hazard does not fall; None for a power law, which has no rate.
        half_life_days: `ln 2 / λ`, of the fading part (of its faster part, in two_scale); None for a power law.
        half_life_low_days: lower end of the interval over users.
        half_life_high_days: upper end; None, with a note, where the log is too short to bound it.
        profile_low_days: lower end of the interval from the profile likelihood.
        profile_high_days: upper end; None where the likelihood does not bound it.
        amplitude: returns per day that fade, at age 0 (in a power law at one day).
        floor: returns per day that do not fade.
        parameters: every parameter of the form by name.
        exponent_low: lower end of the interval of the exponent over users, of a power law.
        exponent_high: upper end.
        dispersion: variance of the users' counts over Poisson's, where the estimator takes them to be alike.
        user_variance: variance of the factor by which users differ, where the estimator knows one.
        fit_p: p-value of the goodness of fit, there too.
        heldout_gain: log-likelihood of held-out users gained over the plain exponential.
        heldout_gain_error: its standard error.
        pooled_rate_per_day: `λ` after borrowing from the levels above.
        pooled_half_life_days: its half-life.
        pooled_low_days: lower end of its interval.
        pooled_high_days: upper end.
        own_weight: share of the entity's own data in `pooled_rate_per_day`.
        aic: Akaike's criterion of every form that was fitted; where users differ, of the form that was chosen.
        bic: Schwarz's criterion of the form.
        note: why something is missing; empty if nothing is.
    """

    entity: str
    visits: int
    returns: int
    returning_users: int
    exposure: float
    form: str | None = None
    rate_per_day: float | None = None
    half_life_days: float | None = None
    half_life_low_days: float | None = None
    half_life_high_days: float | None = None
    profile_low_days: float | None = None
    profile_high_days: float | None = None
    amplitude: float | None = None
    floor: float | None = None
    parameters: dict[str, float] = field(default_factory=dict)
    exponent_low: float | None = None
    exponent_high: float | None = None
    dispersion: float | None = None
    user_variance: float | None = None
    fit_p: float | None = None
    heldout_gain: float | None = None
    heldout_gain_error: float | None = None
    pooled_rate_per_day: float | None = None
    pooled_half_life_days: float | None = None
    pooled_low_days: float | None = None
    pooled_high_days: float | None = None
    own_weight: float | None = None
    aic: dict[str, float] = field(default_factory=dict)
    bic: float | None = None
    note: str = ""


@dataclass(frozen=True)
class DecayFit:
    """The decay of every entity, and of all of them taken as one.

    Attributes:
        entities: one entry per entity, in the order of their codes.
        pooled: all entities taken as one; a return is still to the same entity.
        statistics: what the entities were fitted to.
        options: how they were fitted.
        contest: the contest of forms among the entities, each with parameters of its own; None if none was held.
        pooled_contest: the contest on all entities taken as one.
        remarks: what else there is to know of the fit, in sentences.
        of_users: whether every entity is a user.
    """

    entities: tuple[EntityDecay, ...]
    pooled: EntityDecay
    statistics: ReturnStatistics
    options: FitOptions
    contest: Contest | None = None
    pooled_contest: Contest | None = None
    remarks: tuple[str, ...] = ()
    of_users: bool = False

    def rates_per_day(self, default: float = 0.0) -> NDArray[np.float64]:
        """Returns `λ` of each entity, `(E,)`, per day.

        Args:
            default: the rate where even all entities together hold too little evidence; that it is taken is logged.

        Returns:
            An entity's `rate_to_use`, else that of all taken as one, or the fastest that visits can show if that is too
            fast, else `default`.
        """
        return self._rates([rate_to_use(one.rate_per_day, one.pooled_rate_per_day) for one in self.entities], default)

    def common_rate_per_day(self, default: float = 0.0) -> NDArray[np.float64]:
        """Returns the `λ` of all taken as one for each entity, `(E,)`, per day; see `rates_per_day`."""
        return self._rates([None] * len(self.entities), default)

    def _rates(self, of_each: Sequence[float | None], default: float) -> NDArray[np.float64]:
        together = self.pooled.rate_per_day
        if together is None and self.pooled.form is not None and has_half_life(FORMS[self.pooled.form]):
            together = rate_bounds(self.statistics.edges)[1]
        first = [together if rate is None else rate for rate in of_each]
        found = np.array([np.nan if rate is None else rate for rate in first])
        without = np.isnan(found)
        if without.any():
            why = self.pooled.note or f"{self.pooled.form} has none"
            log.warning(
                "%d of %d interests have no rate of fading, and neither has the fit of all together (%s); they are "
                "given %g per day.",
                without.sum(), len(found), why, default,
            )  # fmt: skip
        return np.where(without, default, found)

    def most_returned(self, count: int) -> list[int]:
        """Returns the codes of the entities with the most returns, at most `count` of them, in order of evidence."""
        return sorted(range(len(self.entities)), key=lambda code: -self.entities[code].returns)[:count]
