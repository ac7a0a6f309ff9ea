"""The fitted decay of a series as a forecast: every unit of interest fades as exp(−λt), down to a floor.

Shape suffixes: B windows, L positions, H steps ahead, E entities, G rates, N known futures, P = 3 weights.
I(t) = I0 · exp(−λt), summed over what was done, is Brown 1959's exponential smoothing with a fitted rate. Gauss-Newton:
Björck 1996, "Numerical Methods for Least Squares"; quasi-likelihood: Wedderburn 1974.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ltsi.intensity.series import IntensitySeries
from ltsi.intensity.windows import cut_windows, require_futures
from ltsi.models.forecaster import Forecaster
from ltsi.windows import Points, Windows

HALF_LIVES = np.geomspace(0.5, 64, 13)
"""Bins; one of them is taken."""

STEPS = 4
MEAN_STEPS = 12
LEAST_MEAN = 1e-3
"""A smaller mean would take all the weight of the quasi-likelihood."""

LEAST = 1e-6
"""A weight is at least that: what was done is no reason to expect less than nothing."""

SHRINK = 200.0
"""Known futures that are as good as seen by an entity: it is drawn towards what all have in common."""

MAX_FUTURES = 150_000
"""Known futures that it is fitted on, at most: four numbers an entity need no more."""


class DecayForecast(Forecaster):
    """`x̂(t + h) = a + b · mean(t) + c · M(t) · exp(−λh)` with `M(t) = Σ_j x(t − j) · exp(−λj)`.

    What was done fades at rate λ; `a`, and `b` times the mean of the series so far, are the floor. The four numbers are
    fitted for each entity by least squares on the scale `log(1 + x)`, over all steps of the horizon, on the training
    part; entities with little to show are drawn towards the numbers of all. That is the forecast where the median is
    asked for. For the mean, `a`, `b` and `c` are fitted again on the scale of x, by the quasi-likelihood of a variance
    that grows as mean^1.5.

    Args:
        horizon: steps ahead that are fitted.
    """

    weight_EP: Tensor
    mean_weight_EP: Tensor
    rate_E: Tensor

    def __init__(self, horizon: int) -> None:
        super().__init__()
        self.horizon = horizon
        self.register_buffer("weight_EP", torch.zeros(1, 3))
        self.register_buffer("mean_weight_EP", torch.zeros(1, 3))
        self.register_buffer("rate_E", torch.ones(1))

    def fit_statistics(self, series: IntensitySeries, end_bin: int) -> None:
        """Fits the decay; see `Forecaster.fit_statistics`.

        Raises:
            DataError: nothing can be learned of the series.
        """
        require_futures(series, end_bin, self.horizon)
        length = min(end_bin, max(2 * self.horizon, 52))
        n = min(len(series), max(MAX_FUTURES // (length * self.horizon), 1))
        chosen = np.linspace(0, len(series) - 1, n).astype(np.int64)
        windows = cut_windows(series, chosen, np.full(n, end_bin), length, self.horizon, until=end_bin)
        rates = np.log(2) / HALF_LIVES
        n_entities = len(series.entities.labels)
        weight_GEP, error_GE = (torch.stack(column) for column in zip(*_fits(windows, rates, n_entities), strict=True))
        best_E = error_GE.argmin(dim=0)
        rate_E, weight_EP = torch.from_numpy(rates)[best_E], weight_GEP[best_E, torch.arange(n_entities)]
        mean_weight_EP = _mean_weights(windows, rate_E, weight_EP)
        device = self.rate_E.device
        self.rate_E, self.weight_EP, self.mean_weight_EP = (
            column.float().to(device) for column in (rate_E, weight_EP, mean_weight_EP)
        )

    def everywhere(self, windows: Windows) -> Points:
        """Forecasts from every position; see `Forecaster.everywhere`."""
        input_BLHP = _inputs(windows, self.rate_E[windows.entity_B], windows.horizon)
        mean_BP, weight_BP = (weight[windows.entity_B] for weight in (self.mean_weight_EP, self.weight_EP))
        return Points(*((input_BLHP * each[:, None, None]).sum(dim=3).log1p() for each in (mean_BP, weight_BP)))


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
    for rate in rates.tolist():
        rate_B = torch.full((len(windows),), rate, dtype=torch.float64)
        input_NP = _inputs(windows, rate_B, windows.horizon)[known_BLH]
        for _ in range(STEPS):
            common_1P = _step(*_straightened(input_NP, target_N, common_1P))
        weight_EP = common_1P.expand(n_entities, -1)
        for _ in range(STEPS if n_entities > 1 else 0):
            straight = _straightened(input_NP, target_N, weight_EP[entity_N])
            weight_EP = _step(*straight, entity_N, common_1P, n_entities)
        error_N = ((input_NP * weight_EP[entity_N]).sum(dim=1).log1p() - target_N).square()
        error_E = torch.zeros(n_entities, dtype=torch.float64).index_add_(0, entity_N, error_N)
        yield weight_EP, error_E + SHRINK * error_N.mean()


def _mean_weights(windows: Windows, rate_E: Tensor, weight_EP: Tensor) -> Tensor:
    """Fits the weights of the mean by iterated least squares, `(E, P)`, beginning at those of the logarithm."""
    known_BLH = windows.asked_BL()[:, :, None].expand_as(windows.future_BLH)
    input_NP = _inputs(windows, rate_E[windows.entity_B], windows.horizon)[known_BLH]
    actual_N = windows.future_BLH[known_BLH].double()
    entity_N = windows.entity_B[:, None, None].expand_as(known_BLH)[known_BLH]
    common_1P = weight_EP.mean(dim=0, keepdim=True)
    for _ in range(MEAN_STEPS):
        common_1P = _step(*_weighed(input_NP, actual_N, common_1P))
    mean_EP = common_1P.expand_as(weight_EP)
    for _ in range(MEAN_STEPS if len(weight_EP) > 1 else 0):
        mean_EP = _step(*_weighed(input_NP, actual_N, mean_EP[entity_N]), entity_N, common_1P, len(mean_EP))
    return mean_EP


def _straightened(input_NP: Tensor, target_N: Tensor, weight_NP: Tensor) -> tuple[Tensor, Tensor]:
    """Returns inputs and what is wanted of them, `log(1 + x̂)` being taken as straight around the weights so far."""
    fitted_N = (input_NP * weight_NP).sum(dim=1)
    slope_N = 1 / (1 + fitted_N)
    return input_NP * slope_N[:, None], target_N - fitted_N.log1p() + fitted_N * slope_N


def _weighed(input_NP: Tensor, actual_N: Tensor, weight_NP: Tensor) -> tuple[Tensor, Tensor]:
    """Returns inputs and what came over their standard deviation, as the weights so far tell it."""
    root_N = (input_NP * weight_NP).sum(dim=1).clamp(min=LEAST_MEAN) ** -0.75
    return input_NP * root_N[:, None], actual_N * root_N


def _step(
    input_NP: Tensor, wanted_N: Tensor, group_N: Tensor | None = None, prior_1P: Tensor | None = None, n: int = 1
) -> Tensor:
    """Solves the least squares of each of n groups, drawn towards the prior; without groups, of all."""
    if group_N is None or prior_1P is None:
        curvature, gradient = (input_NP.T @ input_NP)[None], (input_NP.T @ wanted_N)[None]
    else:
        outer_NX = (input_NP[:, :, None] * input_NP[:, None, :]).flatten(1)
        curvature = input_NP.new_zeros(n, 9).index_add_(0, group_N, outer_NX).reshape(n, 3, 3)
        gradient = input_NP.new_zeros(n, 3).index_add_(0, group_N, input_NP * wanted_N[:, None])
        information = SHRINK * curvature.sum(dim=0) / len(input_NP)
        curvature, gradient = curvature + information, gradient + information @ prior_1P[0]
    ridge = 1e-9 * (1 + curvature.diagonal(dim1=1, dim2=2).amax(dim=1))[:, None, None] * torch.eye(3).double()
    return bounded_solutions(curvature + ridge, gradient)


def bounded_solutions(curvature_EPP: Tensor, gradient_EP: Tensor) -> Tensor:
    """Minimises `½ wᵀCw − gᵀw` over weights of `LEAST` or more, exactly: three weights can be bound in eight ways.

    Cutting off what is negative in the free solution would leave the other weights where they made up for it.

    Args:
        curvature_EPP: positive definite, `(E, 3, 3)`.
        gradient_EP: of the same problems, `(E, 3)`.

    Returns:
        The weights, `(E, 3)`.
    """
    eye_PP = torch.eye(3, dtype=gradient_EP.dtype, device=gradient_EP.device)
    above_EP = gradient_EP - LEAST * curvature_EPP.sum(dim=2)
    best_EP, least_E = torch.zeros_like(gradient_EP), torch.zeros_like(gradient_EP[:, 0])
    for free in itertools.product((0.0, 1.0), repeat=3):
        free_P = torch.tensor(free, dtype=gradient_EP.dtype, device=gradient_EP.device)
        # Where a weight is bound, its equation says that it is zero.
        system_EPP = curvature_EPP * torch.outer(free_P, free_P) + eye_PP * (1 - free_P)
        solved_EP = torch.linalg.solve(system_EPP, above_EP * free_P)
        value_E = -0.5 * (solved_EP * above_EP).sum(dim=1)
        better_E = (solved_EP >= 0).all(dim=1) & (value_E < least_E)
        best_EP, least_E = torch.where(better_E[:, None], solved_EP, best_EP), torch.where(better_E, value_E, least_E)
    return best_EP + LEAST
