"""How well a fitted hazard describes what was seen, and how much more the counts scatter than chance would have it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ltsi.decay.families import Family
from ltsi.decay.forms import Floats
from ltsi.decay.pairs import Pairs

LEAST_EXPECTED = 5.0
"""Bins are merged until each expects this many returns: with fewer, chi-squared is not chi-squared (Cochran 1954)."""


def dispersion(pairs: Pairs, hazard: Floats, family: Family) -> Floats:
    """Returns by how much the counts of groups of users scatter more than chance would have it, `(N,)`.

    The robust variance of the rate of returns over the family's: squared residuals of the groups over the variance
    that is expected of them. It is 1 where users do not differ and returns do not come in series.

    Args:
        pairs: the statistics by entity and group.
        hazard: `(N, B)`, fitted mean hazards.
        family: whether returns are counted in time or among trials.
    """
    squares = pairs.by_entity((pairs.returns - pairs.expected(hazard)) ** 2)
    total = pairs.by_entity(pairs.expected(family.variance(hazard)))
    count = np.bincount(pairs.entity, minlength=pairs.n_entities)
    ratio: Floats = squares / np.where(total > 0, total, 1.0) * count / np.maximum(count - 1, 1)
    return ratio


def goodness_of_fit(returns: Floats, expected: Floats, variance: Floats, n_parameters: int, scale: Floats) -> Floats:
    """Tests whether the observed returns follow the fitted curve.

    Pearson's chi-squared over age bins, merged until each expects LEAST_EXPECTED returns, divided by the dispersion
    (Rao & Scott 1984, "On chi-squared tests for multiway contingency tables", first-order correction).

    Args:
        returns: `(N, B)`, observed.
        expected: `(N, B)`, fitted.
        variance: `(N, B)`, of the returns, as the family has it.
        n_parameters: parameters that were fitted.
        scale: `(N,)`, the dispersion; less than 1 counts as 1.

    Returns:
        p-values, `(N,)`: small where the form does not describe the curve; 1 where too few bins are left to tell.
    """
    place = _merged(expected)
    found = np.ones(len(returns))
    for at, part in enumerate(place):
        seen, wanted, spread = (np.bincount(part, each[at]) for each in (returns, expected, variance))
        freedom = len(seen) - n_parameters
        if freedom >= 1 and np.all(spread > 0):
            statistic = float(((seen - wanted) ** 2 / spread).sum()) / max(float(scale[at]), 1.0)
            found[at] = stats.chi2.sf(statistic, freedom)
    return found


def _merged(expected: Floats) -> NDArray[np.int64]:
    """Returns the merged bin of each bin, `(N, B)`; what is left over at the end joins the last full one."""
    place = np.empty(expected.shape, dtype=np.int64)
    now, held = np.zeros(len(expected), dtype=np.int64), np.zeros(len(expected))
    for age_bin in range(expected.shape[1]):
        place[:, age_bin] = now
        held += expected[:, age_bin]
        full = held >= LEAST_EXPECTED
        now, held = now + full, np.where(full, 0.0, held)
    return np.minimum(place, np.maximum(now - 1, 0)[:, None])
