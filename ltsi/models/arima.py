"""ARIMA: a series explained by its own last values and its last surprises.

Shape suffixes: S series, B windows, L positions, H steps ahead, P autoregressive terms, Q moving-average terms,
R terms of both, T bins.
Sources: Box & Jenkins 1970, "Time Series Analysis: Forecasting and Control"; Hannan & Rissanen 1982, "Recursive
estimation of mixed autoregressive-moving average order" (the estimator).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ltsi.errors import ConfigError
from ltsi.intensity.series import IntensitySeries
from ltsi.models.forecaster import Forecaster
from ltsi.windows import Points, Windows

log = logging.getLogger(__name__)

LEAST_BINS = 12
"""A shorter training series has no ARIMA of its own: it is forecast by its mean, or its last value where d is 1."""

LONG = 4
"""Terms of the long autoregression, at least."""

LARGEST = 0.98
"""Largest root of a stationary autoregression."""

PRIOR_BINS = 20.0
"""Bins that are as good as seen of a series: short ones are drawn towards what all have in common."""

BLOCK = 20_000
"""Series that are fitted at once."""


class Arima(Forecaster):
    """ARIMA(p, d, q) of `log(1 + x)`, fitted to each series on its training bins.

    `w(t) = μ + Σ φ_i (w(t − i) − μ) + Σ θ_j e(t − j) + e(t)`, w the d-th differences, μ their mean, or 0 where d is
    1. Estimated in two regressions, for all series at once: a long autoregression tells the surprises e, and w is
    regressed on its own past and theirs; a short series is drawn towards what all have in common. Coefficients that are
    not stationary or not invertible are drawn towards 0 until they are. Of a series too short or too constant all are
    0; how many there are is logged.

    Args:
        order: p, d and q; d is 0 or 1.
    """

    mean_S: Tensor
    phi_SP: Tensor
    theta_SQ: Tensor

    def __init__(self, order: Sequence[int] = (1, 0, 1)) -> None:
        super().__init__()
        whole = all(isinstance(each, int) and not isinstance(each, bool) and each >= 0 for each in order)
        if len(order) != 3 or not whole or order[1] > 1:
            raise ConfigError(f"model.order={list(order)} must be [p,d,q], whole numbers from 0, with d at most 1.")
        self.p, self.d, self.q = order
        self.register_buffer("mean_S", torch.zeros(1))
        self.register_buffer("phi_SP", torch.zeros(1, self.p))
        self.register_buffer("theta_SQ", torch.zeros(1, self.q))

    def fit_statistics(self, series: IntensitySeries, end_bin: int) -> None:
        """Fits all series; see `Forecaster.fit_statistics`."""
        parts, short = [], 0
        for first in range(0, len(series), BLOCK):
            rows = np.arange(first, min(first + BLOCK, len(series)))
            x_ST = series.rows(rows)[:, :end_bin]
            begun_ST = np.arange(end_bin) >= series.first_S[rows][:, None]
            w_ST, known_ST = _differenced(torch.from_numpy(x_ST).log1p(), torch.from_numpy(begun_ST), self.d)
            fitted_S = (known_ST.sum(dim=1) >= LEAST_BINS) & (_spread(w_ST, known_ST) > 1e-6)
            short += int((~fitted_S).sum())
            parts.append(self._fit(w_ST, known_ST, fitted_S))
        columns = [torch.cat(column) for column in zip(*parts, strict=True)]
        self.mean_S, self.phi_SP, self.theta_SQ = (column.to(self.mean_S.device) for column in columns)
        if short:
            log.info(
                "arima: %d of %d series are constant or shorter than %d bins; they are forecast by their %s.",
                short, len(series), LEAST_BINS, "last value" if self.d else "mean",
            )  # fmt: skip

    def _fit(self, w_ST: Tensor, known_ST: Tensor, fitted_S: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        count_S = known_ST.sum(dim=1).clamp(min=1)
        mean_S = (w_ST * known_ST).sum(dim=1) / count_S * (1 - self.d)
        centred_ST = (w_ST - mean_S[:, None]) * known_ST
        error_ST = centred_ST
        if self.q:
            lags = max(self.p + self.q, LONG)
            long_ST = _lagged(centred_ST, lags)
            usable_ST = _usable(known_ST, lags)
            long_SR = _regressed(long_ST, centred_ST, usable_ST)
            error_ST = (centred_ST - (long_ST * long_SR[:, None]).sum(dim=2)) * usable_ST
            usable_ST = _usable(usable_ST, self.q)
        else:
            usable_ST = _usable(known_ST, self.p)
        input_STR = torch.cat([_lagged(centred_ST, self.p), _lagged(error_ST, self.q)], dim=2)
        found_SR = _regressed(input_STR, centred_ST, usable_ST) * fitted_S[:, None]
        phi_SP, theta_SQ = found_SR[:, : self.p], found_SR[:, self.p :]
        return mean_S.float(), stationary(phi_SP).float(), -stationary(-theta_SQ).float()

    def everywhere(self, windows: Windows) -> Points:
        """Forecasts step by step, surprises to come being 0, `(B, L, H)`; see `Forecaster.everywhere`."""
        real_BL = torch.arange(windows.x_BL.shape[1], device=windows.x_BL.device) < windows.length_B[:, None]
        level_BL = windows.x_BL.log1p()
        w_BL, known_BL = _differenced(level_BL, real_BL, self.d)
        mean_B, phi_BP, theta_BQ = (part[windows.series_B] for part in (self.mean_S, self.phi_SP, self.theta_SQ))
        error_BL = _surprises(w_BL, known_BL, mean_B, phi_BP, theta_BQ)
        past, shocks = (w_BL - mean_B[:, None]) * known_BL, error_BL
        # The latest first: what a forecast one step ahead stands on.
        past_BLP = _lagged(torch.nn.functional.pad(past, (0, 1)), self.p)[:, 1:]
        shock_BLQ = _lagged(torch.nn.functional.pad(shocks, (0, 1)), self.q)[:, 1:]
        found = []
        for _ in range(windows.horizon):
            ahead_BL = (phi_BP[:, None] * past_BLP).sum(dim=2) + (theta_BQ[:, None] * shock_BLQ).sum(dim=2)
            past_BLP = torch.cat([ahead_BL[:, :, None], past_BLP], dim=2)[:, :, : self.p]
            shock_BLQ = torch.cat([torch.zeros_like(ahead_BL)[:, :, None], shock_BLQ], dim=2)[:, :, : self.q]
            found.append(ahead_BL + mean_B[:, None])
        ahead_BLH = torch.stack(found, dim=2)
        return Points.same(level_BL[:, :, None] + ahead_BLH.cumsum(dim=2) if self.d else ahead_BLH)


def stationary(phi_SP: Tensor) -> Tensor:
    """Draws autoregressive coefficients towards 0 until all roots are stationary: `φ_i ρ^i` scales roots by 1/ρ."""
    n, p = phi_SP.shape
    if not p:
        return phi_SP
    companion = torch.zeros(n, p, p, dtype=phi_SP.dtype)
    companion[:, 0] = phi_SP
    companion[:, torch.arange(1, p), torch.arange(p - 1)] = 1.0
    largest_S = torch.linalg.eigvals(companion).abs().amax(dim=1)
    shrink_S = (LARGEST / largest_S.clamp(min=1e-12)).clamp(max=1.0)
    shrunk: Tensor = phi_SP * shrink_S[:, None] ** torch.arange(1, p + 1)
    return shrunk


def _lagged(w_ST: Tensor, lags: int) -> Tensor:
    """Returns the last values of every bin, the latest first, `(S, T, lags)`; 0 before the first."""
    padded = torch.nn.functional.pad(w_ST, (lags, 0))
    bins = w_ST.shape[1]
    columns = [padded[:, lags - 1 - i : lags - 1 - i + bins] for i in range(lags)]
    return torch.stack(columns, dim=2) if columns else w_ST.new_zeros(*w_ST.shape, 0)


def _usable(known_ST: Tensor, lags: int) -> Tensor:
    """Returns the bins whose last values are all known."""
    return known_ST & (_lagged(known_ST.to(torch.float64), lags) > 0).all(dim=2)


def _regressed(input_STR: Tensor, target_ST: Tensor, usable_ST: Tensor) -> Tensor:
    """Returns least squares coefficients, `(S, R)`, drawn towards those of all series by `PRIOR_BINS` bins."""
    terms = input_STR.shape[2]
    if not terms:
        return input_STR.new_zeros(len(input_STR), 0)
    kept = input_STR * usable_ST[:, :, None]
    curvature = kept.transpose(1, 2) @ kept
    gradient = (kept * target_ST[:, :, None]).sum(dim=1)
    common = curvature.sum(dim=0) + 1e-9 * torch.eye(terms, dtype=kept.dtype)
    shared_R = torch.linalg.solve(common, gradient.sum(dim=0))
    # As informative as that many bins of the series would be if it varied as series do.
    per_bin_S = curvature.diagonal(dim1=1, dim2=2).sum(dim=1) / usable_ST.sum(dim=1).clamp(min=1)
    prior = PRIOR_BINS * per_bin_S.clamp(min=1e-9)[:, None, None] * common / common.trace()
    solved: Tensor = torch.linalg.solve(curvature + prior, gradient + prior @ shared_R)
    return solved


def _differenced(level_ST: Tensor, known_ST: Tensor, d: int) -> tuple[Tensor, Tensor]:
    if not d:
        return level_ST, known_ST
    w_ST = torch.diff(level_ST, dim=1, prepend=level_ST[:, :1])
    known = known_ST.clone()
    known[:, 1:] &= known_ST[:, :-1]
    known[:, 0] = False
    return w_ST, known


def _spread(w_ST: Tensor, known_ST: Tensor) -> Tensor:
    count_S1 = known_ST.sum(dim=1, keepdim=True).clamp(min=1)
    mean_S1 = (w_ST * known_ST).sum(dim=1, keepdim=True) / count_S1
    return ((w_ST - mean_S1).square() * known_ST).sum(dim=1) / count_S1[:, 0]


def _surprises(w_ST: Tensor, known_ST: Tensor, mean_S: Tensor, phi_SP: Tensor, theta_SQ: Tensor) -> Tensor:
    """Returns one-step errors, `(S, T)`; 0 where a series is not watched, as before its beginning (conditional)."""
    centred_ST = (w_ST - mean_S[:, None]) * known_ST
    errors: list[Tensor] = []
    zero_S = torch.zeros_like(mean_S)
    for t in range(w_ST.shape[1]):
        expected_S = zero_S
        for i in range(phi_SP.shape[1]):
            if t > i:
                expected_S = expected_S + phi_SP[:, i] * centred_ST[:, t - 1 - i]
        for j in range(theta_SQ.shape[1]):
            if t > j:
                expected_S = expected_S + theta_SQ[:, j] * errors[t - 1 - j]
        errors.append((centred_ST[:, t] - expected_S) * known_ST[:, t])
    return torch.stack(errors, dim=1)
