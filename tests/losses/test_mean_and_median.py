"""Each point is drawn to what it stands for, whatever is drawn from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ltsi.errors import ConfigError
from ltsi.losses.log_squared import LogSquared
from ltsi.losses.mean_and_median import MeanAndMedian
from ltsi.windows import Points


def best(loss: MeanAndMedian | LogSquared, actual_N: torch.Tensor) -> tuple[float, float]:
    """Forecast mean and median, one number for all, that a loss is lowest for."""
    log_G, one_N = torch.linspace(0.001, 4, 4000), torch.ones_like(actual_N)
    mean_G = torch.stack([loss(Points(log * one_N, one_N), actual_N) for log in log_G])
    median_G = torch.stack([loss(Points(one_N, log * one_N), actual_N) for log in log_G])
    return float(log_G[mean_G.argmin()].expm1()), float(log_G[median_G.argmin()].expm1())


def test_points_are_mean_and_median_of_what_came() -> None:
    random = np.random.default_rng(0)
    actual_N = torch.from_numpy(np.where(random.random(501) < 0.3, 0, random.geometric(0.1, 501))).float()
    mean, median = best(MeanAndMedian(), actual_N)
    assert mean == pytest.approx(float(actual_N.mean()), rel=2e-3)
    assert median == pytest.approx(float(actual_N.median()), rel=2e-3)
    both = best(LogSquared(), actual_N)
    assert both == pytest.approx([float(actual_N.log1p().mean().expm1())] * 2, rel=2e-3)


def test_the_loss_by_hand() -> None:
    points = Points(torch.tensor([4.0]).log1p(), torch.tensor([1.0]).log1p())
    # 2 (2 − 3)² / 2 and w · |log 2 − log 10|.
    assert float(MeanAndMedian(3.0)(points, torch.tensor([9.0]))) == pytest.approx(1 + 3 * np.log(5))


def test_a_mean_of_nothing_stays_finite() -> None:
    log_N = torch.zeros(2, requires_grad=True)
    loss = MeanAndMedian()(Points(log_N, log_N), torch.tensor([0.0, 5.0]))
    loss.backward()
    assert loss.isfinite()
    assert log_N.grad is not None
    assert log_N.grad.isfinite().all()


def test_a_mean_of_nothing_is_taken_for_a_millionth() -> None:
    nothing = torch.zeros(1)
    # 2 (10⁻³ − 0)² / 10⁻³.
    assert float(MeanAndMedian()(Points(nothing, nothing), nothing)) == pytest.approx(2e-3)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_weights_that_mean_nothing_are_refused(weight: float) -> None:
    with pytest.raises(ConfigError, match=r"loss\.median_weight="):
        MeanAndMedian(weight)
