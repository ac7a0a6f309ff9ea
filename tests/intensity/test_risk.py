"""Risks are put right by what came of earlier ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from ltsi.entities import Entities
from ltsi.intensity.churn import Churn
from ltsi.intensity.options import DORMANT, FALLING, REVIVED, STEADY, StateOptions
from ltsi.intensity.risk import (
    _logistic,
    calibrated,
    calibrated_risk,
    forecast_correction,
    forecasts_put_right,
    rate_spreads,
)
from ltsi.intensity.series import DAY, Bins, IntensitySeries, intensity_series
from ltsi.intensity.states import states_of
from ltsi.store import Store

USERS, BINS = 4_000, 40


def planted(seed: int) -> tuple[Churn, IntensitySeries, np.ndarray]:
    """Draws users whose next horizon is quiet with odds that follow recency and frequency; the stated risk is noise."""
    generator = np.random.default_rng(seed)
    last_U = generator.integers(1, BINS, USERS)
    first_U = generator.integers(0, last_U)
    value_U = generator.poisson(3.0, USERS) + 1.0
    series = IntensitySeries(
        bins=Bins("week", 1_700_000_000, BINS),
        entities=Entities("all", np.zeros(1, dtype=np.int64), ["(all)"]),
        user_S=np.arange(USERS),
        entity_S=np.zeros(USERS, dtype=np.int64),
        offsets=2 * np.arange(USERS + 1),
        bin_M=np.stack([first_U, last_U], axis=1).ravel(),
        value_M=np.stack([value_U / 2, value_U / 2], axis=1).ravel(),
    )
    risk_U = generator.uniform(0.2, 0.8, USERS)
    nothing = np.zeros(USERS, dtype=np.int64)
    odds_U = 1.5 * np.log1p(BINS - last_U) - 2.0 * np.log1p(value_U)
    truth_U = 1 / (1 + np.exp(-odds_U))
    return Churn(np.arange(USERS), risk_U, nothing, nothing, risk_U), series, truth_U


def test_recency_and_frequency_are_learned_from_the_horizon_before() -> None:
    before, then, truth = planted(1)
    quiet = np.random.default_rng(2).random(USERS) < truth
    found, now, expected = planted(3)
    risk = calibrated_risk(before, then, quiet, found, now)
    assert np.abs(risk - expected).mean() < 0.02
    assert np.abs(found.risk_U - expected).mean() > 0.2


def test_a_single_user_is_told_what_everybody_is() -> None:
    before, then, truth = planted(1)
    quiet = truth > 0.5
    risk = calibrated_risk(before, then, quiet, before, then)
    one = slice(7, 8)
    alone = Churn(
        before.user_U[one], before.risk_U[one], before.interests_U[one], before.fading_U[one], before.forecast_U[one]
    )
    assert calibrated_risk(before, then, quiet, alone, then) == pytest.approx(risk[7:8])


@pytest.mark.parametrize("everybody", [True, False])
def test_where_all_are_alike_risks_are_sure_and_finite(everybody: bool) -> None:
    before, then, _ = planted(1)
    risk = calibrated_risk(before, then, np.full(USERS, everybody), before, then)
    assert np.isfinite(risk).all()
    assert (risk > 0.99).all() if everybody else (risk < 0.01).all()


def test_a_state_brings_what_it_brought_before() -> None:
    _, series, _ = planted(1)
    states = states_of(series, StateOptions())
    few = np.array([STEADY] * 500 + [DORMANT] * 500 + [REVIVED] + [FALLING] * (USERS - 1001))
    before = replace(states, state_S=few, forecast_S=np.full(USERS, 4.0))
    came_S = np.select([few == STEADY, few == DORMANT, few == REVIVED], [4.0, 0.0, 400.0], 1.0)
    factors = forecast_correction(before, came_S).factor
    assert factors[STEADY] == pytest.approx(1, abs=0.01)
    assert factors[DORMANT] == pytest.approx(0, abs=0.01)
    assert factors[FALLING] == pytest.approx(0.25, abs=0.01)
    overall = (came_S.sum() + 0.5) / (4.0 * USERS + 0.5)
    assert factors[REVIVED] == pytest.approx((400 + 20 * overall) / 24), "one interest is not all there is to know"
    untold = np.setdiff1d(np.arange(len(factors)), few)
    assert factors[untold] == pytest.approx(overall)


@pytest.mark.parametrize("power", [0.7, 1.0, 1.4])
def test_small_and_large_forecasts_are_put_right_alike(power: float) -> None:
    _, series, _ = planted(1)
    generator = np.random.default_rng(4)
    forecast_S = np.exp(generator.normal(0, 1, USERS))
    states = states_of(series, StateOptions())
    before = replace(states, forecast_S=forecast_S, dispersion_E=np.ones(1))
    truth_S = 0.5 * forecast_S**power
    said_S = forecast_correction(before, generator.poisson(truth_S).astype(float)).applied(before)
    size = np.digitize(forecast_S, [0.3, 1.0, 3.0])
    said, truth = (np.bincount(size, weights=values) for values in (said_S, truth_S))
    assert said == pytest.approx(truth, rel=0.12)


def test_beyond_what_was_learned_from_a_forecast_is_only_multiplied() -> None:
    _, series, _ = planted(1)
    forecast_S = np.linspace(1, 8, USERS)
    before = replace(states_of(series, StateOptions()), forecast_S=forecast_S)
    correction = forecast_correction(before, forecast_S**1.5)
    ends = correction.applied(before)[[0, -1]]
    beyond = correction.applied(replace(before, forecast_S=np.repeat([0.01, 800.0], USERS // 2)))[[0, -1]]
    assert correction.power > 1.2
    assert beyond == pytest.approx(ends * [0.01, 100])


def test_few_events_do_not_bend_forecasts() -> None:
    _, series, _ = planted(1)
    before = replace(states_of(series, StateOptions()), forecast_S=np.linspace(0.001, 8, USERS))
    came_S = np.zeros(USERS)
    came_S[-3:] = 1
    assert forecast_correction(before, came_S).power == pytest.approx(1, abs=0.1)


def test_one_event_bends_forecasts_as_much_as_the_likeliest_power_does(make_series: Callable) -> None:
    """Of forecasts of 1 and e the larger had it: `50 (p − 1)² + log(1 + exp(−p))` is lowest at 1 + 0.01 / (1 + e)."""
    states = states_of(make_series([[1, 0, 1], [2, 0, 1]]), StateOptions())
    before = replace(
        states, forecast_S=np.array([1.0, np.e]), dispersion_E=np.ones(1), state_S=np.full(2, STEADY, dtype=np.int64)
    )
    power = forecast_correction(before, np.array([0.0, 1.0])).power
    assert power - 1 == pytest.approx(0.01 / (1 + np.e), rel=0.02)


def test_a_state_of_one_interest_differs_no_more_than_others(make_series: Callable) -> None:
    """One revived interest that came back does not say that all of them do: 20 are known to keep silent as all."""
    states = states_of(make_series(np.ones((300, 3))), StateOptions())
    before = replace(states, state_S=np.array([REVIVED] + [STEADY] * 299), forecast_S=np.full(300, 0.7))
    came_S = np.where(np.arange(300) % 6 == 0, 3.0, 0.0)
    spreads = rate_spreads(before, came_S, forecast_correction(before, came_S))
    assert spreads[STEADY] / 2 < spreads[REVIVED] < spreads[STEADY]
    assert spreads[DORMANT] == pytest.approx(spreads[STEADY], rel=0.05), "of which there is none"


def test_labels_are_smoothed_by_one_user_of_each_kind() -> None:
    """With nothing to go by one of three is as good as (2/3 + 1/4 + 1/4) of three."""
    weight_C, offset = _logistic(np.zeros((3, 1)), np.array([True, False, False]))
    assert weight_C == pytest.approx([0.0])
    assert 1 / (1 + np.exp(-offset)) == pytest.approx((2 / 3 + 1 / 4 + 1 / 4) / 3)


def of_weeks(make_log: Callable[..., Store], weeks: int) -> list[str]:
    """Says how risks are put right where all users begin in the first week, and half of them come four before now."""
    late = [(0, 0.0), (0, 7.0 * (weeks - 4) + 0.5)]
    store = make_log(*[late] * 6, *[[(0, 0.0)]] * 6)
    series = intensity_series(store, "all", now=int(store.time.min()) + weeks * 7 * DAY)
    assert series.bins.count == weeks
    return calibrated(states_of(series, StateOptions()), series, store, "all", StateOptions())[2]


def test_the_horizon_before_now_is_looked_at_from_its_first_bin_on(make_log: Callable[..., Store]) -> None:
    (said,) = of_weeks(make_log, 8)
    assert said.startswith("Risks are calibrated on the 4 weeks before now, in which 50.0% of 12 users did nothing;")
    assert "the 6 events that then came" in said


@pytest.mark.parametrize(("weeks", "said"), [(5, "too short to look one horizon back"), (6, "Risks are calibrated on")])
def test_a_log_needs_two_bins_before_the_horizon(make_log: Callable[..., Store], weeks: int, said: str) -> None:
    assert said in of_weeks(make_log, weeks)[0]


def test_where_nothing_was_expected_forecasts_stay() -> None:
    _, series, _ = planted(1)
    before = replace(states_of(series, StateOptions()), forecast_S=np.zeros(USERS))
    correction = forecast_correction(before, np.zeros(USERS))
    assert correction.factor == pytest.approx(1.0)
    assert (correction.applied(before) == 0).all()


def test_where_nothing_came_something_may() -> None:
    _, series, _ = planted(1)
    before = states_of(series, StateOptions())
    factors = forecast_correction(before, np.zeros(USERS)).factor
    assert (factors > 0).all()
    right = forecasts_put_right(before, before, np.zeros(USERS), StateOptions())
    assert (right.forecast_S > 0).all()
    assert right.quiet_S.mean() < 1
    assert 0 < right.forecast_S.sum() < 1, "no more than one event of four thousand users"
