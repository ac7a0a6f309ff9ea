"""What interests are said to be, against what was planted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from ltsi.errors import ConfigError, DataError
from ltsi.intensity.churn import churn, churn_table
from ltsi.intensity.options import DORMANT, FALLING, REVIVED, RISING, STATES, STEADY, StateOptions
from ltsi.intensity.series import DAY
from ltsi.intensity.states import COLUMNS, InterestStates, interest_states, states_of, states_table
from ltsi.store import Store

EACH = 60
KINDS = ("fading", "revived", "yearly", "strays", "steady", "rising")
OPTIONS = StateOptions()


@pytest.fixture(scope="module")
def found(plant: Callable, make_series: Callable) -> dict[str, tuple[list, slice, InterestStates]]:
    """All kinds in one log, as they would be: what is learned of everybody is learned of all of them."""
    truth, counts = zip(*(plant(kind, EACH, seed=1) for kind in KINDS), strict=True)
    x_ST = np.concatenate(counts)
    # Whom nothing ever happened to has no series.
    assert (x_ST.sum(axis=1) > 0).all()
    states = states_of(make_series(x_ST), OPTIONS)
    return {kind: (truth[i], slice(i * EACH, (i + 1) * EACH), states) for i, kind in enumerate(KINDS)}


def test_decay_points_are_found_within_a_week(found: dict) -> None:
    truth, rows, states = found["fading"]
    turn = np.array([one.turn for one in truth])
    assert np.mean(np.abs(states.turn_S[rows] - turn) <= 1) >= 0.9
    assert set(np.unique(states.state_S[rows])) <= {FALLING, DORMANT}
    # Nothing turned where nothing falls.
    for kind in ("steady", "rising"):
        assert np.mean(found[kind][2].turn_S[found[kind][1]] >= 0) <= 0.1


def test_the_time_under_a_share_of_the_peak_is_in_its_interval(found: dict) -> None:
    truth, rows, states = found["fading"]
    true = []
    for one in truth:
        after = np.arange(one.turn, len(one.rate_T))
        below = one.rate_T[after] < OPTIONS.share * one.rate_T[one.turn]
        true.append(after[below][0] if below.any() else np.nan)
    low, high = states.faded_low_S[rows], states.faded_high_S[rows]
    known = ~np.isnan(true) & ~np.isnan(low) & ~np.isnan(high)
    assert known.mean() > 0.8
    # Whole weeks, so one more at each side.
    held = (low - 1 <= np.array(true)) & (np.array(true) <= high + 1)
    assert held[known].mean() >= 0.9


def test_revivals_are_found_and_nothing_else_is_one(found: dict) -> None:
    claimed, true, at = [], [], []
    for kind in KINDS:
        truth, rows, states = found[kind]
        claim = (states.returns_S[rows] > 0) & (states.revived_evidence_S[rows] >= OPTIONS.revival_evidence)
        when = np.array([one.revived for one in truth])
        claimed.append(claim)
        true.append(when >= 0)
        at.append(np.abs(states.revived_S[rows] - when) <= 1)
    claim, real, near = (np.concatenate(column) for column in (claimed, true, at))
    assert (claim & real & near).sum() / claim.sum() >= 0.9
    assert (claim & real & near).sum() / real.sum() >= 0.9
    # Silence and strays are dormant; who comes every year came back, and is no revival.
    for kind in ("strays", "revived"):
        assert np.mean(found[kind][2].state_S[found[kind][1]] == DORMANT) >= 0.9
    _, rows, states = found["yearly"]
    assert np.mean(states.returns_S[rows] > 0) >= 0.9
    assert states.season_known_S[rows][states.returns_S[rows] > 0].all()


def test_what_rises_and_what_stays(found: dict) -> None:
    assert np.mean(found["rising"][2].state_S[found["rising"][1]] == RISING) >= 0.9
    assert np.mean(found["steady"][2].state_S[found["steady"][1]] == STEADY) >= 0.9


def test_an_interest_is_revived_while_it_lasts(make_series: Callable) -> None:
    shape = np.repeat([10.0, 0.0, 10.0], [10, 30, 6])
    x_ST = np.random.default_rng(0).poisson(np.tile(shape, (20, 1)))
    states = states_of(make_series(x_ST), OPTIONS)
    assert np.mean(states.state_S == REVIVED) >= 0.9
    assert np.mean(states.revived_S == 40) == 1
    assert not states.season_known_S.any()


def test_every_dormant_interest_is_dormant_since_some_bin(make_series: Callable) -> None:
    # Five weeks in a row and none for 45: too few for a change of rate in some, and a silence that tells of all.
    thin = np.zeros((200, 60))
    thin[:, 5:10] = np.random.default_rng(0).poisson(0.8, size=(200, 5))
    steady = np.random.default_rng(1).poisson(0.8, size=(200, 60))
    x_ST = np.concatenate([thin, steady]).astype(np.float64)
    x_ST = x_ST[x_ST.sum(axis=1) > 0]
    states = states_of(make_series(x_ST), OPTIONS)
    dormant = states.state_S == DORMANT
    by_silence = dormant & (states.dormant_S == 60 - states.silence_S)
    assert by_silence.sum() >= 20
    assert (states.dormant_S[dormant] >= 0).all()
    assert (states.dormant_S[~dormant] == -1).all()


def test_it_does_not_matter_which_interest_comes_last(make_series: Callable) -> None:
    back = np.repeat([6.0, 0.0, 7.0], [5, 12, 5])
    gone = np.repeat([6.0, 0.0], [6, 16])
    one, other = (states_of(make_series(rows), OPTIONS) for rows in ([back, gone], [gone, back]))
    assert one.state_S.tolist() == [REVIVED, DORMANT]
    for name in COLUMNS:
        assert getattr(one, name)[::-1] == pytest.approx(getattr(other, name), nan_ok=True), name


def test_forecasts_hold_what_comes(make_series: Callable) -> None:
    random = np.random.default_rng(3)
    rate = random.gamma(2.0, 1.0, 400)
    x_ST = random.poisson(np.tile(rate[:, None], (1, 44)))
    past, ahead = x_ST[:, :40], x_ST[:, 40:].sum(axis=1)
    kept = past.sum(axis=1) > 0
    states = states_of(make_series(past[kept]), OPTIONS)
    held = (states.forecast_low_S <= ahead[kept]) & (ahead[kept] <= states.forecast_high_S)
    assert 0.92 <= held.mean() <= 0.99
    assert states.forecast_S.sum() == pytest.approx(ahead[kept].sum(), rel=0.05)
    risk = churn(states).risk_U
    assert risk.mean() == pytest.approx(np.mean(ahead[kept] == 0), abs=0.03)


def test_the_future_is_not_looked_at(make_log: Callable[..., Store]) -> None:
    users = [[(0, 7.0 * week) for week in range(12)], [(1, 1.0), (0, 3.0)]]
    now = 70 * DAY
    longer = interest_states(make_log(*users, [(2, 90.0)] * 5, name="a"), "item", now=now)
    shorter = interest_states(make_log(*[[e for e in user if e[1] < 70] for user in users], name="b"), "item", now=now)
    assert longer.series.bins == shorter.series.bins
    for name in ("state_S", "score_S", "forecast_S", "evidence_S"):
        assert np.array_equal(getattr(longer, name), getattr(shorter, name))


def test_the_beginning_of_an_interest_is_no_scatter(make_series: Callable) -> None:
    x_ST = np.random.default_rng(0).poisson(np.repeat([0.0, 100.0], [30, 20]), size=(100, 50))
    assert states_of(make_series(x_ST), OPTIONS).dispersion_E[0] == pytest.approx(1, abs=0.05)


def test_closed_days_are_no_scatter_and_hide_no_fall(make_series: Callable) -> None:
    day = np.arange(84)
    rate_T = 4 * 0.887 ** np.maximum(day - 63, 0)
    closed_T = np.where(day % 7 == 6, 0, 7 / 6)
    found = [
        states_of(make_series(np.random.default_rng(0).poisson(rate_T * factor, size=(40, 84)), unit="day"), OPTIONS)
        for factor in (np.ones(84), closed_T)
    ]
    for states in found:
        assert states.dispersion_E[0] == pytest.approx(1, abs=0.05)
        assert np.mean(np.isin(states.state_S, (FALLING, DORMANT))) >= 0.9


@pytest.mark.parametrize("weight", [8.0, 2.0**-4, 2.0**-7])
def test_what_an_event_counts_changes_the_unit_alone(make_series: Callable, weight: float) -> None:
    # Weights are powers of two, so that of bins that tie for the peak the same one is taken.
    rate_ST = np.full((60, 60), 10.0)
    rate_ST[30:, -10:] *= np.exp(-0.3 * np.arange(1, 11))
    x_ST = np.random.default_rng(0).poisson(rate_ST)
    one, other = states_of(make_series(x_ST), OPTIONS), states_of(make_series(x_ST, weight=weight), OPTIONS)
    assert np.mean(one.state_S[30:] == FALLING) >= 0.5
    in_events = ("rate_S", "peak_rate_S", "forecast_S", "forecast_low_S", "forecast_high_S")
    for name in COLUMNS:
        unit = weight if name in in_events else 1.0
        assert getattr(other, name) == pytest.approx(unit * getattr(one, name), rel=1e-6, abs=1e-9, nan_ok=True), name
    assert other.dispersion_E == pytest.approx(weight * one.dispersion_E)
    assert np.array_equal(one.state_S, other.state_S)


def test_a_revival_is_not_held_against_what_came_of_it(make_series: Callable) -> None:
    # Back at two a week, and soon at eight, for two years: no earlier season had anything.
    rate_T = np.repeat([5.0, 0.0, 2.0, 8.0], [10, 110, 12, 104])
    states = states_of(make_series(np.random.default_rng(0).poisson(rate_T, size=(20, len(rate_T)))), OPTIONS)
    assert states.season_known_S.all()
    assert np.mean(states.revived_evidence_S >= OPTIONS.revival_evidence) >= 0.9


def test_one_user_is_judged_as_among_all(make_log: Callable[..., Store]) -> None:
    users = [[(i % 3, 7.0 * week + i) for week in range(4 + i)] for i in range(6)]
    store = make_log(*users)
    whole, one = interest_states(store, "item"), interest_states(store, "item", users=np.array([4]))
    rows = whole.series.user_S == 4
    assert np.array_equal(whole.score_S[rows], one.score_S)
    assert np.array_equal(whole.state_S[rows], one.state_S)


def test_thin_and_odd_logs_give_rows_without_nan(make_log: Callable[..., Store]) -> None:
    store = make_log(
        [(0, 0.0)],  # one event
        [(1, 100.0), (1, 100.1), (2, 100.2)],  # one active day
        [(0, 7.0 * week + 1) for week in range(15)],  # constant
        [(2, 50.0)],
    )
    states = interest_states(store, "item")
    table = states_table(states, store)
    assert table.height == 5
    assert not any(table[name].is_nan().any() for name in table.columns if table[name].dtype.is_float())
    flags = dict(zip(zip(table["user"].to_list(), table["entity"].to_list(), strict=True), table["flag"], strict=True))
    assert flags["0", "0"] == flags["3", "2"] == "one event"
    assert flags["1", "1"] == "one active bin"
    assert flags["2", "0"] == "constant"
    assert set(table["state"]) <= set(STATES)
    people = churn_table(churn(states), states, store)
    assert people["interests"].to_list() == [1, 2, 1, 1]
    assert people["risk"].is_between(0, 1).all()
    assert people.select(pl.sum_horizontal(STATES))["rising"].to_list() == [1, 2, 1, 1]


def test_a_single_event_of_a_single_user_is_an_interest(make_log: Callable[..., Store]) -> None:
    states = interest_states(make_log([(0, 5.0)]), "item")
    assert len(states) == 1
    assert np.isfinite(states.forecast_S).all()


@pytest.mark.parametrize(
    ("key", "value"), [("share", 0), ("share", 1), ("evidence", -1), ("horizon", 0), ("horizon", 2.5), ("silence", 2)]
)
def test_options_that_mean_nothing_are_refused(key: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"{key}={value} must"):
        StateOptions(**{key: value})


def test_a_log_without_a_clock_is_refused(make_log: Callable[..., Store]) -> None:
    with pytest.raises(DataError, match="An intensity series needs times"):
        interest_states(make_log([(0, 1.0)], clock=False), "item")


@pytest.mark.parametrize("bins", [1, 2, 3, 6])
def test_a_log_of_a_few_bins_has_states(make_series: Callable, bins: int) -> None:
    states = states_of(make_series([[3.0] * bins, [6.0] + [0.0] * (bins - 1)]), OPTIONS)
    # Smoothed by 1-2-1 at the beginning, where the bin before is missing.
    assert states.peak_rate_S.tolist() == pytest.approx([3.0, 6.0 if bins == 1 else 4.0])
    assert states.score_S[0] == pytest.approx(1.0, abs=0.1)
