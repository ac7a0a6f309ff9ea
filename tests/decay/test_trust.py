import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import integrate, sparse, stats

from ltsi.decay.estimate import fit_statistics
from ltsi.decay.families import BINOMIAL, POISSON
from ltsi.decay.forms import FORMS, LN2, has_half_life
from ltsi.decay.frailty import fit_frailty, marginal
from ltsi.decay.goodness import dispersion, goodness_of_fit
from ltsi.decay.heterogeneity import explained_floors
from ltsi.decay.likelihood import maximise
from ltsi.decay.pairs import Pairs
from ltsi.decay.point import NO_FALL
from ltsi.decay.pooling import partial_pool
from ltsi.decay.profile import profile_interval
from ltsi.decay.result import EntityDecay, FitOptions
from ltsi.decay.statistics import ReturnStatistics, age_edges, collect
from ltsi.decay.trust import add_partial_pooling
from ltsi.errors import ConfigError
from ltsi.sequences.split import TrainingBlock

Planted = Callable[..., Any]
DAY = 86_400
EXPONENTIAL = FORMS["exponential"]
ALL = np.array([0])


def frail_log(
    variance: float, seed: int, users: int = 1_500, days: float = 120.0, half_life: float = 10.0, initial: float = 0.1
) -> ReturnStatistics:
    """Users whose fading hazard differs by a gamma factor; nothing has a floor."""
    generator = np.random.default_rng(seed)
    rate = np.log(2) / half_life
    factor = generator.gamma(1 / variance, variance, users) if variance else np.ones(users)
    user, now, found = np.arange(users), generator.uniform(0, days, users), []
    while len(user):
        found.append((user, now))
        left = np.exp(-rate * 0.5) - generator.exponential(size=len(user)) * rate / (initial * factor[user])
        wait = np.where(left > 0, -np.log(np.where(left > 0, left, 1.0)) / rate, np.inf)
        kept = now + wait < days
        user, now = user[kept], (now + wait)[kept]
    users_, times = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.lexsort((times, users_))
    block = TrainingBlock(
        0,
        np.concatenate([[0], np.cumsum(np.bincount(users_, minlength=users))]).astype(np.int64),
        np.zeros(len(order), dtype=np.int32),
        (times[order] * DAY).astype(np.int64),
        np.zeros(len(order), dtype=np.uint8),
    )
    return collect([block], ALL, 1, np.full(users, int(days * DAY), dtype=np.int64), age_edges(0.5, days))


def test_profile_interval_ends_where_the_likelihood_says(planted: Planted) -> None:
    statistics = planted((8.0, 20.0)).statistics(2)
    returns, exposure = (total[0] for total in statistics.totals())
    for form in (EXPONENTIAL, FORMS["exponential_floor"], FORMS["power"]):
        fit = maximise(form, returns, exposure, statistics.edges)
        ends = profile_interval(form, fit, returns, exposure, statistics.edges, 0.95, np.ones(2), POISSON)
        for end in ends:
            held = maximise(form, returns, exposure, statistics.edges, fit.theta, held=end)
            loss = 2 * (fit.log_likelihood - held.log_likelihood)
            assert loss == pytest.approx([stats.chi2.ppf(0.95, 1)] * 2, rel=5e-3)
        assert np.all(ends[0] < fit.theta[:, 0])
        assert np.all(ends[1] > fit.theta[:, 0])


def test_profile_interval_without_an_end_is_the_bound(planted: Planted) -> None:
    (one,) = planted((100.0,), floor=0.0, users=300, days=30.0).fit(4, FitOptions(form="exponential")).entities
    assert one.profile_low_days is not None
    assert one.profile_low_days < 100.0
    assert one.profile_high_days is None


def test_marginal_likelihood_is_the_integral_over_the_factors() -> None:
    statistics = frail_log(0.5, seed=0, users=3)
    pairs = Pairs.of(statistics, ALL)
    theta = np.log([[0.05, 0.2]])
    hazard = EXPONENTIAL.mean_hazard(theta, statistics.edges)[0]
    expected, plain = pairs.expected(hazard), pairs.log_likelihood(hazard, POISSON)

    def integrand(factor: float, pair: int) -> float:
        scaled = plain[pair] + expected[pair] * (1 - factor) + pairs.returns[pair] * np.log(factor)
        return float(np.exp(scaled) * stats.gamma.pdf(factor, 2.0, scale=0.5))

    wanted = sum(np.log(integrate.quad(integrand, 1e-9, 60, args=(pair,))[0]) for pair in range(len(expected)))
    assert marginal(EXPONENTIAL, pairs, theta, np.log([0.5]))[0] == pytest.approx(wanted, rel=1e-6)


def test_frailty_finds_the_rate_that_alike_users_do_not() -> None:
    statistics = frail_log(1.0, seed=1)
    options = {name: FitOptions(form="exponential", estimator=name) for name in ("poisson", "negative_binomial")}
    alike, differ = (fit_statistics(statistics, ["x"], one).entities[0] for one in options.values())
    assert differ.half_life_days == pytest.approx(10.0, rel=0.1)
    assert differ.user_variance == pytest.approx(1.0, rel=0.25)
    assert differ.half_life_low_days is not None
    assert differ.half_life_high_days is not None
    assert differ.half_life_low_days < 10.0 < differ.half_life_high_days
    assert alike.half_life_days is not None
    assert abs(alike.half_life_days - 10.0) > 2 * abs(float(differ.half_life_days or 0) - 10.0)
    assert alike.dispersion is not None
    assert alike.dispersion > 1.3


@pytest.mark.parametrize("replicates", [0, 20])
def test_where_only_users_differ_nothing_fades_and_nothing_is_left_of_the_poisson_fit(replicates: int) -> None:
    statistics = frail_log(1.0, seed=0, users=600, half_life=1e6, initial=0.03)
    alike, differ = (
        fit_statistics(
            statistics, ["x"], FitOptions(form="exponential", estimator=name, replicates=replicates)
        ).entities[0]
        for name in ("poisson", "negative_binomial")
    )
    assert alike.half_life_days is not None
    assert differ.note == NO_FALL
    assert differ.rate_per_day == 0.0
    assert differ.half_life_days is differ.profile_low_days is differ.fit_p is differ.dispersion is None
    assert differ.parameters == {}
    assert differ.user_variance == pytest.approx(1.0, rel=0.25)
    assert differ.aic["exponential"] < alike.aic["exponential"] - 20
    assert differ.bic is not None
    assert differ.bic < float(alike.bic or 0) - 20


def test_users_who_share_groups_cannot_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ltsi.decay.statistics.MAX_USERS", 300)
    monkeypatch.setattr("ltsi.decay.statistics.GROUPS", 100)
    statistics = frail_log(1.0, seed=0, users=301)
    with pytest.raises(ConfigError, match="tells at most 32,768 users apart, and this log has 301"):
        fit_statistics(statistics, ["x"], FitOptions(form="exponential", estimator="negative_binomial"))


def test_users_who_do_not_differ_have_no_variance() -> None:
    statistics = frail_log(0.0, seed=2)
    returns, exposure = (total[0] for total in statistics.totals())
    plain = maximise(EXPONENTIAL, returns, exposure, statistics.edges)
    found = fit_frailty(EXPONENTIAL, Pairs.of(statistics, ALL), returns, plain.theta)
    assert found.variance[0] < 0.1
    assert found.theta[0] == pytest.approx(plain.theta[0], abs=0.05)


@pytest.mark.parametrize("seed", [2, 3, 4, 5])
def test_users_who_do_not_differ_keep_their_interval(seed: int) -> None:
    statistics = frail_log(0.0, seed=seed, users=600)
    differ, alike = (
        fit_statistics(statistics, ["x"], FitOptions(form="exponential", estimator=name, replicates=20)).entities[0]
        for name in ("negative_binomial", "poisson")
    )
    found, wanted = (
        np.log(np.array(ends, dtype=np.float64))
        for ends in (
            (differ.half_life_low_days, differ.half_life_high_days),
            (alike.profile_low_days, alike.profile_high_days),
        )
    )
    assert found == pytest.approx(wanted, abs=0.15)


def test_the_report_says_whether_users_explain_the_floor(planted: Planted) -> None:
    told = []
    for statistics in (frail_log(1.5, seed=3), planted((5.0,), floor=0.02).statistics(0)):
        fit = fit_statistics(statistics, ["x"], FitOptions(replicates=0))
        told += explained_floors(fit.pooled, statistics)
    assert "differences between users explain the floor" in told[0]
    assert "the floor stays when users may differ" in told[1]


def test_a_floor_gains_nothing_where_there_is_none_and_never_a_loss() -> None:
    fit = fit_statistics(frail_log(0.0, seed=2, users=300), ["x"], FitOptions(form="exponential", replicates=0))
    (told,) = explained_floors(fit.pooled, fit.statistics)
    assert "gains 0.0 in log-likelihood if users are taken to be alike and 0.0 if they" in told


def test_goodness_of_fit_is_uniform_under_the_truth_and_small_beside_it() -> None:
    generator = np.random.default_rng(0)
    expected = np.tile(np.geomspace(0.2, 40, 50), (400, 1))
    returns = generator.poisson(expected).astype(float)
    found = goodness_of_fit(returns, expected, expected, 0, np.ones(400))
    assert stats.kstest(found, "uniform").pvalue > 0.01
    wrong = goodness_of_fit(returns, expected[:, ::-1], expected[:, ::-1], 0, np.ones(400))
    assert wrong.max() < 1e-6
    assert goodness_of_fit(returns[:1] * 0, expected[:1] * 0, expected[:1] * 0, 0, np.ones(1)).tolist() == [1.0]


def test_trials_scatter_less_than_counts_in_time() -> None:
    generator, edges = np.random.default_rng(2), np.arange(13.0)
    trials, chance = generator.integers(20, 60, (500, 12)), np.linspace(0.8, 0.3, 12)
    returns = generator.binomial(trials, chance).astype(float)
    ended, returned, partial = (sparse.csc_array(part.reshape(-1, 1)) for part in (returns * 0, returns, trials * 1.0))
    one = np.array([500])
    statistics = ReturnStatistics(edges, ended, returned, partial, one, one, 500, 500)
    found = [float(dispersion(Pairs.of(statistics, ALL), chance[None], family)[0]) for family in (BINOMIAL, POISSON)]
    assert found == pytest.approx([1.0, 0.42], abs=0.12)
    fit_p = goodness_of_fit(returns, trials * chance, trials * BINOMIAL.variance(chance), 0, np.ones(500))
    assert stats.kstest(fit_p, "uniform").pvalue > 0.01
    assert goodness_of_fit(returns, trials * chance, trials * chance, 0, np.ones(500)).mean() > 0.8


def test_dispersion_is_one_without_and_more_with_differing_users() -> None:
    found = []
    for variance in (0.0, 1.0):
        statistics = frail_log(variance, seed=4)
        returns, exposure = (total[0] for total in statistics.totals())
        theta = maximise(EXPONENTIAL, returns, exposure, statistics.edges).theta
        hazard = EXPONENTIAL.mean_hazard(theta, statistics.edges)[0]
        found.append(float(dispersion(Pairs.of(statistics, ALL), hazard, POISSON)[0]))
    assert found[0] == pytest.approx(1.0, abs=0.12)
    assert found[1] > 1.3


def draw(seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """True and estimated log-rates of 60 entities in 6 categories, with the errors of the estimates."""
    generator = np.random.default_rng(seed)
    parent = np.repeat(np.arange(6), 10)
    truth = generator.normal(0, 1.0, 6)[parent] + generator.normal(0, 0.3, 60)
    error = generator.choice([0.05, 0.5, 1.5], 60)
    return truth, truth + generator.normal(0, error), error, parent


def test_partial_pooling_is_nearer_to_the_truth_and_as_sure_as_it_says() -> None:
    own, flat, nested, covered = [], [], [], []
    for seed in range(40):
        truth, estimate, error, parent = draw(seed)
        by_all, by_category = partial_pool(estimate, error), partial_pool(estimate, error, [parent])
        own.append(np.mean((estimate - truth) ** 2))
        flat.append(np.mean((by_all.mean - truth) ** 2))
        nested.append(np.mean((by_category.mean - truth) ** 2))
        covered.append(np.mean(np.abs(by_category.mean - truth) < 1.96 * by_category.error))
    assert np.mean(nested) < 0.7 * np.mean(flat) < 0.7 * np.mean(own)
    assert 0.9 < np.mean(covered) < 0.98


def test_thin_entities_fall_back_and_sure_ones_stay() -> None:
    estimate, error = np.array([1.0, 3.0, -9.0, 2.0]), np.array([0.01, 0.01, np.inf, 5.0])
    found = partial_pool(estimate, error, [np.array([0, 1, 1, 0])])
    assert found.own_weight[2] == 0.0
    assert found.mean[:2] == pytest.approx([1.0, 3.0], abs=0.01)
    assert 1.0 < found.mean[2] <= 3.0
    assert found.mean[3] == pytest.approx(1.0, abs=0.3)
    assert np.isfinite(found.error).all()


def test_pooling_by_hand() -> None:
    """0 and 2, each known to 1: their scatter of 2 / (1 + τ²) is the one degree of freedom at τ = 1, half for each."""
    found = partial_pool(np.array([0.0, 2.0]), np.ones(2))
    assert found.spreads == pytest.approx((1.0,))
    assert found.own_weight == pytest.approx([0.5, 0.5])
    assert found.mean == pytest.approx([0.5, 1.5])
    # Half of its own variance, and a quarter of that of the mean of two of variance 2.
    assert found.error == pytest.approx([np.sqrt(0.5 * 1 + 0.25 * 1)] * 2)


def test_a_category_without_an_estimate_is_as_all_are() -> None:
    found = partial_pool(np.array([1.0, 1.0, 9.0]), np.array([0.1, 0.1, np.inf]), [np.array([0, 0, 1])])
    assert found.mean == pytest.approx([1.0, 1.0, 1.0])
    assert found.own_weight[2] == 0.0


def test_entities_that_do_not_differ_are_pooled_completely() -> None:
    found = partial_pool(np.array([1.0, 1.1, 0.9]), np.ones(3))
    assert found.spreads == (0.0,)
    assert found.mean == pytest.approx([1.0] * 3)
    with pytest.raises(ValueError, match="at least one"):
        partial_pool(np.ones(2), np.full(2, np.inf))
    with pytest.raises(ValueError, match="positive"):
        partial_pool(np.ones(2), np.zeros(2))


def test_of_forms_that_are_as_frequent_the_first_is_pooled_whatever_strings_hash_to() -> None:
    names = [name for name, form in FORMS.items() if has_half_life(form)]
    for first, second in itertools.combinations(names, 2):
        rows = [
            EntityDecay(
                "x", 9, 9, 9, 9.0, form, LN2 / days, days, half_life_low_days=days / 2, half_life_high_days=2 * days
            )
            for form, days in ((second, 50.0), (first, 5.0), (second, 50.0), (first, 5.0))
        ]
        pooled = [one.pooled_half_life_days for one in add_partial_pooling(rows, None, 0.95)]
        assert pooled == [None, pytest.approx(5.0)] * 2, "an entity of another form keeps its own"


def test_what_is_well_known_is_not_given_up_for_what_others_are() -> None:
    def row(days: float | None, low: float, high: float | None, form: str = "exponential") -> EntityDecay:
        rate = 0.0 if days is None else np.log(2) / days
        return EntityDecay("x", 9, 9, 9, 9.0, form, rate, days, half_life_low_days=low, half_life_high_days=high)

    slow, other, flat = row(110.0, 34.0, None), row(50.0, 40.0, 60.0, "exponential_floor"), row(None, 1.0, None)
    fast, power = (EntityDecay("x", 9, 9, 9, 9.0, form, None, None) for form in ("exponential", "power"))
    rows = [*(row(days, days / 1.2, days * 1.2) for days in (4.0, 5.0, 6.0, 5.0)), slow, other, flat, fast, power]
    slow_found, *kept = add_partial_pooling(rows, None, 0.95)[4:]
    # Its lower end lies far above the others: their mean is no answer for it.
    assert slow_found.pooled_half_life_days is not None
    assert slow_found.pooled_half_life_days > 34
    # Nothing to borrow: a half-life of another form, no fall, a fall too fast to be seen, a power law.
    assert kept == [other, flat, fast, power]


def test_a_thin_entity_has_a_pooled_rate_in_the_table(planted: Planted) -> None:
    fit = planted((3.0, 8.0, 20.0, 8.0)).fit(0, FitOptions(form="exponential_floor", min_returns=450))
    thin = [one for one in fit.entities if one.form is None]
    assert thin
    for one in thin:
        assert one.own_weight == 0.0
        assert one.pooled_half_life_days is not None
        assert 3.0 < one.pooled_half_life_days < 30.0
