"""Mean squared error."""

from __future__ import annotations

import numpy as np

from ltsi.metrics.forecasts import Forecasts
from ltsi.metrics.terms import Terms


def mse(forecasts: Forecasts) -> Terms:
    """Returns `(m − x)²`, m the forecast mean: its mean is lowest for who knows the mean of what may come.

    It is in squared events, so a few heavy series decide it.

    Args:
        forecasts: the forecasts.

    Returns:
        The squared error in the numerator, 1 everywhere in the denominator.
    """
    error_N = forecasts.mean_N - forecasts.actual_N
    return Terms(error_N**2, np.ones(len(error_N)))
