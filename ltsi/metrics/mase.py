"""Mean absolute scaled error."""

from __future__ import annotations

import numpy as np

from ltsi.metrics.forecasts import Forecasts
from ltsi.metrics.terms import Terms


def mase(forecasts: Forecasts) -> Terms:
    """Returns `|q − x| / scale`, q the forecast median, scale the error of the naive forecast on training bins.

    `scale = mean |x(t) − x(t − 1)|`. 1 is as good as repeating the last value was in training. A series that is
    constant in training has scale 0: its error cannot be scaled, so it is left out of the mean (numerator and
    denominator 0); if all are constant there is nothing to divide by and the metric is not defined.

    Source: Hyndman & Koehler 2006, "Another look at measures of forecast accuracy".

    Args:
        forecasts: the forecasts.
    """
    scaled_N = forecasts.scale_N > 0
    error_N = np.abs(forecasts.median_N - forecasts.actual_N) / np.where(scaled_N, forecasts.scale_N, 1.0)
    return Terms(np.where(scaled_N, error_N, 0.0), scaled_N.astype(np.float64))
