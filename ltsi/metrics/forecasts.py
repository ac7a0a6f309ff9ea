"""What metrics of forecasts read.

Source: Gneiting 2011, "Making and evaluating point forecasts": a score judges the point it is lowest for.
"""

from __future__ import annotations

from dataclasses import dataclass

from ltsi.metrics.terms import Floats


@dataclass(frozen=True)
class Forecasts:
    """Forecasts and what came, `(N,)` each.

    Attributes:
        actual_N: what came.
        mean_N: forecast of the mean, which squared errors judge.
        median_N: forecast of the median, which absolute errors judge.
        low_N: lower bound of the interval.
        high_N: upper bound.
        scale_N: mean absolute change of the series from one training bin to the next; 0 of a constant series.
    """

    actual_N: Floats
    mean_N: Floats
    median_N: Floats
    low_N: Floats
    high_N: Floats
    scale_N: Floats
