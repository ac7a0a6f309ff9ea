from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ltsi.decay.contest import Contest, _error, _pick, hold_contest
from ltsi.decay.estimate import fit_statistics
from ltsi.decay.estimators import estimate_forms, settled_forms
from ltsi.decay.families import BINOMIAL, POISSON
from ltsi.decay.forms import FORMS, SIMPLE, log_parameters
from ltsi.decay.likelihood import maximise
from ltsi.decay.pairs import Entries, Pairs
from ltsi.decay.report import forms_table
from ltsi.decay.result import DecayFit, FitOptions
from ltsi.decay.statistics import ReturnStatistics, age_edges, collect
from ltsi.tables import Cell, Entry

Planted = Callable[..., Any]
DAY = 86_400


@pytest.fixture(scope="module")
def fit(planted: Planted) -> DecayFit:
    """Two entities of different half-lives and no floor, with the first part of the log beside the whole."""
    log = planted((2.0, 10.0), floor=0.0, users=1_500, amplitude=0.1)
    end = np.full(log.users, int(0.75 * log.days * DAY), dtype=np.int64)
    earlier = collect([log.block(1)], np.arange(2), 2, end, age_edges(0.5, log.days))
    options = FitOptions(form="auto", replicates=20)
    found: DecayFit = fit_statistics(log.statistics(1), ["fast", "slow"], options, earlier=earlier)
    return found


def test_the_planted_form_wins_for_the_log_and_for_every_entity(fit: DecayFit) -> None:
    assert fit.contest is not None
    assert fit.contest.winner == "exponential"
    assert [one.form for one in fit.entities] == ["exponential"] * 2
    assert set(fit.entities[0].aic) == set(FORMS)
    assert fit.entities[0].heldout_gain == 0.0


def test_a_mixture_of_rates_is_told_from_a_tail(fit: DecayFit) -> None:
    assert fit.pooled.form != "exponential"
    assert any("the tail of the one mixes rates" in remark for remark in fit.remarks)


def value(entry: Entry) -> Any:
    assert isinstance(entry, Cell)
    return entry.value


def test_forms_are_ranked_with_the_winner_marked(fit: DecayFit) -> None:
    table = forms_table(fit)
    assert table is not None
    assert len(table.rows) == len(FORMS)
    behind = [value(row[2]) for row in table.rows]
    assert behind == sorted(behind)
    assert behind[0] == 0.0
    assert [value(row[0]) for row in table.rows if isinstance(row[0], Cell) and row[0].bold] == ["exponential"]
    later = {value(row[0]): value(row[4]) for row in table.rows}
    assert later["exponential"] < later["power"]


def test_a_form_that_ran_into_a_bound_cannot_win(planted: Planted) -> None:
    statistics = planted((3.0, 8.0), floor=0.0, users=300).statistics(1)
    both, names = np.array([0, 1]), ("exponential", "power")
    returns, exposure = (total[0] for total in statistics.totals())
    starts = {name: maximise(FORMS[name], returns, exposure, statistics.edges).theta for name in names}
    free = hold_contest(statistics, both, starts, POISSON, seed=0)
    barred = np.array([[True, True], [False, False]])
    assert free.winner == "exponential"
    assert hold_contest(statistics, both, starts, POISSON, seed=0, barred=barred).winners == ("power", "power")
    half = hold_contest(statistics, both, starts, POISSON, seed=0, barred=barred & [True, False])
    assert half.winner == "exponential", "for half of the entities it did not"
    assert half.winners == ("power", "exponential")


def picked(*scores: list[float], names: tuple[str, ...], barred: bool = False) -> str:
    return _pick(names, np.array(scores), None, np.full(len(names), barred))[0]


def test_a_form_ties_by_odds_or_by_two_standard_errors() -> None:
    names = ("exponential", "exponential_floor")
    # Behind by 3 < log 32 and by 4, the same of both users.
    assert picked([-1.5, -1.5], [0.0, 0.0], names=names) == "exponential"
    assert picked([-2.0, -2.0], [0.0, 0.0], names=names) == "exponential_floor"
    # Behind by 12 with an error of 8, and by 12 with one of 4: of two users it is their difference.
    assert picked([-10.0, -2.0], [0.0, 0.0], names=names) == "exponential"
    assert picked([-8.0, -4.0], [0.0, 0.0], names=names) == "exponential_floor"
    error = _pick(names, np.array([[-10.0, -2.0], [0.0, 0.0]]), None, np.zeros(2, dtype=bool))[1]
    assert error == pytest.approx([8.0, 0.0])


def test_the_error_of_a_gain_is_that_of_a_sum_over_users() -> None:
    """Gains of 1 and 3 scatter by 1 about 2; of a single user, who gains 5, it is as if another gained nothing."""
    none, three = Entries(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0)), np.arange(3)
    pairs = Pairs(np.array([0, 0, 1]), three, none, none, none, np.zeros(3), np.array([0.5, 1.0]), 2)
    found = _error(pairs, np.array([1.0, 3.0, 5.0]))
    assert found == pytest.approx([np.sqrt((1 + 1) * 2 / 1), np.sqrt(2.5**2 * 2 / 1)])


def test_of_forms_that_tie_with_as_many_parameters_the_better_one_wins() -> None:
    assert picked([-0.5, -0.5], [0.0, 0.0], names=("hyperbolic", "exponential")) == "exponential"


def test_where_every_form_is_barred_none_is() -> None:
    assert picked([-2.0, -2.0], [0.0, 0.0], names=("exponential", "exponential_floor"), barred=True) == (
        "exponential_floor"
    )


@pytest.mark.parametrize(
    ("behind", "error", "refuted"), [(3.0, 0.1, False), (4.0, 0.1, True), (8.0, 4.0, False), (8.1, 4.0, True)]
)
def test_a_form_is_refuted_where_it_is_behind_by_more_than_a_tie(behind: float, error: float, refuted: bool) -> None:
    contest = Contest(
        names=("exponential", "power"),
        winner="power",
        winners=("power",),
        alone=("power",),
        by_users=np.array([-behind, 0.0]),
        behind_error=np.array([error, 0.0]),
        by_entity=np.zeros((2, 1)),
        gain_error=np.zeros(1),
    )
    assert contest.refutes("exponential") is refuted
    assert contest.refutes("power") is False


def test_an_entity_for_which_the_form_of_the_log_ran_into_its_end_has_the_simpler_one() -> None:
    edges = 0.5 + np.arange(61.0)
    given = {"rate_per_day": 0.07, "amplitude": 0.2, "shape": 1.3, "exponent": 0.6}
    # At first the one falls more slowly than any exponential does, the other faster.
    shapes = [FORMS[name] for name in ("stretched", "power_cutoff")]
    hazard = np.concatenate([one.mean_hazard(log_parameters(one, given), edges)[0] for one in shapes])
    exposure = np.full_like(hazard, 1e4)
    fits = estimate_forms("poisson", ("exponential", "power", "power_cutoff"), 1e4 * hazard, exposure, edges)
    settled = settled_forms(fits, 1e4 * hazard, exposure, edges)
    assert settled["power_cutoff"] == ["exponential", "power_cutoff"]
    assert settled["exponential"] == ["exponential"] * 2
    # The simpler form was not fitted: nothing to turn into.
    alone = {"power_cutoff": fits["power_cutoff"]}
    assert settled_forms(alone, 1e4 * hazard, exposure, edges) == {"power_cutoff": ["power_cutoff"] * 2}


def test_entities_have_what_their_forms_amount_to(planted: Planted) -> None:
    statistics = planted((3.0, 8.0), users=300).statistics(1)
    returns, exposure = (total[0] for total in statistics.totals())
    starts = {name: maximise(FORMS[name], returns, exposure, statistics.edges).theta for name in SIMPLE}
    settled = {"exponential": ["exponential"] * 2, "exponential_floor": ["exponential_floor", "exponential"]}
    found = hold_contest(statistics, np.array([0, 1]), starts, POISSON, seed=0, settled=settled)
    assert (found.winner, found.winners) == ("exponential_floor", ("exponential_floor", "exponential"))
    assert found.gain(1) == found.gain_error[1] == 0.0


def test_pairs_add_up_to_the_tables(planted: Planted) -> None:
    statistics = planted((3.0, 30.0), users=50).statistics(1)
    hazard = np.random.default_rng(0).uniform(0.01, 0.1, (2, statistics.n_bins))
    pairs = Pairs.of(statistics, np.array([1, 0]))
    returns, exposure = (total[0][::-1] for total in statistics.totals())
    assert pairs.by_entity(pairs.expected(hazard)) == pytest.approx((exposure * hazard).sum(1))
    wanted = (returns * np.log(hazard) - exposure * hazard).sum(1)
    assert pairs.by_entity(pairs.log_likelihood(hazard, POISSON)) == pytest.approx(wanted)
    assert pairs.weighted_exposure(np.ones(len(pairs.entity))) == pytest.approx(exposure)


def test_pairs_of_trials_are_binomial(planted: Planted) -> None:
    log = planted((3.0,), users=30)
    end = np.full(log.users, int(log.days * DAY), dtype=np.int64)
    statistics = collect([log.block(0)], np.array([0]), 1, end, age_edges(0.5, log.days), "active_days")
    hazard = np.full((1, statistics.n_bins), 0.3)
    returns, trials = (total[0].sum() for total in statistics.totals())
    pairs = Pairs.of(statistics, np.array([0]))
    wanted = returns * np.log(0.3) + (trials - returns) * np.log(0.7)
    assert pairs.log_likelihood(hazard, BINOMIAL).sum() == pytest.approx(wanted)


def test_a_dozen_users_are_enough_to_hold_a_contest(planted: Planted) -> None:
    statistics: ReturnStatistics = planted((3.0,), users=12, days=400.0, floor=0.05).statistics(0)
    (one,) = fit_statistics(statistics, ["x"], FitOptions(form="auto", replicates=20)).entities
    assert one.form in FORMS
    assert one.heldout_gain is not None
    assert np.isfinite(one.heldout_gain)
