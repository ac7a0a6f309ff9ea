"""Estimators of a return hazard: likelihoods, least squares, and the two formulas of the textbooks.

The formulas take the observed hazard for the truth. They know no censoring beyond the exposure they divide by, no floor
and no noise, and are here to be compared with; the likelihoods are what to use.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ltsi.decay.families import BINOMIAL, LEAST_SQUARES, POISSON, Family
from ltsi.decay.forms import AT_BOUND, FORMS, Floats, Form, bounds, ends, simpler, widened
from ltsi.decay.likelihood import EXACT, Maximum, maximise
from ltsi.decay.pairs import sums

NEGATIVE_BINOMIAL, LOG_LINEAR, LOG_RATIO = "negative_binomial", "log_linear", "log_ratio"
ESTIMATORS = (POISSON.name, BINOMIAL.name, NEGATIVE_BINOMIAL, LEAST_SQUARES.name, LOG_LINEAR, LOG_RATIO)
LIKELIHOODS = (POISSON.name, BINOMIAL.name, NEGATIVE_BINOMIAL)

_POINTS = 10
_TINY = 1e-300


def family_of(estimator: str) -> Family:
    """Returns the family in which an estimator's fits are judged; what is not binomial is judged as Poisson."""
    return {BINOMIAL.name: BINOMIAL}.get(estimator, POISSON)


def estimate(
    estimator: str,
    form: Form,
    returns: Floats,
    exposure: Floats,
    edges: Floats,
    start: Floats | None = None,
    least_gain: float = EXACT,
) -> Maximum:
    """Fits one form to many tables of returns and exposure.

    Args:
        estimator: a name in `ESTIMATORS`. Users who differ (negative_binomial) do not show in tables summed over them:
            such a fit starts from the Poisson fit that is returned here.
        form: the hazard; the textbook formulas know the exponential only.
        returns: `(P, B)`, returns in each age bin.
        exposure: `(P, B)`, exposure in each age bin.
        edges: `(B + 1,)`, edges of the bins in days.
        start: `(P, K)` log-parameters to start from.
        least_gain: see `maximise`.

    Returns:
        The estimates, with their log-likelihood whatever they were estimated by.
    """
    family = family_of(estimator)
    if estimator in (LOG_LINEAR, LOG_RATIO):
        formula = _log_linear if estimator == LOG_LINEAR else _log_ratio
        return _judged(form, returns, exposure, edges, formula(returns, exposure, edges), family)
    if estimator == LEAST_SQUARES.name:
        fit = maximise(form, returns, exposure, edges, start, least_gain, LEAST_SQUARES)
        return _judged(form, returns, exposure, edges, fit.theta, family)
    return maximise(form, returns, exposure, edges, start, least_gain, family)


def estimate_forms(
    estimator: str, names: Iterable[str], returns: Floats, exposure: Floats, edges: Floats
) -> dict[str, Maximum]:
    """Fits several forms, `FORMS` in their order.

    A form is fitted from a grid and, where it contains a form fitted before it, from there too: it then is never worse.
    """
    fits: dict[str, Maximum] = {}
    for name in names:
        form = FORMS[name]
        fits[name] = estimate(estimator, form, returns, exposure, edges)
        narrow = simpler(form)
        if narrow is not None and narrow.name in fits:
            begin = widened(form, narrow, fits[narrow.name].theta, returns, exposure, edges)
            fits[name] = fits[name].better(estimate(estimator, form, returns, exposure, edges, begin))
    return fits


def settled_forms(fits: dict[str, Maximum], returns: Floats, exposure: Floats, edges: Floats) -> dict[str, list[str]]:
    """Returns for each form what every fit of it amounts to, `N` names: a simpler form where it ran into its end.

    Args:
        fits: the maxima by form, simpler forms first, as `FORMS` has them.
        returns: `(N, B)`, which with the exposure says where the bounds lie.
        exposure: `(N, B)`.
        edges: `(B + 1,)`, edges of the bins in days.
    """
    found: dict[str, list[str]] = {}
    for name, fit in fits.items():
        low, own = bounds(FORMS[name], returns, exposure, edges)[0], [name] * len(fit.theta)
        for place, narrow in ends(FORMS[name]):
            ran = fit.theta[:, place] <= low[:, place] + AT_BOUND
            for at in np.flatnonzero(ran) if narrow.name in found else ():
                own[at] = found[narrow.name][at] if own[at] == name else own[at]
        found[name] = own
    return found


def _judged(form: Form, returns: Floats, exposure: Floats, edges: Floats, theta: Floats, family: Family) -> Maximum:
    low, high = bounds(form, returns, exposure, edges)
    inside = np.clip(theta, low, high)
    value = family.terms(returns, exposure, form.mean_hazard(inside, edges)[0])[0].sum(-1)
    return Maximum(inside, value, (inside <= low + 1e-6) | (inside >= high - 1e-6))


def _log_linear(returns: Floats, exposure: Floats, edges: Floats) -> Floats:
    """Fits a straight line to the logarithm of the observed hazard by ordinary least squares: `ln h = ln a − λ age`."""
    age, hazard, seen = _points(returns, exposure, edges, _POINTS)
    count = np.maximum(seen.sum(-1, keepdims=True), 1)
    log_hazard = np.log(np.where(seen, hazard, 1.0))
    centre = (age * seen).sum(-1, keepdims=True) / count
    middle = log_hazard.sum(-1, keepdims=True) / count
    moved = (age - centre) * seen
    slope = (moved * (log_hazard - middle)).sum(-1) / np.maximum((moved**2).sum(-1), _TINY)
    return _from_line(-slope, middle[:, 0] - slope * centre[:, 0])


def _log_ratio(returns: Floats, exposure: Floats, edges: Floats) -> Floats:
    """Takes `λ = −(1/Δt) · ln(I(t + Δt) / I(t))` between the earlier and the later half of the returns."""
    age, hazard, seen = _points(returns, exposure, edges, 2)
    log_hazard = np.log(np.where(seen, hazard, 1.0))
    elapsed = np.maximum(age[:, 1] - age[:, 0], _TINY)
    rate = np.where(seen.all(-1), -(log_hazard[:, 1] - log_hazard[:, 0]) / elapsed, 0.0)
    return _from_line(rate, log_hazard[:, 0] + rate * age[:, 0])


def _from_line(rate: Floats, log_amplitude: Floats) -> Floats:
    """Returns log-parameters; a rate that is not positive runs to the slowest that can be shown."""
    return np.stack([np.log(np.maximum(rate, _TINY)), log_amplitude], axis=1)


def _points(returns: Floats, exposure: Floats, edges: Floats, points: int) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Merges bins into points of about equally many returns: ages, hazards, whether there is any, `(P, points)`."""
    before = np.cumsum(returns, axis=1) - returns
    total = np.maximum(returns.sum(-1, keepdims=True), 1.0)
    point = np.minimum((before * points / total).astype(np.int64), points - 1)
    middle = (edges[:-1] + edges[1:]) / 2
    shape = (len(returns), points)
    cell = (np.arange(len(returns))[:, None] * points + point).ravel()

    def merged(value: Floats) -> Floats:
        return sums(cell, value.ravel(), shape[0] * shape[1]).reshape(shape)

    count, days, moment = merged(returns), merged(exposure), merged(exposure * middle)
    seen = (count > 0) & (days > 0)
    days = np.where(seen, days, 1.0)
    return moment / days, count / days, seen
