"""Partial pooling: a thin entity borrows from its category, a thin category from all.

Log-rates are normal around those of the level above, `θ_e ~ N(θ_parent(e), τ²)`, with one spread `τ²` for each level,
estimated from the entities themselves (empirical Bayes: Efron & Morris 1975, "Data analysis using Stein's estimator and
its generalizations"; the spread by Paule & Mandel 1982, "Consensus values and weighting factors": one entity that is
unlike the others counts, however unsure it is). What an entity's own data say is then weighed against its parent by how
sure either is; with no data of its own it is its parent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from ltsi.decay.forms import Floats


@dataclass(frozen=True)
class Pooled:
    """What is believed of each of `E` entities after borrowing.

    Attributes:
        mean: `(E,)`.
        error: `(E,)`, standard error.
        own_weight: `(E,)`, share of the entity's own data in the mean: 0 where it has none.
        spreads: `τ` of each level, from the entities up.
    """

    mean: Floats
    error: Floats
    own_weight: Floats
    spreads: tuple[float, ...]


def partial_pool(estimate: Floats, error: Floats, parents: Sequence[NDArray[np.integer]] = ()) -> Pooled:
    """Shrinks estimates towards those of the levels above.

    Args:
        estimate: `(E,)`; ignored where the error is infinite.
        error: `(E,)`, standard errors, positive; infinite where an entity has no estimate of its own.
        parents: for each level above the entities, from the lowest up, the code of the parent of each member of the
            level below: `(E,)`, then one entry for each parent, ... Above the last of them stand all.

    Returns:
        The pooled estimates.

    Raises:
        ValueError: nobody has an estimate, or an error is not positive.
    """
    if not np.any(np.isfinite(error)):
        raise ValueError("partial pooling needs at least one entity with an estimate of its own")
    if not np.all(error > 0):
        raise ValueError("partial pooling needs positive standard errors")
    return _shrink(np.where(np.isfinite(error), estimate, 0.0), error**2, list(parents))


def _shrink(estimate: Floats, variance: Floats, parents: list[NDArray[np.integer]]) -> Pooled:
    code = parents[0].astype(np.int64) if parents else np.zeros(len(estimate), dtype=np.int64)
    spread = _spread(estimate, variance, code)
    total = variance + spread
    weight = np.where(np.isfinite(total), 1.0 / total, 0.0)
    count = int(code.max()) + 1
    summed = np.bincount(code, weight, minlength=count)
    held = summed > 0
    mean = np.where(held, np.bincount(code, weight * estimate, minlength=count) / np.where(held, summed, 1.0), 0.0)
    uncertain = np.where(held, 1.0 / np.where(held, summed, 1.0), np.inf)
    if parents:
        above = _shrink(mean, uncertain, parents[1:])
        mean, uncertain, spreads = above.mean, above.error**2, above.spreads
    else:
        spreads = ()
    known = np.isfinite(variance)
    own = np.where(known, spread / (spread + np.where(known, variance, 1.0)), 0.0)
    # What is left of the entity's own spread, and the doubt about the parent as far as it counts.
    error = np.sqrt(np.where(known, own * np.where(known, variance, 0.0), spread) + (1.0 - own) ** 2 * uncertain[code])
    return Pooled(own * estimate + (1.0 - own) * mean[code], error, own, (float(np.sqrt(spread)), *spreads))


def _spread(estimate: Floats, variance: Floats, code: NDArray[np.int64]) -> float:
    """Returns `τ²` of entities around their parents: where their scatter is what it should be, else 0."""
    known = np.isfinite(variance)
    value, variance, code = estimate[known], variance[known], code[known]
    _, place = np.unique(code, return_inverse=True)

    def excess(spread: float) -> float:
        weight = 1.0 / (variance + spread)
        mean = np.bincount(place, weight * value) / np.bincount(place, weight)
        return float((weight * (value - mean[place]) ** 2).sum()) - freedom

    freedom = len(value) - int(place.max()) - 1
    if freedom < 1 or excess(0.0) <= 0:
        return 0.0
    # With this spread alone no scatter is larger than the freedom.
    largest = float(((value - value.mean()) ** 2).sum()) + 1.0
    return float(optimize.brentq(excess, 0.0, largest, rtol=1e-6))
