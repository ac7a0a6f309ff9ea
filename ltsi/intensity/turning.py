"""Where a rising interest turns to falling: a tent in the logarithm of a Poisson rate.

`log rate(t) = a + rise · min(t − τ, 0) − fall · max(t − τ, 0)`; for each τ the rest is fitted by maximum likelihood,
for all series at once, and the best τ is taken.

Shape suffixes: S series, T bins, P parameters.
Sources: Julious 2001, "Inference and estimation in a changepoint regression problem"; Muggeo 2003, "Estimating
regression models with unknown break-points"; Schwarz 1978, "Estimating the dimension of a model".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

STEPS = 12
RIDGE = 1e-3
STEEPEST = 4.0
"""Largest change of a log rate per bin."""


@dataclass(frozen=True)
class Turning:
    """Tents, one a series.

    Attributes:
        at_S: int64, bin of the turn.
        rate_S: rate at the turn, per bin.
        rise_S: slope of the log rate before the turn, per bin.
        fall_S: slope after it, per bin; positive is a fall.
        fall_error_S: standard error of `fall_S`.
        evidence_S: log Bayes factor of the tent against a straight line (no turn), as Schwarz approximates it: the
            log-likelihood ratio less half the logarithm of the number of bins for each parameter, slope and τ.
        trend_S: slope of that line.
        trend_evidence_S: likewise, of the line against a constant.
    """

    at_S: Ints
    rate_S: Floats
    rise_S: Floats
    fall_S: Floats
    fall_error_S: Floats
    evidence_S: Floats
    trend_S: Floats
    trend_evidence_S: Floats


def find_turning(x_ST: Floats, exposure_ST: Floats) -> Turning:
    """Fits a tent to each series.

    Args:
        x_ST: effective counts.
        exposure_ST: 0 outside of what shall be looked at, else 1, or the season of the bin. Each series has something
            to look at, and something happened there.
    """
    n, bins = x_ST.shape
    t_T = np.arange(bins, dtype=np.float64)
    x_ST = x_ST * (exposure_ST > 0)
    level_S1 = np.log(x_ST.sum(axis=1) / exposure_ST.sum(axis=1))[:, None]
    flat_S = _log_likelihood(x_ST, exposure_ST, np.broadcast_to(level_S1, x_ST.shape))
    line_ST = np.stack([np.ones(bins), t_T - bins / 2], axis=1)
    beta_SP, line_S, _ = _fit(x_ST, exposure_ST, line_ST, level_S1)
    known_S = np.log((exposure_ST > 0).sum(axis=1))
    best_S, at_S = np.full(n, -np.inf), np.zeros(n, dtype=np.int64)
    found_S4 = np.zeros((n, 4))
    for tau in range(bins):
        inside_S = exposure_ST[:, tau] > 0
        if not inside_S.any():
            continue
        tent_TP = np.stack([np.ones(bins), np.minimum(t_T - tau, 0), -np.maximum(t_T - tau, 0)], axis=1)
        beta, value, error = _fit(x_ST[inside_S], exposure_ST[inside_S], tent_TP, level_S1[inside_S])
        rows = np.flatnonzero(inside_S)
        better = value > best_S[rows] + 1e-9
        rows = rows[better]
        best_S[rows], at_S[rows] = value[better], tau
        found_S4[rows] = np.column_stack([beta[better], error[better]])
    return Turning(
        at_S=at_S,
        rate_S=np.exp(found_S4[:, 0]),
        rise_S=found_S4[:, 1],
        fall_S=found_S4[:, 2],
        fall_error_S=found_S4[:, 3],
        evidence_S=np.maximum(best_S - line_S - known_S, 0.0),
        trend_S=beta_SP[:, 1],
        trend_evidence_S=np.maximum(line_S - flat_S - known_S / 2, 0.0),
    )


def _fit(x_ST: Floats, exposure_ST: Floats, design_TP: Floats, level_S1: Floats) -> tuple[Floats, Floats, Floats]:
    """Fits log rate = design · β by Newton steps; returns β `(S, P)`, log-likelihood and error of the last β `(S,)`."""
    width = design_TP.shape[1]
    outer = (design_TP[:, :, None] * design_TP[:, None, :]).reshape(len(design_TP), -1)
    beta = np.zeros((len(x_ST), width))
    beta[:, 0] = level_S1[:, 0]
    ridge = RIDGE * np.eye(width)
    ridge[0, 0] = 0.0
    curvature = np.zeros((len(x_ST), width, width))
    for _ in range(STEPS):
        mean_ST = exposure_ST * np.exp(np.clip(beta @ design_TP.T, -30, 30))
        gradient = (x_ST - mean_ST) @ design_TP - beta @ ridge
        curvature = (mean_ST @ outer).reshape(-1, width, width) + ridge + 1e-9 * np.eye(width)
        step = np.linalg.solve(curvature, gradient[:, :, None])[:, :, 0]
        beta += step * np.minimum(1.0, 2.0 / np.maximum(np.abs(step).max(axis=1), 1e-12))[:, None]
        beta[:, 1:] = np.clip(beta[:, 1:], -STEEPEST, STEEPEST)
    error = np.sqrt(np.maximum(np.linalg.inv(curvature)[:, -1, -1], 0.0))
    return beta, _log_likelihood(x_ST, exposure_ST, np.clip(beta @ design_TP.T, -30, 30)), error


def _log_likelihood(x_ST: Floats, exposure_ST: Floats, log_rate_ST: Floats) -> Floats:
    found: Floats = (x_ST * log_rate_ST - exposure_ST * np.exp(log_rate_ST)).sum(axis=1)
    return found
