"""How likely users are to fall silent, put right by what came of earlier ones.

Shape suffixes: S series, U users, C what is known of a user.
Sources: Fader, Hardie & Lee 2005, "Counting Your Customers the Easy Way" (recency, frequency and age are what is to be
known of a customer); Platt 1999, "Probabilistic Outputs for Support Vector Machines", section 2.2 (smoothed labels).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit

from ltsi.intensity.churn import Churn, churn
from ltsi.intensity.options import StateOptions
from ltsi.intensity.series import IntensitySeries, intensity_series
from ltsi.intensity.states import states_of
from ltsi.store import Store

Floats = NDArray[np.float64]

PENALTY = 1.0
"""Of the square of each standardised weight, in nats: a log of few users has no say against it."""

SURE = 1e-6
"""Stated risks are at least so far from certainty before they are put right."""


def calibrated(
    found: Churn,
    series: IntensitySeries,
    store: Store,
    entity: str,
    options: StateOptions,
    weights: Mapping[str, float] | None = None,
) -> tuple[Churn, list[str]]:
    """Puts risks right by what came of the risks of one horizon before; see `calibrated_risk`.

    Args:
        found: users at risk.
        series: what they came from, of all users.
        store: what was counted.
        entity: as `series` was asked for.
        options: as they were found.
        weights: as `series` was asked for.

    Returns:
        The same with other risks, and sentences on how they were put right.
    """
    bins = series.bins
    if bins.count <= options.horizon + 1:
        return found, ["The log is too short to look one horizon back: risks are not calibrated."]
    then = bins.now - options.horizon * bins.seconds
    earlier = intensity_series(store, entity, unit=bins.unit, now=then, weights=weights)
    before = churn(states_of(earlier, options))
    active = np.unique(np.repeat(series.user_S, np.diff(series.offsets))[series.bin_M >= bins.count - options.horizon])
    quiet_U = ~np.isin(before.user_U, active)
    risk_U = calibrated_risk(before, earlier, quiet_U, found, series)
    said = (
        f"Risks are calibrated on the {options.horizon} {bins.unit}s before now, in which {quiet_U.mean():.1%} of "
        f"{len(quiet_U):,} users did nothing."
    )
    return replace(found, risk_U=risk_U), [said]


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
