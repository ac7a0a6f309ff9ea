"""Root of the mean squared error."""

from __future__ import annotations

import math

from ltsi.metrics.forecasts import Forecasts
from ltsi.metrics.mse import mse


def rmse(forecasts: Forecasts) -> float:
    """Returns `√MSE`, in events; see `mse`. A root is no mean over series, so none can be resampled.

    Args:
        forecasts: the forecasts.
    """
    return math.sqrt(mse(forecasts).value())
