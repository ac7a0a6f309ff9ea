"""Metrics of forecasts against hand arithmetic."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ltsi.errors import ConfigError
from ltsi.metrics import VALUES, Forecasts, parse, parse_all, value_summary

NAMES = ("mse", "mae", "rmse", "r2", "mase", "coverage")


def forecasts(actual: list[float], predicted: list[float], scale: list[float]) -> Forecasts:
    predicted_N = np.array(predicted)
    return Forecasts(np.array(actual), predicted_N, predicted_N, predicted_N - 1, predicted_N + 1, np.array(scale))


def test_numbers_by_hand() -> None:
    # Errors 1, -3, 0; x̄ = 2, so Σ (x − x̄)² = 4 + 4 + 0.
    told = value_summary(forecasts([0, 4, 2], [1, 1, 2], [2, 0, 0.5]), NAMES)
    assert told["mse"] == pytest.approx(10 / 3)
    assert told["mae"] == pytest.approx(4 / 3)
    assert told["rmse"] == pytest.approx(math.sqrt(10 / 3))
    assert told["r2"] == pytest.approx(1 - 10 / 8)
    # The constant series in the middle has no scale and is left out.
    assert told["mase"] == pytest.approx((1 / 2 + 0) / 2)
    assert told["coverage"] == pytest.approx(2 / 3)


def test_perfect_and_mean_forecasts() -> None:
    assert value_summary(forecasts([1, 5], [1, 5], [1, 1]), ["r2", "mae"]) == {"r2": 1.0, "mae": 0.0}
    assert value_summary(forecasts([1, 5], [3, 3], [1, 1]), ["r2"]) == {"r2": 0.0}


def test_what_is_not_defined_is_not_a_number() -> None:
    told = value_summary(forecasts([2, 2], [1, 2], [0, 0]), NAMES)
    assert math.isnan(told["r2"])
    assert math.isnan(told["mase"])
    assert told["mae"] == 0.5
    assert all(math.isnan(value) for value in value_summary(forecasts([], [], []), NAMES).values())


def test_a_small_spread_is_explained_like_a_large_one() -> None:
    # x̄ = 1/4, so Σ (x − x̄)² = 1/8, and the errors are 0 and 1/4.
    assert value_summary(forecasts([0, 0.5], [0, 0.25], [1, 1]), ["r2"])["r2"] == pytest.approx(1 - (1 / 16) / (1 / 8))


def test_bounds_belong_to_the_interval() -> None:
    one = np.ones(2)
    assert (
        value_summary(Forecasts(np.array([0.0, 2.0]), one, one, 0 * one, 2 * one, one), ["coverage"])["coverage"] == 1
    )


def test_squared_errors_judge_the_mean_and_absolute_ones_the_median() -> None:
    actual_N, wrong_N = np.array([0.0, 4.0]), np.array([7.0, 7.0])
    for mean_N, median_N, right in (
        (actual_N, wrong_N, {"mse": 0.0, "rmse": 0.0, "r2": 1.0}),
        (wrong_N, actual_N, {"mae": 0.0, "mase": 0.0}),
    ):
        found = value_summary(Forecasts(actual_N, mean_N, median_N, wrong_N, wrong_N, np.ones(2)), NAMES)
        wrong = {"mse", "rmse", "r2", "mae", "mase"} - right.keys()
        assert {name: found[name] for name in right} == right
        assert all(found[name] not in (0.0, 1.0) for name in wrong)


def test_names_and_directions() -> None:
    assert parse_all(["mae", "mse", "mae"], VALUES, "objective=intensity") == ("mae", "mse")
    assert [name for name in NAMES if parse(name).lower_is_better] == ["mse", "mae", "rmse", "mase"]
    assert [name for name in NAMES if not parse(name).orders_models] == ["coverage"]
    with pytest.raises(ConfigError, match="takes no cut-off: write 'mae'"):
        parse("mae@10")
    with pytest.raises(ConfigError, match="objective=intensity has forecasts; there are: coverage, mae"):
        parse_all(["ndcg@10"], VALUES, "objective=intensity")
    with pytest.raises(ConfigError, match="did you mean 'mase'"):
        parse("masee")
