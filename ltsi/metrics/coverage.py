"""Coverage of intervals."""

from __future__ import annotations

import numpy as np

from ltsi.metrics.forecasts import Forecasts
from ltsi.metrics.terms import Terms


def coverage(forecasts: Forecasts) -> Terms:
    """Returns whether what came lies in the interval, its bounds included.

    It should be what the interval promises (0.9), neither less nor more. Where most bins are empty and every interval
    begins at 0 it is often more, for 0 cannot be cut in half.

    Args:
        forecasts: the forecasts.

    Returns:
        1 or 0 in the numerator, 1 everywhere in the denominator.
    """
    held_N = (forecasts.low_N <= forecasts.actual_N) & (forecasts.actual_N <= forecasts.high_N)
    return Terms(held_N.astype(np.float64), np.ones(len(held_N)))
