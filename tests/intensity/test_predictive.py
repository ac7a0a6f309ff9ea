"""What may come of interests, against what comes of planted ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from ltsi.intensity.options import StateOptions
from ltsi.intensity.predictive import ends, log_quiet, outlook
from ltsi.intensity.risk import calibrated, forecasts_put_right
from ltsi.intensity.series import DAY, intensity_series
from ltsi.intensity.states import InterestStates, states_of
from ltsi.store import Store

LEVELS = (0.025, 0.5, 0.975)
VISITS = np.array([0.0, 0.02, 0.3, 2.0, 50.0, 900.0])
SHAPES = np.array([1.0, 0.5, 1.5, 3.0, 20.0, 2_000.0])
OPTIONS = StateOptions()
WEEKS, HORIZON = 60, OPTIONS.horizon
EDGES = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, np.inf)


@pytest.mark.parametrize("level", LEVELS)
def test_visits_of_one_event_are_negative_binomial(level: float) -> None:
    found = ends(level, VISITS, SHAPES, np.ones(len(VISITS)))
    assert found.tolist() == np.maximum(stats.nbinom.ppf(level, SHAPES, SHAPES / (SHAPES + VISITS)), 0).tolist()
    assert np.exp(log_quiet(VISITS, SHAPES)) == pytest.approx(stats.nbinom.pmf(0, SHAPES, SHAPES / (SHAPES + VISITS)))


@pytest.mark.parametrize("level", LEVELS)
def test_the_probability_of_nothing_may_be_smaller_than_any_float(level: float) -> None:
    visits, shape = 1_900.0, 1e6
    found = ends(level, np.array([visits]), np.array([shape]), np.ones(1))
    assert np.exp(log_quiet(np.array([visits]), np.array([shape]))) == 0
    assert found == stats.nbinom.ppf(level, shape, shape / (shape + visits))


@pytest.mark.parametrize(("visits", "shape", "size"), [(2.0, 3.0, 4.2), (0.1, 0.5, 20.0), (40.0, 30.0, 1.5)])
def test_visits_of_many_events_end_where_drawn_ones_do(visits: float, shape: float, size: float) -> None:
    random = np.random.default_rng(0)
    n = random.poisson(random.gamma(shape, visits / shape, 400_000))
    drawn = n + np.where(n > 0, random.negative_binomial(np.maximum(n, 1), 1 / size), 0)
    for level in LEVELS:
        end = ends(level, np.array([visits]), np.array([shape]), np.array([size]))[0]
        # The smallest such count; with 400,000 draws a share is known to half a per cent.
        assert np.mean(drawn <= end) >= level - 0.005
        assert end == 0 or np.mean(drawn < end) <= level + 0.005


def test_where_much_is_expected_two_moments_do() -> None:
    visits, shape, size = (np.full(2, value) for value in ([475.9, 476.5], 30.0, 4.2))
    low, high = ends(0.975, visits, shape, size)
    assert low == pytest.approx(high, rel=0.01)
    # A thousand visits at one rate, of four events each: a variance of 4000 (2 · 4 − 1), and 1.96 deviations above.
    (end,) = ends(0.975, np.array([1e3]), np.array([1e9]), np.array([4.0]))
    assert end == pytest.approx(4_000 + 1.96 * np.sqrt(4_000 * 7), abs=10)


def planted(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws interests at gamma rates, half of which end unseen at any week; returns counts before and after `now`."""
    random, n = np.random.default_rng(seed), 2_000
    rate, start = random.gamma(0.5, 0.6, n), random.integers(0, WEEKS // 2, n)
    week_T = np.arange(WEEKS + HORIZON)
    end = np.where(random.random(n) < 0.5, random.integers(start + 1, WEEKS + HORIZON), WEEKS + HORIZON)
    lives_ST = (week_T >= start[:, None]) & (week_T < end[:, None])
    x_ST = random.poisson(rate[:, None] * lives_ST)
    x_ST[np.arange(n), start] += 1
    return x_ST[:, :WEEKS], x_ST[:, WEEKS:].sum(axis=1), x_ST[:, WEEKS - HORIZON : WEEKS].sum(axis=1)


@pytest.fixture(scope="module", params=[1.0, 4.0])
def right(make_series: Callable, request: pytest.FixtureRequest) -> tuple[InterestStates, np.ndarray, float]:
    """Return interests put right by those of a horizon before, what then comes of them, and what an event counts."""
    past, ahead, late = planted(1)
    weight = request.param
    now, before = (states_of(make_series(x, weight=weight), OPTIONS) for x in (past, past[:, :-HORIZON]))
    return forecasts_put_right(now, before, weight * late, OPTIONS), weight * ahead, weight


def test_intervals_hold_what_comes_at_forecasts_of_each_size(right: tuple) -> None:
    states, came, weight = right
    held = (states.forecast_low_S <= came) & (came <= states.forecast_high_S)
    place = np.digitize(states.forecast_S / weight, EDGES)
    sizes = [place == i for i in range(1, len(EDGES)) if (place == i).sum() >= 100]
    assert len(sizes) >= 5
    for size in sizes:
        assert held[size].mean() >= 0.93
    ends_S = np.concatenate([states.forecast_low_S, states.forecast_high_S])
    assert not (ends_S % weight).any(), "a count of events is a whole one"
    assert (states.forecast_low_S <= states.forecast_S).all()
    # The mean lies above the interval only where nothing comes nearly always.
    assert (states.quiet_S >= 0.975)[states.forecast_S > states.forecast_high_S].all()


def test_as_many_keep_silent_as_are_said_to(right: tuple) -> None:
    states, came, _ = right
    assert states.forecast_S.sum() == pytest.approx(came.sum(), rel=0.1)
    assert states.quiet_S.mean() == pytest.approx((came == 0).mean(), abs=0.02)


def test_a_row_is_of_one_distribution(right: tuple) -> None:
    states, _, weight = right
    scale, unit = (np.full(len(states), value) for value in (states.dispersion_E[0], weight))
    told = outlook(states.forecast_S, states.shape_S, scale, unit, OPTIONS.confidence)
    for name, column in told.items():
        assert np.array_equal(column, getattr(states, name)), name


def test_silences_are_put_right_and_risks_stay_as_they_were(make_log: Callable[..., Store]) -> None:
    past, _, _ = planted(4)
    weeks = [np.repeat(np.arange(WEEKS), row) for row in past[:300]]
    store = make_log(*[[(0, 7.0 * week + 0.01 * k) for k, week in enumerate(row)] for row in weeks])
    series = intensity_series(store, "all", now=int(store.time.min()) + WEEKS * 7 * DAY)
    raw = states_of(series, OPTIONS)
    states, found, _ = calibrated(raw, series, store, "all", OPTIONS)
    assert states.quiet_S.mean() > raw.quiet_S.mean() + 0.05
    # One interest a user: the columns of both tables speak of one event.
    assert states.quiet_S.mean() == pytest.approx(found.risk_U.mean(), abs=0.02)
    assert found.forecast_U == pytest.approx(states.forecast_S)
    other, same, _ = calibrated(replace(raw, forecast_S=2 * raw.forecast_S), series, store, "all", OPTIONS)
    assert np.array_equal(same.risk_U, found.risk_U)
    assert (other.forecast_S >= 2**0.5 * states.forecast_S).all(), "the least of the powers that are looked at"
