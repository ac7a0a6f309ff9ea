"""The parts that states are made of, each against arithmetic or an independent fit."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize, special

from ltsi.intensity.episodes import episodes, rate_evidence, seasonal_rate
from ltsi.intensity.judging import Calendar, _expected, _rate_now, _turned, _turning
from ltsi.intensity.options import FALLING, STEADY, StateOptions
from ltsi.intensity.seasons import seasons
from ltsi.intensity.segments import SHAPE, dispersion_terms, log_marginal, segment
from ltsi.intensity.states import states_of
from ltsi.intensity.turning import Turning, find_turning


def test_segmentation_is_the_best_of_all() -> None:
    random = np.random.default_rng(0)
    x_ST = random.poisson(np.repeat([[4.0, 0.2, 3.0]], 3, axis=1)[0], size=(12, 9)).astype(float)
    x_ST[:, 0] += 1
    per_bin = 1.7

    def cost(row: NDArray[np.float64], cuts: tuple[int, ...]) -> float:
        edges = (0, *cuts, len(row))
        parts = [
            float(log_marginal(np.array(row[a:b].sum()), np.array(float(b - a)), np.array(per_bin)))
            for a, b in pairwise(edges)
        ]
        return -sum(parts) + len(cuts) * float(np.log(len(row)))

    found = segment(x_ST, np.ones_like(x_ST), np.full(len(x_ST), per_bin))
    for s, row in enumerate(x_ST):
        every = [cuts for k in range(4) for cuts in combinations(range(1, 9), k)]
        best = min(every, key=lambda cuts: cost(row, cuts))
        mine = found.start_G[found.series_G == s][1:]
        assert cost(row, tuple(mine)) == pytest.approx(cost(row, best))
        assert found.count_G[found.series_G == s].sum() == pytest.approx(row.sum())


def test_the_marginal_likelihood_is_the_integral() -> None:
    rate = np.linspace(1e-9, 60, 400_001)
    prior = rate ** (SHAPE - 1) * np.exp(-rate * SHAPE / 2.0) * (SHAPE / 2.0) ** SHAPE / special.gamma(SHAPE)
    integral = np.trapezoid(prior * rate**3 * np.exp(-rate * 2), rate)
    assert log_marginal(np.array(3.0), np.array(2.0), np.array(2.0)) == pytest.approx(np.log(integral), abs=1e-3)


@pytest.mark.parametrize("clump", [1, 4])
def test_dispersion_is_the_size_of_clumps(clump: int) -> None:
    x_ST = clump * np.random.default_rng(0).poisson(0.3, size=(400, 60)).astype(float)
    moved_S, pairs_S = dispersion_terms(x_ST, np.ones_like(x_ST))
    assert moved_S.sum() / pairs_S.sum() == pytest.approx(clump, rel=0.03)


def test_the_calendar_is_no_scatter() -> None:
    factor_T = np.tile([1.2, 0.5, 0.0, 2.0, 1.3], 30)
    x_ST = np.random.default_rng(0).poisson(4 * factor_T, size=(300, 150)).astype(float)
    moved_S, pairs_S = dispersion_terms(x_ST, np.broadcast_to(factor_T, x_ST.shape))
    assert moved_S.sum() / pairs_S.sum() == pytest.approx(1, rel=0.02)
    # Neighbours of a bin that says nothing are no neighbours: three pairs of five are left.
    assert pairs_S.max() <= 3 * 30 - 1


def test_the_tent_is_the_maximum_of_the_likelihood() -> None:
    week = np.arange(30)
    rate = 20 * np.exp(np.where(week < 12, 0.3 * (week - 12), -0.2 * (week - 12)))
    x_ST = np.random.default_rng(2).poisson(rate).astype(float)[None]
    found = find_turning(x_ST, np.ones_like(x_ST))
    assert abs(found.at_S[0] - 12) <= 1
    away = week - found.at_S[0]

    def surprise(theta: NDArray[np.float64]) -> float:
        log_rate = theta[0] + theta[1] * np.minimum(away, 0) - theta[2] * np.maximum(away, 0)
        return float((np.exp(log_rate) - x_ST[0] * log_rate).sum())

    best = optimize.minimize(surprise, [2.0, 0.1, 0.1], method="BFGS").x
    assert [np.log(found.rate_S[0]), found.rise_S[0], found.fall_S[0]] == pytest.approx(best, abs=2e-3)
    assert found.evidence_S[0] > 20


def test_weekdays_and_seasons_of_the_year_are_told_apart(make_series: Callable) -> None:
    random, day = np.random.default_rng(0), np.arange(800)
    weekday = np.array([1.5, 1, 1, 1, 1, 1.5, 0.0])
    month = 1 + 0.5 * np.cos(2 * np.pi * (day + 6) / 365.25)
    found = seasons(make_series(random.poisson(30 * weekday[day % 7] * month, size=(4, 800)), unit="day"))
    assert found.weekday is not None
    assert found.weekday == pytest.approx(weekday, abs=0.05)
    assert found.month is not None
    assert found.month.mean() == pytest.approx(1)
    assert found.month[0] == pytest.approx(1.5, abs=0.12)
    assert found.month[6] == pytest.approx(0.5, abs=0.12)
    # A year cannot be told from the course of the log where it is seen once.
    assert seasons(make_series(random.poisson(3, size=(4, 500)) + 1, unit="day")).month is None


def test_evidence_of_a_rate_is_a_likelihood_ratio() -> None:
    told = rate_evidence(np.array([6.0, 1.0]), np.array([3.0, 10.0]), np.array([0.5, 0.5]))
    assert told == pytest.approx([6 * np.log(2 / 0.5) - 1.5 * 3, 0.0])


def test_a_rhythm_is_looked_for_a_year_before() -> None:
    x_ST = np.zeros((2, 120))
    x_ST[0, [10, 11, 62, 63, 114, 115]] = 4
    watched = np.ones_like(x_ST)
    watched[1, :70] = 0
    row, start, end = np.array([0, 0, 1]), np.array([114, 80, 114]), np.array([116, 82, 116])
    told = seasonal_rate(x_ST, watched, row, start, end, period=52, slack=2)
    assert told[:2].tolist() == [4.0, 0.0]
    assert np.isnan(told[2])


def test_a_span_longer_than_a_year_is_not_held_against_itself() -> None:
    x_ST = np.repeat([[1.0, 0.0, 1.0]], [5, 99, 150], axis=1)
    row, start, end = np.array([0]), np.array([104]), np.array([254])
    told = seasonal_rate(x_ST, np.ones_like(x_ST), row, start, end, period=52, slack=2)
    # Its end, four years before: the five events in the first 48 weeks of the log.
    assert told[0] == pytest.approx(5 / 48)


def test_a_return_is_the_first_segment_of_its_episode() -> None:
    x_ST = np.repeat([[5.0, 0.0, 4.0, 20.0]], [10, 30, 8, 20], axis=1)
    found = segment(x_ST, np.ones_like(x_ST), np.ones(1))
    assert found.end_G.tolist() == [10, 40, 48, 68]
    came = episodes(found, np.array([False, True, False, False]), np.ones(1))
    assert came.end_E.tolist() == [10, 68]
    assert came.return_end_E.tolist() == [10, 48]
    assert came.return_count_E.tolist() == [50.0, 32.0]


def tents(**given: list[float]) -> Turning:
    """Turnings in bin 7 of which nothing is said but what is given."""
    n = len(next(iter(given.values())))
    columns = {name: np.array(given.get(name, [0.0] * n)) for name in Turning.__dataclass_fields__}
    return Turning(**{**columns, "at_S": np.full(n, 7)})


def test_a_fall_is_believed_for_itself_and_after_a_rise() -> None:
    # z² / 2 against 3 nats: of 2 it is 2, of 2.5 it is 3.125.
    found = tents(
        evidence_S=[50.0, 50.0, 50.0], rise_S=[1.0, 1.0, 0.0], fall_S=[2.0, 2.5, 2.5], fall_error_S=[1.0, 1.0, 1.0]
    )
    assert _turned(found, np.ones(3, dtype=bool), StateOptions(evidence=3.0)).tolist() == [False, True, False]


def test_the_rate_of_what_falls_is_that_of_the_last_bin() -> None:
    """Eight in bin 7, half as many in each bin after it: two in bin 9, the last. Else it is that of the segment."""
    found = segment(np.full((2, 10), 4.0), np.ones((2, 10)), np.full(2, 4.0))
    tent, state_S = tents(rate_S=[8.0, 8.0], fall_S=[np.log(2)] * 2), np.array([FALLING, STEADY])
    rate_S = _rate_now(found, np.array([0, 1]), tent, np.ones(2, dtype=bool), state_S, 10)
    assert rate_S == pytest.approx([2.0, 4.0])
    calendar = Calendar(np.ones(10), ahead=3.0, per_year=52, slack=2)
    # Of the next two bins the one has a half and the other a quarter; their season counts thrice.
    assert _expected(tent, state_S, rate_S, calendar, 2) == pytest.approx([2 * 3 / 8 * 3, 4 * 3])


def turn_of_last(row: list[float], dormant: list[bool]) -> tuple[Turning, bool]:
    """Looks for a turn in the last episode of a series, given which of its segments are dormant."""
    x_ST = np.array([row])
    found = segment(x_ST, np.ones_like(x_ST), np.ones(1))
    came = episodes(found, np.array(dormant), np.ones(1))
    turning, fitted_S = _turning(x_ST, np.ones_like(x_ST), came, np.array([len(came.series_E) - 1]))
    return turning, bool(fitted_S[0])


def test_a_turn_is_looked_for_from_three_events_in_three_bins_on() -> None:
    assert turn_of_last([1.0, 1.0, 1.0], [False])[1]
    assert not turn_of_last([1.0, 0.0, 1.0], [False])[1]
    assert not turn_of_last([3.0, 3.0], [False])[1]


def test_a_turn_is_looked_for_with_two_bins_of_silence_at_either_side() -> None:
    row = np.repeat([5.0, 0.0, 5.0, 0.0], [5, 10, 5, 10])
    turning, fitted = turn_of_last(row.tolist(), [False, True, False, True])
    seen_T = (np.arange(30) >= 15 - 2) & (np.arange(30) < 20 + 2)
    expected = find_turning(row[None] * seen_T, seen_T[None].astype(np.float64))
    assert fitted
    assert (turning.rise_S, turning.fall_S) == (expected.rise_S, expected.fall_S)
    assert turning.rise_S > 0 < turning.fall_S


def test_a_rate_above_the_smoothed_peak_is_no_more_than_all_of_it(make_series: Callable) -> None:
    states = states_of(make_series([[0.0] * 9 + [30.0]]), StateOptions())
    assert states.peak_rate_S[0] == pytest.approx(20.0)  # two thirds, the bin after it being missing
    assert states.rate_S[0] > 20
    assert states.score_S[0] == 1


def test_an_event_counts_beside_what_is_known_before(make_series: Callable) -> None:
    states = states_of(make_series([[3.0] * 6]), StateOptions())
    assert states.shape_S[0] == pytest.approx(SHAPE + 18 / states.dispersion_E[0])
