"""From log-parameters to what a row of the table says, or why it says nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ltsi.decay.forms import (
    AMPLITUDE,
    AT_BOUND,
    EXPONENT,
    FLOOR,
    FORMS,
    LN2,
    RATE,
    Floats,
    Form,
    bounds,
    has_half_life,
    values,
)
from ltsi.decay.result import EntityDecay

NO_FALL = "the return rate does not fall with age"
TOO_FAST = "the return rate falls faster than visits can show; set a smaller session_gap_days"
AT_LOWER_END = "the exponent ran into its lower bound and has no interval"
NO_UPPER_END = "the log is too short to bound the half-life from above"


def with_point(row: EntityDecay, form: Form, theta: Floats, exposure: Floats, edges: Floats) -> EntityDecay:
    """Puts the estimates of one fit into a row, or a note where they mean that nothing fades, or too fast to be seen.

    Args:
        row: the row, with its counts.
        form: the form.
        theta: `(K,)`, log-parameters.
        exposure: `(B,)`, exposure in each age bin, as it was fitted to.
        edges: edges of the age bins in days.
    """
    given = values(form, theta)
    low_K = bounds(form, np.ones((1, 1)), np.ones((1, 1)), edges)[0][0]
    falls = _falls_by(form)
    flat = bool(np.all(theta[falls] <= low_K[falls] + AT_BOUND))
    # A fading part that not one return is expected of has a rate of its own only by chance.
    if flat or (FLOOR in given and _fading_returns(form, theta, exposure, edges) < 1):
        overall = row.returns / row.exposure
        return replace(row, form=form.name, rate_per_day=0.0, amplitude=0.0, floor=overall, note=NO_FALL)
    if too_fast(form, theta[None], edges)[0]:
        return replace(row, form=form.name, note=TOO_FAST)
    return replace(
        row,
        form=form.name,
        rate_per_day=given.get(RATE),
        half_life_days=LN2 / given[RATE] if has_half_life(form) else None,
        amplitude=given[AMPLITUDE],
        floor=given.get(FLOOR, 0.0),
        parameters=given,
    )


def too_fast(form: Form, theta: Floats, edges: Floats) -> NDArray[np.bool_]:
    """Returns which fits fall faster than visits can show, `(P,)`: what they fall by ran into its upper bound.

    Args:
        form: the form.
        theta: `(P, K)`, log-parameters.
        edges: edges of the age bins in days.
    """
    falls = _falls_by(form)
    fastest = bounds(form, np.ones((1, 1)), np.ones((1, 1)), edges)[1][0]
    found: NDArray[np.bool_] = np.any(theta[:, falls] >= fastest[falls] - AT_BOUND, axis=1)
    return found


def _falls_by(form: Form) -> list[int]:
    """Returns the places of the parameters that a form falls by; a power law with a cut-off falls by either of two."""
    return [place for place, name in enumerate(form.parameters) if name in (RATE, EXPONENT)]


def _fading_returns(form: Form, theta: Floats, exposure: Floats, edges: Floats) -> float:
    """Returns the returns that a form expects if its floor is taken away."""
    without = theta.copy()
    without[form.parameters.index(FLOOR)] = -np.inf
    return float(form.mean_hazard(without[None], edges)[0][0] @ exposure)


def with_ends(row: EntityDecay, low: float, high: float, edges: Floats) -> EntityDecay:
    """Puts the interval of the first log-parameter into a row; an exponent on its lower bound has none."""
    form = FORMS[str(row.form)]
    slowest = bounds(form, np.ones((1, 1)), np.ones((1, 1)), edges)[0][0, 0]
    if not has_half_life(form):
        if np.log(row.parameters[EXPONENT]) <= slowest + AT_BOUND:
            return replace(row, note=AT_LOWER_END)
        return replace(row, exponent_low=float(np.exp(low)), exponent_high=float(np.exp(high)))
    # An end at the slowest rate has no fall in it: the half-life then has no upper end.
    unbounded = low <= slowest + AT_BOUND
    return replace(
        row,
        half_life_low_days=LN2 / float(np.exp(high)),
        half_life_high_days=None if unbounded else LN2 / float(np.exp(low)),
        note=NO_UPPER_END if unbounded else row.note,
    )
