"""What metrics of forecasts read."""

from __future__ import annotations

from dataclasses import dataclass

from ltsi.metrics.terms import Floats


@dataclass(frozen=True)
class Forecasts:
    """Forecasts and what came, `(N,)` each.

    Attributes:
        actual_N: what came.
        predicted_N: the forecast.
        low_N: lower bound of its interval.
        high_N: upper bound.
        scale_N: mean absolute change of the series from one training bin to the next; 0 of a constant series.
    """

    actual_N: Floats
    predicted_N: Floats
    low_N: Floats
    high_N: Floats
    scale_N: Floats
