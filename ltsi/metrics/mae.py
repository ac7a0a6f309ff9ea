"""Mean absolute error."""

from __future__ import annotations

import numpy as np

from ltsi.metrics.forecasts import Forecasts
from ltsi.metrics.terms import Terms


def mae(forecasts: Forecasts) -> Terms:
    """Returns `|q − x|`, q the forecast median: its mean is lowest for who knows the median of what may come.

    Where most bins are empty that median is 0, and 0 is a hard forecast to beat: read it beside the mean squared error.

    Args:
        forecasts: the forecasts.

    Returns:
        The absolute error in the numerator, 1 everywhere in the denominator.
    """
    error_N = np.abs(forecasts.median_N - forecasts.actual_N)
    return Terms(error_N, np.ones(len(error_N)))
