import tracemalloc
from collections.abc import Callable
from dataclasses import astuple, replace
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from ltsi.decay.estimate import fit_statistics
from ltsi.decay.forms import FORMS, log_parameters
from ltsi.decay.point import AT_LOWER_END, NO_FALL, NO_UPPER_END, TOO_FAST, too_fast
from ltsi.decay.report import covers
from ltsi.decay.result import FitOptions
from ltsi.decay.statistics import ReturnStatistics, age_edges, collect
from ltsi.errors import ConfigError

HALF_LIVES = (3.0, 8.0, 20.0)
Planted = Callable[..., Any]


def test_intervals_cover_and_rates_are_unbiased(planted: Planted) -> None:
    log, seeds = planted(HALF_LIVES), range(24)
    fits = [log.fit(seed, FitOptions(replicates=100, seed=seed)).entities for seed in seeds]
    covered = [covers(one, truth) is True for fit in fits for one, truth in zip(fit, HALF_LIVES)]
    # 72 intervals of 95 %: the binomial standard error is 2.6 %.
    assert 0.88 <= np.mean(covered) <= 1.0
    half_lives = np.array([[one.half_life_days for one in fit] for fit in fits])
    error = half_lives.std(axis=0) / np.sqrt(len(seeds))
    assert np.all(np.abs(half_lives.mean(axis=0) - HALF_LIVES) < 3.5 * error)
    assert np.median(half_lives, axis=0) == pytest.approx(HALF_LIVES, rel=0.05)


def test_right_censoring_does_not_bias_and_ignoring_it_does(planted: Planted) -> None:
    # Watched for a little more than a half-life: most intervals are cut off.
    log = planted((20.0,), floor=0.0, users=12_000, days=25.0)
    (one,) = log.fit(1, FitOptions(replicates=0, form="exponential")).entities
    assert one.half_life_days == pytest.approx(20.0, rel=0.12)
    times_back = np.concatenate([np.diff(times) for times in _visits_by_user(log.block(1))])
    # The mean of the observed ages, which is the likelihood of an exponential without exposure, finds far less.
    naive = np.log(2) * times_back.mean()
    assert naive < 0.3 * 20.0


def _visits_by_user(block: Any) -> list[Any]:
    days = np.split(block.time / 86_400, block.offsets[1:-1])
    return [times for times in days if len(times) > 1]


def test_floor_and_amplitude_are_found(planted: Planted) -> None:
    (one,) = planted((5.0,), amplitude=0.1, floor=0.01, users=4000).fit(2, FitOptions(replicates=0)).entities
    assert one.form == "exponential_floor"
    assert one.amplitude == pytest.approx(0.1, rel=0.08)
    assert one.floor == pytest.approx(0.01, rel=0.08)


def test_without_a_floor_the_simpler_form_is_chosen(planted: Planted) -> None:
    (one,) = planted((5.0,), amplitude=0.1, floor=0.0, users=2000).fit(3, FitOptions(replicates=0)).entities
    assert (one.form, one.floor) == ("exponential", 0.0)
    assert set(one.aic) == {"exponential", "exponential_floor"}


def test_a_form_can_be_required(planted: Planted) -> None:
    (one,) = planted((5.0,), users=2000).fit(3, FitOptions(replicates=0, form="exponential")).entities
    assert one.form == "exponential"
    assert set(one.aic) == {"exponential"}


def test_same_seed_same_interval_and_no_replicates_no_interval(planted: Planted) -> None:
    statistics = planted(HALF_LIVES).statistics(5)
    labels = ["a", "b", "c"]
    first, again, other = (
        fit_statistics(statistics, labels, FitOptions(replicates=20, seed=seed)) for seed in (1, 1, 2)
    )
    assert first.entities == again.entities
    assert first.entities[0].half_life_low_days != other.entities[0].half_life_low_days
    point = fit_statistics(statistics, labels, FitOptions(replicates=0)).entities[0]
    assert (point.half_life_low_days, point.half_life_high_days, point.note) == (None, None, "")
    assert point.half_life_days == first.entities[0].half_life_days


def test_wider_confidence_gives_a_wider_interval(planted: Planted) -> None:
    statistics = planted(HALF_LIVES).statistics(5)
    narrow, wide = (
        fit_statistics(statistics, ["a", "b", "c"], FitOptions(confidence=level)).entities[0] for level in (0.5, 0.99)
    )
    ends = (wide.half_life_low_days, narrow.half_life_low_days, narrow.half_life_high_days, wide.half_life_high_days)
    assert list(ends) == sorted(end for end in ends if end is not None)


def hand_made(returns: list[float], exposure: list[float], users: int = 50, width: float = 1.0) -> ReturnStatistics:
    """Statistics of one entity in which every user has the same counts, in bins of so many days."""
    edges = np.linspace(0.5, 0.5 + width * len(returns), len(returns) + 1)
    # Everybody who ends in a bin has spent the exposure in it that bins before it do not explain.
    ended = np.array(returns) / users
    crossed = np.cumsum(ended[::-1])[::-1] - ended
    partial = np.array(exposure) / users - width * crossed
    every = [sparse.csc_array(np.tile(row, users)[:, None]) for row in (ended, ended, partial)]
    return ReturnStatistics(edges, every[0], every[1], every[2], np.array([0]), np.array([users]), users, users)


def test_a_hazard_that_does_not_fall_is_told_so() -> None:
    flat = hand_made([10.0] * 20, [1000.0] * 20)
    rising = hand_made([float(10 * age) for age in range(1, 21)], [1000.0] * 20)
    for statistics in (flat, rising):
        (one,) = fit_statistics(statistics, ["x"], FitOptions()).entities
        assert (one.rate_per_day, one.half_life_days, one.note) == (0.0, None, NO_FALL)
        assert one.half_life_low_days is None


def test_what_fades_behind_a_rise_fades_though_the_floor_alone_were_enough() -> None:
    given = {"rate_per_day": 0.3, "amplitude": 0.5, "floor": 0.1, "rise_days": 10.0}
    form = FORMS["exponential_floor_rise"]
    edges = np.linspace(0.5, 60.5, 61)
    returns = 1000 * form.mean_hazard(log_parameters(form, given), edges)[0][0]
    assert returns.sum() < given["floor"] * 60_000
    statistics = hand_made(returns.tolist(), [1000.0] * 60)
    (one,) = fit_statistics(statistics, ["x"], FitOptions(form=form.name, replicates=0)).entities
    assert one.note == ""
    assert one.parameters == pytest.approx(given, rel=0.01)


def test_an_exponent_on_its_lower_bound_has_no_interval() -> None:
    edges, given = 0.5 + np.arange(61.0), {"rate_per_day": 0.07, "amplitude": 0.2, "shape": 1.3}
    hazard = FORMS["stretched"].mean_hazard(log_parameters(FORMS["stretched"], given), edges)[0][0]
    statistics = hand_made((1e4 * hazard).tolist(), [1e4] * 60)
    (one,) = fit_statistics(statistics, ["x"], FitOptions(form="power_cutoff", replicates=20)).entities
    assert (one.exponent_low, one.exponent_high, one.note) == (None, None, AT_LOWER_END)
    assert one.parameters["exponent"] == pytest.approx(1e-3, rel=1e-3)


def test_a_log_too_short_to_bound_the_half_life_says_so(planted: Planted) -> None:
    (one,) = planted((100.0,), floor=0.0, users=300, days=30.0).fit(4).entities
    assert one.half_life_days is not None
    assert one.half_life_low_days is not None
    assert one.half_life_low_days < 100.0
    assert one.half_life_high_days is None
    assert one.note == NO_UPPER_END


@pytest.mark.parametrize(
    ("users", "minimum", "reason"), [(60, 10_000, "fewer than min_returns=10000"), (4, 1, "users ever returned")]
)
def test_thin_entities_are_flagged_and_fall_back(
    planted: Planted, caplog: pytest.LogCaptureFixture, users: int, minimum: int, reason: str
) -> None:
    fit = planted(HALF_LIVES, users=users, amplitude=0.5).fit(0, FitOptions(min_returns=minimum))
    for one in (*fit.entities, fit.pooled):
        assert reason in one.note
        assert one.rate_per_day is None
        assert not any(isinstance(value, float) and np.isnan(value) for value in astuple(one))
    assert fit.rates_per_day(default=0.25).tolist() == [0.25] * 3
    (told,) = caplog.messages
    assert told.startswith("3 of 3 interests have no rate of fading, and neither has the fit of all together (")
    assert reason in told
    assert told.endswith("they are given 0.25 per day.")


def test_what_falls_too_fast_to_be_seen_is_not_taken_for_what_never_fades(caplog: pytest.LogCaptureFixture) -> None:
    fit = fit_statistics(hand_made([300.0] + [0.0] * 19, [1000.0] * 20), ["x"], FitOptions(replicates=0))
    assert fit.pooled.note == TOO_FAST
    # Half of it gone in a bin of one day.
    assert fit.rates_per_day() == pytest.approx([np.log(2)])
    assert not caplog.messages


def test_a_cut_off_too_fast_to_be_seen_is_no_estimate_whatever_its_exponent() -> None:
    cutoff, edges = FORMS["power_cutoff"], 0.5 + np.arange(161) / 16
    inside = {"exponent": 5.5, "amplitude": 1.0, "rate_per_day": 11.0}
    ends = [inside, {**inside, "rate_per_day": 16 * np.log(2)}, {**inside, "exponent": 6.0}]
    theta = np.concatenate([log_parameters(cutoff, one) for one in ends])
    assert too_fast(cutoff, theta, edges).tolist() == [False, True, True]
    planted = log_parameters(FORMS["exponential"], {"rate_per_day": 20.0, "amplitude": 18 * np.exp(10.0)})
    hazard = FORMS["exponential"].mean_hazard(planted, edges)[0][0]
    exposure = 230 * np.exp(-np.cumsum(hazard) / 16)
    statistics = hand_made((exposure * hazard).tolist(), exposure.tolist(), width=1 / 16)
    (one,) = fit_statistics(statistics, ["x"], FitOptions(form="power_cutoff", replicates=20)).entities
    assert (one.note, one.rate_per_day, one.exponent_low, one.parameters) == (TOO_FAST, None, None, {})


def test_what_falls_too_fast_spoils_nothing_of_what_is_beside_it() -> None:
    # At the fastest rate, half in a tenth of a day, nothing a computer could hold is left after half of 200 days.
    slow = FORMS["exponential"]
    hazard = slow.mean_hazard(
        log_parameters(slow, {"rate_per_day": 0.02, "amplitude": 0.1}), np.linspace(0.5, 200.5, 2001)
    )
    counts = [[3000.0] + [0.0] * 1999, (1e5 * hazard[0][0]).tolist()]
    both = [hand_made(returns, [1e5] * 2000, users=20, width=0.1) for returns in counts]
    ended, returned, partial = (
        sparse.hstack([getattr(one, name) for one in both], format="csc") for name in ("ended", "returned", "partial")
    )
    statistics = replace(
        both[0],
        ended=ended,
        returned=returned,
        partial=partial,
        visits=np.array([1, 1]),
        returning_users=np.full(2, 20),
    )
    fast, fading = fit_statistics(statistics, ["fast", "fading"], FitOptions(replicates=20)).entities
    assert (fast.note, fast.profile_low_days) == (TOO_FAST, None)
    assert fading.rate_per_day == pytest.approx(0.02, rel=1e-3)
    assert fading.profile_low_days is not None


def test_a_thin_entity_takes_the_pooled_rate(planted: Planted) -> None:
    log = planted(HALF_LIVES)
    fullest = max(log.fit(0, FitOptions(replicates=0)).entities, key=lambda one: one.returns).returns
    fit = log.fit(0, FitOptions(replicates=0, min_returns=fullest))
    own = [one.rate_per_day for one in fit.entities]
    assert own.count(None) == 2
    assert fit.rates_per_day().tolist() == [fit.pooled.rate_per_day if rate is None else rate for rate in own]


def test_many_entities_of_few_events_take_little_memory(planted: Planted) -> None:
    log, many = planted((8.0,), users=100), 20_000
    block, end = log.block(0), np.full(100, int(log.days * 86_400), dtype=np.int64)
    tracemalloc.start()
    statistics = collect([block], np.arange(many), many, end, age_edges(0.5, log.days))
    fit = fit_statistics(statistics, [""] * many, FitOptions(replicates=0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert fit.entities[0].half_life_days == log.fit(0, FitOptions(replicates=0)).entities[0].half_life_days
    # A row of the answer, and no column for each age bin.
    assert peak / many < 1_500


def test_progress_is_told_and_ends(planted: Planted) -> None:
    told: list[tuple[str, float]] = []
    fit_statistics(
        planted(HALF_LIVES).statistics(1),
        ["a", "b", "c"],
        FitOptions(replicates=20),
        lambda stage, share: told.append((stage, share)),
    )
    assert told[-1] == ("bootstrap over users", 1.0)


@pytest.mark.parametrize(
    ("key", "value"),
    [("form", "linear"), ("session_gap_days", 0.0), ("replicates", 5), ("confidence", 1.0), ("min_returns", 0)],
)
def test_meaningless_options_are_refused_by_name(key: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"{key}={value}"):
        FitOptions(**{key: value})
