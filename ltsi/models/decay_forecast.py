"""The fitted decay of a series as a forecast: every unit of interest fades as exp(−λt), down to a floor.

Shape suffixes: B windows, L positions, H steps ahead, E entities, G rates, N known futures, P = 3 weights.
Sources: systems D and E of the project's seeds, I(t) = I0 · exp(−λt); summed over what was done it is Brown 1959's
exponential smoothing, with a rate that is fitted. Gauss-Newton: Björck 1996, "Numerical Methods for Least Squares".
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ltsi.intensity.series import IntensitySeries
from ltsi.intensity.windows import cut_windows
from ltsi.models.forecaster import Forecaster
from ltsi.windows import Windows

HALF_LIVES = np.geomspace(0.5, 64, 13)
"""Bins; one of them is taken."""

STEPS = 4
LEAST = 1e-6
"""A weight is at least that."""

SHRINK = 200.0
"""Known futures that are as good as seen by an entity: it is drawn towards what all have in common."""

MAX_FUTURES = 150_000
"""Known futures that it is fitted on, at most: four numbers an entity need no more."""


class DecayForecast(Forecaster):
    """`x̂(t + h) = a + b · mean(t) + c · M(t) · exp(−λh)` with `M(t) = Σ_j x(t − j) · exp(−λj)`.

    What was done fades at rate λ; `a`, and `b` times the mean of the series so far, are the floor. The four numbers are
    fitted for each entity by least squares on the scale `log(1 + x)`, over all steps of the horizon, on the training
    part; entities with little to show are drawn towards the numbers of all.

    Args:
        horizon: steps ahead that are fitted.
    """

    weight_EP: Tensor
    rate_E: Tensor

    def __init__(self, horizon: int) -> None:
        super().__init__()
        self.horizon = horizon
        self.register_buffer("weight_EP", torch.zeros(1, 3))
        self.register_buffer("rate_E", torch.ones(1))

    def fit_statistics(self, series: IntensitySeries, end_bin: int) -> None:
        """Fits the decay; see `Forecaster.fit_statistics`."""
        length = min(end_bin, max(2 * self.horizon, 52))
        n = min(len(series), max(MAX_FUTURES // (length * self.horizon), 1))
        chosen = np.linspace(0, len(series) - 1, n).astype(np.int64)
        windows = cut_windows(series, chosen, np.full(n, end_bin), length, self.horizon, until=end_bin)
        rates = np.log(2) / HALF_LIVES
        n_entities = len(series.entities.labels)
        weight_GEP, error_GE = (torch.stack(column) for column in zip(*_fits(windows, rates, n_entities), strict=True))
        best_E = error_GE.argmin(dim=0)
        device = self.rate_E.device
        self.rate_E = torch.from_numpy(rates)[best_E].float().to(device)
        self.weight_EP = weight_GEP[best_E, torch.arange(n_entities)].float().to(device)

    def everywhere(self, windows: Windows) -> Tensor:
        """Forecasts from every position, log_BLH."""
        rate_B, weight_BP = self.rate_E[windows.entity_B], self.weight_EP[windows.entity_B]
        input_BLHP = _inputs(windows, rate_B, windows.horizon)
        return (input_BLHP * weight_BP[:, None, None]).sum(dim=3).log1p()


def _inputs(windows: Windows, rate_B: Tensor, horizon: int) -> Tensor:
    """Returns 1, the mean so far and what is left of the past, at every position and step, `(B, L, H, 3)`."""
    x_BL = windows.x_BL.to(rate_B)
    left_B, now_B, memory = (-rate_B).exp(), torch.zeros_like(rate_B), []
    for x_B in x_BL.unbind(1):
        now_B = now_B * left_B + x_B
        memory.append(now_B)
    mean_BL = x_BL.cumsum(dim=1) / torch.arange(1, x_BL.shape[1] + 1, device=x_BL.device)
    step_H = torch.arange(1, horizon + 1, device=x_BL.device)
    faded_BH = (-rate_B[:, None] * step_H).exp()
    memory_BLH = torch.stack(memory, dim=1)[:, :, None] * faded_BH[:, None]
    mean_BLH = mean_BL[:, :, None].expand_as(memory_BLH)
    return torch.stack([torch.ones_like(memory_BLH), mean_BLH, memory_BLH], dim=3)


def _fits(windows: Windows, rates: NDArray[np.float64], n_entities: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Fits the weights of each rate by Gauss-Newton steps, from the weights of the rate before.

    Yields:
        weight_EP, and the squared error of each entity, with that of all mixed in as `SHRINK` says.
    """
    known_BLH = windows.asked_BL()[:, :, None].expand_as(windows.future_BLH)
    target_N = windows.future_BLH[known_BLH].double().log1p()
    entity_N = windows.entity_B[:, None, None].expand_as(known_BLH)[known_BLH]
    common_1P = torch.tensor([[0.01, 0.3, 0.1]], dtype=torch.float64)
    nobody_N = torch.zeros_like(entity_N)
    for rate in rates.tolist():
        rate_B = torch.full((len(windows),), rate, dtype=torch.float64)
        input_NP = _inputs(windows, rate_B, windows.horizon)[known_BLH]
        for _ in range(STEPS):
            common_1P = _step(input_NP, target_N, nobody_N, common_1P, None)
        weight_EP = common_1P.expand(n_entities, -1)
        for _ in range(STEPS if n_entities > 1 else 0):
            weight_EP = _step(input_NP, target_N, entity_N, weight_EP, common_1P)
        error_N = ((input_NP * weight_EP[entity_N]).sum(dim=1).log1p() - target_N).square()
        error_E = torch.zeros(n_entities, dtype=torch.float64).index_add_(0, entity_N, error_N)
        yield weight_EP, error_E + SHRINK * error_N.mean()


def _step(input_NP: Tensor, target_N: Tensor, group_N: Tensor, weight_EP: Tensor, prior_1P: Tensor | None) -> Tensor:
    """Solves the least squares of `log(1 + x̂)`, taken as straight around the weights so far, for every group."""
    n = len(weight_EP)
    fitted_N = (input_NP * weight_EP[group_N]).sum(dim=1)
    slope_N = 1 / (1 + fitted_N)
    scaled_NP = input_NP * slope_N[:, None]
    wanted_N = target_N - fitted_N.log1p() + fitted_N * slope_N
    if n == 1:
        curvature, gradient = (scaled_NP.T @ scaled_NP)[None], (scaled_NP.T @ wanted_N)[None]
    else:
        outer_NX = (scaled_NP[:, :, None] * scaled_NP[:, None, :]).flatten(1)
        curvature = input_NP.new_zeros(n, 9).index_add_(0, group_N, outer_NX).reshape(n, 3, 3)
        gradient = input_NP.new_zeros(n, 3).index_add_(0, group_N, scaled_NP * wanted_N[:, None])
    if prior_1P is not None:
        information = SHRINK * curvature.sum(dim=0) / len(input_NP)
        curvature, gradient = curvature + information, gradient + information @ prior_1P[0]
    ridge = 1e-9 * (1 + curvature.diagonal(dim1=1, dim2=2).amax(dim=1))[:, None, None] * torch.eye(3).double()
    solved: Tensor = torch.linalg.solve(curvature + ridge, gradient)
    return solved.clamp(min=LEAST)
