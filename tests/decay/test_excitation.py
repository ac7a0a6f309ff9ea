"""Four models of the return, on logs drawn from each of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.optimize import minimize_scalar
from scipy.special import gamma

from ltsi.decay.bootstrap import user_weights
from ltsi.decay.estimate import fit_statistics
from ltsi.decay.excitation import NO_TRACES, Excitation, ExcitationModel, compare
from ltsi.decay.excitation_report import conclusion, excitation_records, excitation_table
from ltsi.decay.kernels import EACH, EXPONENTIAL, LAST, POWER, PowerKernel
from ltsi.decay.rate_fit import RateFit, RateModel
from ltsi.decay.rate_frailty import FrailPairs, FrailRate
from ltsi.decay.result import FitOptions
from ltsi.decay.statistics import age_edges, collect
from ltsi.decay.visits import Visits
from ltsi.errors import ConfigError
from ltsi.sequences.split import TrainingBlock
from ltsi.tables import Cell

DAY = 86_400
GAP = 0.5


@dataclass(frozen=True)
class Drawn:
    """A log of one entity, drawn by thinning (Ogata 1981): rates fall between visits, so the rate now bounds them."""

    kernel: str = EXPONENTIAL
    memory: str = EACH
    shape: float = 0.1
    amount: float = 0.04
    floor: float = 0.004
    users: int = 500
    days: float = 200.0
    spread: float = 0.0

    def block(self, seed: int) -> TrainingBlock:
        generator = np.random.default_rng(seed)
        level = generator.gamma(1 / self.spread, self.spread, self.users) if self.spread else np.ones(self.users)
        user, time = np.arange(self.users), generator.uniform(0, self.days / 2, self.users)
        visits = time[:, None]
        now = time + GAP
        while len(user):
            bound = level[user] * self.rate(now, visits[user])
            then = now + generator.exponential(size=len(user)) / bound
            comes = generator.uniform(size=len(user)) * bound < level[user] * self.rate(then, visits[user])
            comes &= then < self.days
            fresh = np.full(self.users, np.nan)
            fresh[user[comes]] = then[comes]
            if comes.any():
                visits = np.column_stack([visits, fresh])
            kept = then < self.days
            now, user = np.where(comes, then + GAP, then)[kept], user[kept]
        seconds = (np.sort(visits, axis=1) * DAY)[~np.isnan(np.sort(visits, axis=1))].astype(np.int64)
        counts = (~np.isnan(visits)).sum(1)
        return TrainingBlock(
            first_user=0,
            offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            item=np.zeros(len(seconds), dtype=np.int32),
            time=seconds,
            behavior=np.zeros(len(seconds), dtype=np.uint8),
        )

    def rate(self, now: NDArray[np.float64], visits: NDArray[np.float64]) -> NDArray[np.float64]:
        """The rate of users at times `(U,)` after visits `(U, n)`, padded with NaN."""
        age = now[:, None] - visits
        if self.memory == LAST:
            age = np.where(age == np.nanmin(age, axis=1, keepdims=True), age, np.nan)
        trace = np.exp(-self.shape * age) if self.kernel == EXPONENTIAL else age**-self.shape
        found: NDArray[np.float64] = self.floor + self.amount * np.nansum(trace, axis=1)
        return found

    def visits(self, seed: int) -> Visits:
        end = np.full(self.users, int(self.days * DAY), dtype=np.int64)
        return Visits.collect([self.block(seed)], np.zeros(1, dtype=np.int64), 1, end, GAP)


def nobody(stage: str, share: float) -> None:
    """Watches nothing."""


def naive_log_likelihood(visits: Visits, drawn: Drawn) -> NDArray[np.float64]:
    """The log-likelihood of each pair, by a loop over visits and numerical integration."""
    found = np.zeros(int(visits.pair.max()) + 1)
    for row in range(len(visits.pair)):
        pair, end = visits.pair[row], visits.end[row] + visits.length[row]
        ends = visits.end[(visits.pair == pair) & (visits.end <= visits.end[row])]

        def rate(now: float, ends: NDArray[np.float64] = ends) -> float:
            return float(drawn.rate(np.array([now]), ends[None, :])[0])

        found[pair] -= quad(rate, visits.end[row] + GAP, end, epsabs=1e-11, epsrel=1e-10)[0]
        if visits.returned[row]:
            found[pair] += np.log(rate(end))
    return found


MODELS_DRAWN = {
    (EXPONENTIAL, LAST): Drawn(memory=LAST, amount=0.1),
    (POWER, LAST): Drawn(POWER, LAST, 0.8, 0.1, 0.002),
    (EXPONENTIAL, EACH): Drawn(amount=0.05),
    (POWER, EACH): Drawn(POWER, EACH, 0.8, 0.05, 0.001, users=700),
}
ALL_MODELS = pytest.mark.parametrize("drawn", MODELS_DRAWN.values(), ids=[" ".join(name) for name in MODELS_DRAWN])


@ALL_MODELS
def test_log_likelihood_is_that_of_a_loop_over_visits(drawn: Drawn) -> None:
    drawn = replace(drawn, users=12)
    visits = drawn.visits(3)
    assert visits.position.max() >= 2
    model = RateModel(visits, drawn.kernel, drawn.memory)
    fit = RateFit(np.log(drawn.shape), 0.0, drawn.amount, drawn.floor, 0.0)
    got = model.by_group(fit, np.ones(visits.n_groups, dtype=bool))
    # One entity and fewer users than groups: a group is a user, and a pair is a user who visited.
    np.testing.assert_allclose(got[visits.group[visits.position == 0]], naive_log_likelihood(visits, drawn), rtol=1e-8)


@pytest.mark.parametrize("shape", [1.0, 1.0 + 1e-9, 1.0 + 1e-6])
def test_a_power_law_with_exponent_one_integrates_to_a_logarithm(shape: float) -> None:
    visits = Drawn(users=20).visits(0)
    young, old = np.full(len(visits.length), GAP), visits.length
    assert PowerKernel(visits, LAST).sums(shape)[1] == pytest.approx(np.log(old / young), rel=1e-5)


def test_long_histories_are_summed_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    visits = Drawn(POWER, EACH, 0.8, 0.05, 0.001, users=40).visits(2)
    whole = PowerKernel(visits, EACH).sums(0.7)
    # Smaller than the longest history, so that blocks of many visits and of one stand side by side.
    monkeypatch.setattr("ltsi.decay.kernels.BLOCK", 5)
    assert visits.position.max() >= 5
    monkeypatch.setattr("ltsi.decay.kernels.KEPT_BLOCKS", 0)
    np.testing.assert_allclose(PowerKernel(visits, EACH).sums(0.7), whole, rtol=1e-12)


@ALL_MODELS
def test_no_parameters_near_the_maximum_are_better(drawn: Drawn) -> None:
    visits = drawn.visits(4)
    model = RateModel(visits, drawn.kernel, drawn.memory)
    fit = model.maximise()
    everybody = np.ones(visits.n_groups, dtype=bool)
    best = float(model.by_group(fit, everybody).sum())
    assert best == pytest.approx(fit.log_likelihood, abs=1e-6)
    for step in (-0.01, 0.01):
        for moved in (
            replace(fit, log_shape=fit.log_shape + step),
            replace(fit, amount=fit.amount * (1 + step)),
            replace(fit, floor=fit.floor * (1 + step)),
        ):
            assert float(model.by_group(moved, everybody).sum()) < best


def test_refits_are_maxima_under_their_weights() -> None:
    visits = Drawn(users=300).visits(5)
    model = RateModel(visits, EXPONENTIAL, EACH)
    fit = model.maximise()
    weights = user_weights(visits.n_groups, 4, 0)
    found = model.refit(fit, weights)
    assert np.ptp(found) > 0.02
    for at, weight in zip(found, weights, strict=True):
        # A parabola through nodes 0.05 apart is off by a hundredth of a standard error.
        direct = minimize_scalar(
            lambda log_shape, weight=weight: -model.at(float(log_shape), weight).log_likelihood,
            bounds=(float(at) - 0.3, float(at) + 0.3),
            method="bounded",
        )
        assert float(at) == pytest.approx(float(direct.x), abs=2e-3)


def test_the_last_visit_with_an_exponential_is_the_return_hazard_with_a_floor() -> None:
    drawn = Drawn(memory=LAST, amount=0.1, users=1_500)
    end = np.full(drawn.users, int(drawn.days * DAY), dtype=np.int64)
    table = collect([drawn.block(6)], np.zeros(1, dtype=np.int64), 1, end, age_edges(GAP, drawn.days))
    row = fit_statistics(table, ["item"], FitOptions(form="exponential_floor", replicates=0)).entities[0]
    fit = RateModel(drawn.visits(6), EXPONENTIAL, LAST).maximise()
    # Bins of ages lose a little of what single ages say.
    assert np.exp(fit.log_shape) == pytest.approx(row.rate_per_day, rel=0.01)
    assert fit.amount == pytest.approx(row.amplitude, rel=0.01)
    assert fit.floor == pytest.approx(row.floor, rel=0.01)


def test_levels_of_pairs_are_integrated_out_at_their_maximum() -> None:
    drawn = Drawn(memory=LAST, amount=0.1, spread=1.0, users=25)
    visits = drawn.visits(7)
    model = RateModel(visits, EXPONENTIAL, LAST)
    fit = FrailPairs(model).maximise(model.maximise())
    count = np.bincount(visits.pair, visits.returned)

    def naive(one: FrailRate) -> float:
        traces, shape = model.traces(one.log_shape), 1 / one.variance
        rate = np.log(one.floor + one.amount * traces.at_return)
        spent = np.bincount(visits.pair, one.floor * visits.exposure + one.amount * traces.integral)

        def chance(level: float, pair: int) -> float:
            density = shape**shape * level ** (shape - 1) * np.exp(-shape * level) / gamma(shape)
            return float(density * level ** count[pair] * np.exp(-level * spent[pair]))

        mixed = [quad(chance, 0, np.inf, args=(pair,), epsabs=0)[0] for pair in range(len(count))]
        return float(rate.sum() + np.log(mixed).sum())

    best = naive(fit)
    assert best == pytest.approx(float(fit.by_group.sum()), abs=1e-5)
    for name in ("amount", "floor", "variance"):
        for step in (0.9, 1.1):
            assert naive(replace(fit, **{name: getattr(fit, name) * step})) < best
    for step in (-0.1, 0.1):
        assert naive(replace(fit, log_shape=fit.log_shape + step)) < best


@cache
def judged(drawn: Drawn, seed: int) -> Excitation:
    """The comparison on a drawn log."""
    return compare(drawn.visits(seed), FitOptions(replicates=40), nobody)


@ALL_MODELS
@pytest.mark.parametrize("seed", [1, 2])
def test_the_planted_model_wins(drawn: Drawn, seed: int) -> None:
    found = judged(drawn, seed)
    assert found.memory is not None
    winner = found.memory.first
    assert (winner.kernel, winner.memory) == (drawn.kernel, drawn.memory)
    assert found.memory_apart is not None
    # Levels of pairs take over some of what a power law of each visit explains: unsettled it may be, never the reverse.
    assert found.memory_apart.first.memory == drawn.memory or not found.memory_apart.clear
    until = np.inf if winner.half_life_days else drawn.visits(seed).longest_days
    triggered = quad(lambda age: winner.amount * trace(winner, age), GAP, until)[0]
    assert winner.triggered == pytest.approx(triggered, rel=1e-6)


def test_intervals_hold_the_planted_truth() -> None:
    covered = 0
    for at, drawn in enumerate(MODELS_DRAWN.values()):
        for seed in (1, 2):
            model = judged(drawn, seed).models[at]
            assert model.low is not None
            assert model.high is not None
            covered += model.low <= drawn.shape <= model.high
    # Of 8 intervals of 95 % two miss in one of twenty cases.
    assert covered >= 7


def trace(model: ExcitationModel, age: float) -> float:
    """The trace of a visit."""
    if model.rate_per_day is not None:
        return float(np.exp(-model.rate_per_day * age))
    assert model.exponent is not None
    return float(age**-model.exponent)


def test_users_who_differ_do_not_pass_for_visits_that_add_up() -> None:
    found = compare(Drawn(memory=LAST, amount=0.1, spread=1.0).visits(1), FitOptions(replicates=0), nobody)
    assert found.memory is not None
    assert found.memory_apart is not None
    # Who comes often has many earlier visits, although none of them brings the next one about.
    assert found.memory.first.memory == EACH
    assert found.memory.clear
    assert found.memory_apart.first.memory == LAST
    assert found.memory_apart.clear
    # Taken to be alike, they seem to lose interest faster than any of them does.
    alike, apart = found.models[0].rate_per_day, found.models[0].rate_per_day_apart
    assert alike is not None
    assert alike > 0.13
    assert apart == pytest.approx(0.1, rel=0.1)
    assert conclusion(found).startswith("Only the last visit counts, and users differ: ")


def test_visits_that_add_up_stay_so_when_users_may_differ() -> None:
    found = judged(MODELS_DRAWN[EXPONENTIAL, EACH], 1)
    table = excitation_table(found, FitOptions(replicates=40))
    assert table.notes[0].startswith("Earlier visits add up: on held-out users exponential × each is ahead of ")
    assert [cell.value for cell in table.rows[0] if isinstance(cell, Cell)][:2] == [EXPONENTIAL, EACH]
    gains = [row[table.columns.index("gain")] for row in table.rows]
    assert gains == sorted(gains, key=lambda cell: -cell.value)  # type: ignore[union-attr,operator]
    records = excitation_records(found)
    assert [one["low"] is None for one in records] == [False] * 4
    assert records[2]["aic"] == pytest.approx(2 * 3 - 2 * found.models[2].log_likelihood)


def test_a_rate_that_rises_is_said_to_leave_no_trace() -> None:
    # Everybody comes back after 10 to 30 days: the longer ago, the more likely.
    visit = np.random.default_rng(0).uniform(10, 30, (60, 6)).cumsum(axis=1)
    block = TrainingBlock(
        first_user=0,
        offsets=np.arange(61) * 6,
        item=np.zeros(visit.size, dtype=np.int32),
        time=(visit.ravel() * DAY).astype(np.int64),
        behavior=np.zeros(visit.size, dtype=np.uint8),
    )
    end = (visit[:, -1] * DAY).astype(np.int64)
    visits = Visits.collect([block], np.zeros(1, dtype=np.int64), 1, end, GAP)
    found = compare(visits, FitOptions(replicates=20), nobody)
    for one in found.models[:2]:
        assert one.note == NO_TRACES
        assert one.rate_per_day_apart is None
        assert one.exponent_apart is None
        assert one.low is None
        assert one.floor == pytest.approx(300 / visits.exposure.sum(), rel=1e-3)
    assert "note" in excitation_table(found, FitOptions()).columns


@pytest.mark.parametrize(
    ("users", "note"), [(3, "returns, fewer than min_returns=30"), (9, "users ever returned, fewer than 10")]
)
def test_thin_evidence_is_told_and_leaves_no_numbers(users: int, note: str) -> None:
    drawn = Drawn(memory=LAST, amount=0.1, users=users, floor=0.02)
    found = compare(drawn.visits(1), FitOptions(), nobody)
    assert note in found.note
    assert note in conclusion(found)
    assert excitation_table(found, FitOptions()).rows == []
    assert {one["rate_per_day"] for one in excitation_records(found)} == {None}
    assert {one["note"] for one in excitation_records(found)} == {found.note}


@pytest.mark.parametrize(
    ("minimum", "note"),
    [(30, "1 return, fewer than min_returns=30"), (1, "only 1 user ever returned, fewer than 10")],
)
def test_one_is_singular(minimum: int, note: str) -> None:
    two = np.zeros(2, dtype=np.int32)
    block = TrainingBlock(0, np.array([0, 2]), two, np.array([0, 3 * DAY]), two.astype(np.uint8))
    visits = Visits.collect([block], np.zeros(1, dtype=np.int64), 1, np.array([9 * DAY]), GAP)
    assert compare(visits, FitOptions(min_returns=minimum), nobody).note == note


def test_other_exposure_than_days_is_refused() -> None:
    with pytest.raises(ConfigError, match="excitation=true needs exposure=days, not exposure=events"):
        FitOptions(excitation=True, exposure="events")
