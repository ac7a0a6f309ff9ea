"""Intervals from the profile likelihood: all values of a parameter that the data do not speak against.

The value is held, all other parameters are fitted again, and the interval ends where twice the loss of log-likelihood
reaches the quantile of chi-squared with one degree of freedom (Venzon & Moolgavkar 1988, "A method for computing
profile-likelihood-based confidence intervals"). Counts scatter more than Poisson's where users differ; the loss is
divided by the dispersion that was found, as quasi-likelihood does (McCullagh & Nelder 1989, section 9.2).
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from ltsi.decay.families import Family
from ltsi.decay.forms import Floats, Form, bounds
from ltsi.decay.likelihood import Maximum, information, maximise

_STEPS = 30
_PRECISION = 1e-3
_LEAST_GAIN = 1e-6


def profile_interval(
    form: Form,
    fit: Maximum,
    returns: Floats,
    exposure: Floats,
    edges: Floats,
    confidence: float,
    dispersion: Floats,
    family: Family,
) -> tuple[Floats, Floats]:
    """Returns the ends of the interval of the first log-parameter, each `(P,)`.

    An end at which even the bound of the parameter is not spoken against is that bound.

    Args:
        form: the form.
        fit: its maxima, `P` of them.
        returns: `(P, B)`.
        exposure: `(P, B)`.
        edges: `(B + 1,)`, days.
        confidence: coverage.
        dispersion: `(P,)`, variance over Poisson's; less than 1 counts as 1.
        family: the likelihood.
    """
    allowed = stats.chi2.ppf(confidence, 1) / 2 * np.maximum(dispersion, 1.0)
    curvature = np.einsum("pkk->pk", np.linalg.pinv(information(form, fit.theta, returns, exposure, edges, family)))
    reach = np.sqrt(2 * allowed * np.maximum(curvature[:, 0], 1e-12))
    limits = [end[:, 0] for end in bounds(form, returns, exposure, edges)]
    ends = [_search(form, fit, (returns, exposure, edges), family, allowed, at, reach) for at in limits]
    return ends[0], ends[1]


def _search(
    form: Form,
    fit: Maximum,
    data: tuple[Floats, Floats, Floats],
    family: Family,
    allowed: Floats,
    limit: Floats,
    reach: Floats,
) -> Floats:
    """Returns where, between the maximum and a limit, the loss is what is allowed; the limit if it is nowhere.

    The root of the loss is nearly straight, so each step goes where a straight root would be; the bracket is kept.
    """
    centre, theta = fit.theta[:, 0], fit.theta.copy()
    inside, outside = centre.copy(), limit.copy()
    held = np.clip(centre + np.sign(limit - centre) * reach, np.minimum(centre, limit), np.maximum(centre, limit))
    active = np.flatnonzero(np.abs(limit - centre) > _PRECISION)
    inside = np.where(np.abs(limit - centre) > _PRECISION, inside, limit)
    for _ in range(_STEPS):
        if not len(active):
            break
        again = maximise(
            form, data[0][active], data[1][active], data[2], theta[active], _LEAST_GAIN, family, held[active]
        )
        loss = np.maximum(fit.log_likelihood[active] - again.log_likelihood, 1e-12)
        fits = loss <= allowed[active]
        theta[active[fits]] = again.theta[fits]
        inside[active[fits]], outside[active[~fits]] = held[active[fits]], held[active[~fits]]
        straight = centre[active] + (held[active] - centre[active]) * np.sqrt(allowed[active] / loss)
        near, far = inside[active], outside[active]
        between = (straight - near) * (straight - far) < 0
        at_limit = fits & ((straight - far) * (far - near) >= 0)
        held[active] = np.where(at_limit, far, np.where(between, straight, (near + far) / 2))
        close = np.abs(loss / allowed[active] - 1.0) < _PRECISION
        reached = fits & (near == limit[active])
        inside[active[close & ~fits]] = outside[active[close & ~fits]]
        active = active[~(close | reached | (np.abs(far - near) < _PRECISION))]
    return inside
