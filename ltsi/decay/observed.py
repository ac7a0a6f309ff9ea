"""What was observed, for the eye: the hazard in a few age bins of equal evidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ltsi.decay.forms import AMPLITUDE, FLOOR, FORMS, RISE, SLOW_AMPLITUDE, Floats, log_parameters
from ltsi.decay.result import EntityDecay


@dataclass(frozen=True)
class ObservedHazard:
    """Points of the observed hazard.

    Attributes:
        age_days: `(points,)`, the exposure's mean age in each bin.
        per_day: `(points,)`, returns per day at risk.
        error: `(points,)`, Poisson standard error of `per_day`.
    """

    age_days: Floats
    per_day: Floats
    error: Floats


def observed_hazard(returns: Floats, exposure: Floats, edges: Floats, until: float, points: int) -> ObservedHazard:
    """Merges fine bins into points that hold about equally many returns each.

    Args:
        returns: `(B,)`, returns in each fine bin.
        exposure: `(B,)`, days at risk in each fine bin.
        edges: `(B + 1,)`, edges of the fine bins in days.
        until: bins that start at or beyond this age are left out.
        points: how many points to aim at.
    """
    seen = (edges[:-1] < until) & (exposure > 0)
    count, days, age = returns[seen], exposure[seen], ((edges[:-1] + edges[1:]) / 2)[seen]
    if not count.sum():
        return ObservedHazard(np.empty(0), np.empty(0), np.empty(0))
    before = np.cumsum(count) - count
    point = np.minimum((before * points / count.sum()).astype(np.int64), points - 1)
    merged, merged_days, moment = (np.bincount(point, weights) for weights in (count, days, days * age))
    kept = merged_days > 0
    merged, merged_days, moment = merged[kept], merged_days[kept], moment[kept]
    return ObservedHazard(moment / merged_days, merged / merged_days, np.sqrt(merged) / merged_days)


def highest_fading(entity: EntityDecay, until: float) -> float:
    """Returns the most that the fading part of a hazard is before some age: at age 0, or after the rise."""
    if RISE not in entity.parameters:
        return entity.parameters[AMPLITUDE] + entity.parameters.get(SLOW_AMPLITUDE, 0.0)
    return float(fading_hazard(entity, np.linspace(0.0, until, 200)[1:]).max())


def fading_hazard(entity: EntityDecay, age_days: Floats) -> Floats:
    """Returns the fitted hazard without its floor, which rises as the rest does, at ages in days."""
    form = FORMS[str(entity.form)]
    theta = log_parameters(form, entity.parameters)
    if FLOOR in form.parameters:
        theta[0, form.parameters.index(FLOOR)] = -np.inf
    hazard: Floats = form.hazard(theta, age_days)[0]
    return hazard


def fitted_hazard(entity: EntityDecay, age_days: Floats) -> Floats:
    """Returns the fitted hazard per day at ages in days, of an entity that fades."""
    form = FORMS[str(entity.form)]
    hazard: Floats = form.hazard(log_parameters(form, entity.parameters), age_days)[0]
    return hazard
