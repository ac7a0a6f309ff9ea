"""The exponential decay of an interest, its half-life, and the rate between two observations of it.

Rates are per unit of the time they are used with; where a name ends in `_per_day`, that unit is a day.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

LN2 = math.log(2.0)


def intensity(age: ArrayLike, initial: ArrayLike, rate: ArrayLike) -> NDArray[np.float64]:
    """Computes the interest left after some time, `I(t) = I0 · exp(−λ t)`.

    Args:
        age: time since the interest was `initial`, any shape.
        initial: `I0`, broadcast against `age`.
        rate: `λ`, per unit of `age`, broadcast against `age`.

    Returns:
        `I(t)`, of the broadcast shape.
    """
    left: NDArray[np.float64] = np.multiply(initial, np.exp(-np.multiply(rate, age)))
    return left


def half_life(rate: float) -> float:
    """Computes the time after which half of an interest is left, `ln 2 / λ`, in the unit of `1 / rate`.

    Raises:
        ValueError: the rate is not positive, so the interest never halves.
    """
    if not rate > 0:
        raise ValueError(f"an interest that fades at rate {rate} has no half-life; the rate must be positive")
    return LN2 / rate


def log_ratio_rate(earlier: ArrayLike, later: ArrayLike, elapsed: ArrayLike) -> NDArray[np.float64]:
    """Computes the rate between two observed intensities, `λ = −(1/Δt) · ln(I(t + Δt) / I(t))`.

    Exact on a noiseless exponential, whatever `t` and `Δt`; it knows neither noise nor censoring, which is what
    `ltsi.decay.return_decay` is for.

    Args:
        earlier: `I(t)`, positive.
        later: `I(t + Δt)`, positive.
        elapsed: `Δt`, positive.

    Returns:
        `λ` per unit of `elapsed`, of the broadcast shape; negative where the intensity has risen.

    Raises:
        ValueError: an intensity or an elapsed time is not positive.
    """
    before, after, delta = (np.asarray(value, dtype=np.float64) for value in (earlier, later, elapsed))
    if not (np.all(before > 0) and np.all(after > 0) and np.all(delta > 0)):
        raise ValueError("the log-ratio rate needs positive intensities and positive elapsed times")
    rate: NDArray[np.float64] = -np.log(after / before) / delta
    return rate
