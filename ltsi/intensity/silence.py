"""How long an interest that is alive may keep silent.

The gaps between active bins are exponential with a rate that differs from series to series as a gamma distribution
does, so gaps of an entity follow a Lomax distribution, and a series with gaps of its own has a posterior in
closed form.

Shape suffixes: S series, E entities, N gaps.
Source: Schmittlein, Morrison & Colombo 1987, "Counting your customers: who are they and what will they do next?", whose
customers buy at gamma rates until they leave.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from ltsi.intensity.series import IntensitySeries

Floats = NDArray[np.float64]

PRIOR_GAPS = 20.0
"""Gaps that are as good as known about an entity: its mean gap is drawn towards that of all."""

SAMPLE = 200_000
"""Gaps that the distribution is fitted on, at most."""


@dataclass(frozen=True)
class Silence:
    """Gamma distribution of the rate of an interest that is alive, by entity.

    Attributes:
        shape: of the gamma distribution, the same for all entities.
        scale_E: `(E,)`, bins; its rate parameter.
    """

    shape: float
    scale_E: Floats

    def probability(self, entity_S: NDArray[np.int64], gaps_S: Floats, lasted_S: Floats, silent_S: Floats) -> Floats:
        """Returns the probability that a living interest keeps silent as long.

        `P(gap ≥ w | n gaps of b bins together) = ((β + b) / (β + b + w))^(α + n)`.

        Args:
            entity_S: entity of each series.
            gaps_S: gaps that it had, n.
            lasted_S: their length together, b.
            silent_S: the silence asked about, w.
        """
        scale = self.scale_E[entity_S] + lasted_S
        return np.asarray((scale / (scale + silent_S)) ** (self.shape + gaps_S))


def fit_silence(series: IntensitySeries) -> Silence:
    """Fits the gaps between the active bins of all series.

    Args:
        series: where no series has two active bins, gaps are taken to be of one bin and half as many again.
    """
    n_entities = len(series.entities.labels)
    inside = np.ones(len(series.bin_M), dtype=bool)
    inside[series.offsets[:-1]] = False
    gap_N = np.diff(series.bin_M, prepend=0)[inside].astype(np.float64)
    if not len(gap_N):
        return Silence(2.0, np.full(n_entities, 1.5))
    entity_N = np.repeat(series.entity_S, np.diff(series.offsets))[inside]
    step = max(1, len(gap_N) // SAMPLE)
    seen, weight = np.unique(gap_N[::step], return_counts=True)

    def loss(theta: Floats) -> float:
        shape, scale = np.exp(theta)
        # A gap of g bins is known to the bin: it lies between g − 1/2 and g + 1/2.
        log_more, log_less = (-shape * np.log1p((seen + half) / scale) for half in (-0.5, 0.5))
        return float(-(weight * np.log(np.maximum(np.exp(log_more) - np.exp(log_less), 1e-300))).sum())

    start = [1.0, float(np.log(gap_N.mean() + 1))]
    found = optimize.minimize(loss, start, method="L-BFGS-B", bounds=[(-2.0, 5.0), (-3.0, 12.0)])
    shape, scale = (float(value) for value in np.exp(found.x))
    total = np.bincount(entity_N, weights=gap_N, minlength=n_entities)
    count = np.bincount(entity_N, minlength=n_entities)
    mean = gap_N.mean()
    return Silence(shape, scale * (total + PRIOR_GAPS * mean) / (count + PRIOR_GAPS) / mean)
