"""What the calendar does to everybody: weekdays, and the time of the year.

Shape suffixes: T bins.
Source: the ratio-to-moving-average method, e.g. Hyndman & Athanasopoulos 2021, "Forecasting: Principles and Practice",
section 3.4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ltsi.intensity.series import DAY, Bins, IntensitySeries

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

YEAR = 365.25 * DAY
WHOLE_YEARS = 2
"""With fewer years the time of the year cannot be told from the course of the log."""

MONDAY = 4 * DAY
"""1970-01-05, seconds since epoch."""

MONTHS = 12


@dataclass(frozen=True)
class Seasons:
    """Factors with mean 1.

    Attributes:
        weekday: `(7,)` from Monday on, or None where bins are weeks and weekdays play no part.
        month: `(12,)`, twelfths of a year from January on, or None where the log is shorter than two years.
    """

    weekday: Floats | None
    month: Floats | None

    def factor(self, bins: Bins, index: Ints) -> Floats:
        """Returns the factor of bins, which may lie beyond the last."""
        middle = bins.moment(index) + bins.seconds // 2
        found = np.ones(len(index))
        if self.weekday is not None:
            found *= self.weekday[_weekday(middle)]
        if self.month is not None:
            found *= self.month[_month(middle)]
        return found


def seasons(series: IntensitySeries) -> Seasons:
    """Estimates what weekdays and the time of the year do to the total of all series.

    A day on which nothing ever happens has factor 0: the shop was closed, which says nothing about anybody's interest.

    Args:
        series: daily or weekly.
    """
    bins, total_T = series.bins, series.total_T
    index_T = np.arange(bins.count)
    weekday = None
    if bins.unit == "day" and bins.count >= 14:
        weekday = _factors(_weekday(bins.moment(index_T) + DAY // 2), total_T, 7)
        with np.errstate(divide="ignore", invalid="ignore"):
            total_T = np.where(weekday[_weekday(bins.moment(index_T) + DAY // 2)] > 0, total_T, np.nan)
    month = None
    per_year = round(YEAR / bins.seconds)
    if bins.count >= WHOLE_YEARS * per_year:
        around = np.convolve(np.nan_to_num(total_T), np.ones(per_year) / per_year, mode="same")
        half = per_year // 2
        # Where the window of a year is whole; the course of the log is divided out.
        whole = slice(half, bins.count - half)
        ratio = np.nan_to_num(total_T[whole]) / np.maximum(around[whole], 1e-12)
        month = _factors(_month(bins.moment(index_T[whole]) + bins.seconds // 2), ratio, MONTHS)
    return Seasons(weekday, month)


def _factors(phase: Ints, value: Floats, phases: int) -> Floats:
    known = ~np.isnan(value)
    n = np.bincount(phase[known], minlength=phases)
    mean = np.bincount(phase[known], weights=value[known], minlength=phases) / np.maximum(n, 1)
    # A phase that the log never reached is an average one.
    mean = np.where(n > 0, mean, mean[n > 0].mean() if known.any() else 1.0)
    return np.asarray(mean / mean.mean()) if mean.sum() > 0 else np.ones(phases)


def _weekday(seconds: Ints) -> Ints:
    return (seconds - MONDAY) // DAY % 7


def _month(seconds: Ints) -> Ints:
    return np.asarray((seconds % YEAR) / YEAR * MONTHS).astype(np.int64) % MONTHS
