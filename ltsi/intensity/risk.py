"""How likely users are to fall silent and what is to come of interests, put right by what came of earlier ones.

Shape suffixes: S series, U users, C what is known of a user.
Sources: Fader, Hardie & Lee 2005, "Counting Your Customers the Easy Way" (recency, frequency and age are what is to be
known of a customer); Platt 1999, "Probabilistic Outputs for Support Vector Machines", section 2.2 (smoothed labels).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize, minimize_scalar
from scipy.special import expit, logit

from ltsi.intensity.churn import Churn, churn
from ltsi.intensity.options import STATES, StateOptions
from ltsi.intensity.predictive import log_quiet, outlook
from ltsi.intensity.series import IntensitySeries, intensity_series
from ltsi.intensity.states import InterestStates, states_of
from ltsi.store import Store

Floats = NDArray[np.float64]

PENALTY = 1.0
"""Of the square of each standardised weight, in nats: a log of few users has no say against it."""

MIN_USERS = 10
"""Fewer users tell nothing of what becomes of a user."""

PRIOR_EVENTS = 20.0
"""Events that a state is as good as known to bring at the rate of all, beside those that came of it."""

POWERS = (0.5, 2.0)
"""Bounds of the power of a forecast that what comes may follow."""

PRIOR_POWER = 50.0
"""Of the squared distance of that power from 1, in nats: a log of few events has no say against 1."""

SPREADS = (-7.0, 4.0)
"""Bounds of the logarithm of how much more rates differ than their shape says."""

HALF = 0.5
"""Events that are as good as expected of all and to have come."""

PRIOR_INTERESTS = 20.0
"""Interests of a state that are as good as known to keep silent as the spread of all says, beside those that came."""

SURE = 1e-6
"""Stated risks are at least so far from certainty before they are put right."""


def calibrated(
    states: InterestStates,
    series: IntensitySeries,
    store: Store,
    entity: str,
    options: StateOptions,
    weights: Mapping[str, float] | None = None,
) -> tuple[InterestStates, Churn, list[str]]:
    """Puts forecasts and risks right by what came of those of one horizon before.

    Args:
        states: interests as they are now.
        series: what they came from, of all users.
        store: what was counted.
        entity: as `series` was asked for.
        options: as they were found.
        weights: as `series` was asked for.

    Returns:
        The same with other forecasts (see `forecasts_put_right`), users at risk (see `calibrated_risk`), and sentences
        on how they were put right.
    """
    bins = series.bins
    if bins.count <= options.horizon + 1:
        said = "The log is too short to look one horizon back: risks and forecasts are not calibrated."
        return states, churn(states), [said]
    then = bins.now - options.horizon * bins.seconds
    earlier = intensity_series(store, entity, unit=bins.unit, now=then, weights=weights)
    n_users = len(np.unique(earlier.user_S))
    if n_users < MIN_USERS:
        said = (
            f"Users who were there {options.horizon} {bins.unit}s before now: {n_users}, too few to learn from; risks "
            "and forecasts are not calibrated."
        )
        return states, churn(states), [said]
    before = states_of(earlier, options)
    came_S = _came(earlier, series, options.horizon)
    # The risk is learned from silences as they were before they were put right, then and now.
    users, found = churn(before), churn(states)
    states = forecasts_put_right(states, before, came_S, options)
    late_M = series.bin_M >= bins.count - options.horizon
    active = np.unique(np.repeat(series.user_S, np.diff(series.offsets))[late_M])
    quiet_U = ~np.isin(users.user_U, active)
    risk_U = calibrated_risk(users, earlier, quiet_U, found, series)
    said = (
        f"Risks are calibrated on the {options.horizon} {bins.unit}s before now, in which {quiet_U.mean():.1%} of "
        f"{len(quiet_U):,} users did nothing; forecasts on the {came_S.sum():,.0f} events that then came of their "
        f"interests, of which {before.forecast_S.sum():,.0f} were expected."
    )
    return states, replace(churn(states), risk_U=risk_U), [said]


def forecasts_put_right(
    states: InterestStates, before: InterestStates, came_S: Floats, options: StateOptions
) -> InterestStates:
    """Puts what may come of interests right by what came of earlier ones: the mean first, then how rates differ.

    Args:
        states: interests as they are now.
        before: interests as they stood at the earlier moment.
        came_S: events that came of each of these over the horizon.
        options: as both were found.

    Returns:
        The same with other forecasts, intervals and silences.
    """
    correction = forecast_correction(before, came_S)
    spread_S = rate_spreads(before, came_S, correction)[states.state_S]
    series = states.series
    found: dict[str, Any] = outlook(
        correction.applied(states),
        1 / (1 / states.shape_S + spread_S),
        states.dispersion_E[series.entity_S],
        series.unit_S,
        options.confidence,
    )
    return replace(states, **found)


@dataclass(frozen=True)
class Correction:
    """What came of forecasts: `factor[state] · forecast^power` events.

    Attributes:
        factor: of each state, `(states,)`; where the power is 1, events that came for one that was expected.
        power: above 1 where more than proportionally much came of large forecasts.
        reach: the smallest and the largest forecast it was learned from; beyond them it is proportional.
    """

    factor: Floats
    power: float
    reach: tuple[float, float]

    def applied(self, states: InterestStates) -> Floats:
        """Returns the forecasts of interests, put right, `(S,)`."""
        bent_S = np.clip(states.forecast_S, *self.reach) ** (self.power - 1)
        return np.asarray(states.forecast_S * bent_S * self.factor[states.state_S])


def forecast_correction(before: InterestStates, came_S: Floats) -> Correction:
    """Learns what forecasts are worth from those of an earlier moment.

    A forecast is of an interest that lives; how many of those in a state have ended unseen, an earlier moment tells.
    Those of many events have ended more seldom: the power that is common to all states tells how much so.

    Args:
        before: interests as they stood at the earlier moment.
        came_S: events that came of each over the horizon.
    """
    some_S = before.forecast_S > 0
    power, scale, reach = 1.0, 1.0, (1.0, 1.0)
    if some_S.any():
        some = before.forecast_S[some_S]
        power, reach = _power(before, came_S, some_S), (float(some.min()), float(some.max()))
        scale = float(some.sum() / (some**power).sum())
    # All forecasts together are what they were: what counts beside the prior's events are events.
    bent = Correction(np.full(len(STATES), scale), power, reach)
    came, expected = (
        np.bincount(before.state_S, weights=values, minlength=len(STATES)) for values in (came_S, bent.applied(before))
    )
    # Half an event on both sides: that none came, as of a log of one event a user, does not say that none ever will.
    overall = (came.sum() + HALF) / (expected.sum() + HALF)
    return replace(bent, factor=scale * (came + PRIOR_EVENTS * overall) / (expected + PRIOR_EVENTS))


def _power(before: InterestStates, came_S: Floats, some_S: NDArray[np.bool_]) -> float:
    """Returns the likeliest power of Poisson visits, whatever the factor of each state."""
    state_S = before.state_S[some_S]
    log_S = np.log(before.forecast_S[some_S])
    visits_S = (came_S / before.dispersion_E[before.series.entity_S])[some_S]
    visits, least, most = np.bincount(state_S, weights=visits_S), log_S.min(), log_S.max()

    def loss(power: float) -> float:
        # Given how many came of a state, each of its interests had its share: that of `forecast^power`.
        sums = np.bincount(state_S, weights=np.exp(power * (log_S - most)), minlength=len(visits))
        present = visits > 0
        gained = power * (visits_S @ (log_S - most)) - visits[present] @ np.log(sums[present])
        return float(PRIOR_POWER * (power - 1) ** 2 - gained)

    return 1.0 if least == most else float(minimize_scalar(loss, bounds=POWERS, method="bounded").x)


def rate_spreads(before: InterestStates, came_S: Floats, correction: Correction) -> Floats:
    """Returns for each state how much more rates differ than their shape says, `(states,)`.

    Some have ended and others have not: a factor of mean 1 and variance φ that each rate is multiplied by takes the
    shape k to `1 / (1 / k + φ)`, nearly. With φ as many interests are expected to keep silent as then did.

    Args:
        before: interests as they stood at the earlier moment.
        came_S: events that came of each over the horizon.
        correction: of the forecasts.
    """
    visits_S = correction.applied(before) / before.dispersion_E[before.series.entity_S]
    quiet_S = came_S == 0

    def expected(log_spread: float, rows: NDArray[np.bool_]) -> float:
        shape_S = 1 / (1 / before.shape_S[rows] + np.exp(log_spread))
        return float(np.exp(log_quiet(visits_S[rows], shape_S)).sum())

    def spread(quiet: float, rows: NDArray[np.bool_]) -> float:
        low, high = SPREADS
        if expected(low, rows) >= quiet:
            return low
        return (
            high if expected(high, rows) <= quiet else float(brentq(lambda at: expected(at, rows) - quiet, low, high))
        )

    overall = spread(quiet_S.sum(), np.ones(len(quiet_S), dtype=bool))
    found = np.full(len(STATES), overall)
    for state in np.unique(before.state_S):
        rows = before.state_S == state
        n, usual = rows.sum(), expected(overall, rows)
        found[state] = spread((quiet_S[rows].sum() * n + PRIOR_INTERESTS * usual) / (n + PRIOR_INTERESTS), rows)
    return np.asarray(np.exp(found))


def _came(earlier: IntensitySeries, series: IntensitySeries, horizon: int) -> Floats:
    """Returns how many events came of each earlier series in the last `horizon` bins, `(S,)`."""
    late_M = np.where(series.bin_M >= series.bins.count - horizon, series.value_M, 0.0)
    late_S = np.add.reduceat(late_M, series.offsets[:-1])
    n_entities = len(series.entities.labels)
    key_S, asked_S = (one.user_S.astype(np.int64) * n_entities + one.entity_S for one in (series, earlier))
    order = np.argsort(key_S)
    return np.asarray(late_S[order][np.searchsorted(key_S[order], asked_S)])


def calibrated_risk(
    before: Churn, then: IntensitySeries, quiet_U: NDArray[np.bool_], found: Churn, now: IntensitySeries
) -> Floats:
    """Learns from an earlier moment, whose outcome is known, what risks are worth.

    The product of the silences of a user's interests takes them for independent, and knows nothing of users who
    have left. A logistic regression on it and on recency, frequency and age of the user does.

    Args:
        before: risks as they stood at the earlier moment.
        then: what they came from.
        quiet_U: which of these users then did nothing over the horizon.
        found: risks as they stand now.
        now: what they came from, of all users.

    Returns:
        The risks of `found`, put right.
    """
    known, asked = (_known(churn, series) for churn, series in ((before, then), (found, now)))
    mean_C, scale_C = known.mean(axis=0), known.std(axis=0)
    scale_C[scale_C < SURE] = np.inf  # what is the same for everybody tells nothing
    weight_C, offset = _logistic((known - mean_C) / scale_C, quiet_U)
    return np.asarray(expit((asked - mean_C) / scale_C @ weight_C + offset))


def _known(churn: Churn, series: IntensitySeries) -> Floats:
    """Returns the log odds of the stated risk and what is known of each user besides, `(U, C)`."""
    user_U, first = np.unique(series.user_S, return_index=True)
    place = np.searchsorted(user_U, churn.user_U)
    last_S, sum_S = series.bin_M[series.offsets[1:] - 1], np.add.reduceat(series.value_M, series.offsets[:-1])
    since_last = series.bins.count - np.maximum.reduceat(last_S, first)
    since_first = series.bins.count - np.minimum.reduceat(series.first_S, first)
    facts = np.log1p(np.stack([since_last, np.add.reduceat(sum_S, first), since_first], axis=1))
    return np.column_stack([logit(np.clip(churn.risk_U, SURE, 1 - SURE)), facts[place]])


def _logistic(x_UC: Floats, label_U: NDArray[np.bool_]) -> tuple[Floats, float]:
    """Returns weights and offset of the most likely penalised logistic regression."""
    n, positive = len(label_U), int(label_U.sum())
    target_U = np.where(label_U, (positive + 1) / (positive + 2), 1 / (n - positive + 2))

    def objective(theta: Floats) -> tuple[float, Floats]:
        logit_U = x_UC @ theta[:-1] + theta[-1]
        loss = np.logaddexp(0, logit_U).sum() - target_U @ logit_U + 0.5 * PENALTY * theta[:-1] @ theta[:-1]
        wrong_U = expit(logit_U) - target_U
        return float(loss), np.append(wrong_U @ x_UC + PENALTY * theta[:-1], wrong_U.sum())

    start = np.append(np.zeros(x_UC.shape[1]), logit(target_U.mean()))
    theta = minimize(objective, start, jac=True, method="L-BFGS-B").x
    return theta[:-1], float(theta[-1])
