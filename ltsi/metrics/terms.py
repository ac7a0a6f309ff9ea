"""A metric of labelled examples as a ratio of two sums: what averages, intervals over users and tests are made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

THRESHOLD = 0.5
"""An example is predicted positive from this probability on."""

Labels = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Terms:
    """What each example adds to the numerator and to the denominator of a metric, `(N,)` each.

    A user's share of the metric is the sums over the user's examples, so a resample of users needs no second look at
    the examples.
    """

    numerator_N: Floats
    denominator_N: Floats

    def value(self) -> float:
        """Returns the metric; NaN where there is nothing to divide by."""
        denominator = self.denominator_N.sum()
        return float(self.numerator_N.sum() / denominator) if denominator else float("nan")


def predicted(probability_N: Floats) -> Labels:
    """Returns which examples are predicted positive, `(N,)`."""
    return np.asarray(probability_N >= THRESHOLD)
