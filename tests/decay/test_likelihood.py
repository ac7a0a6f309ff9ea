from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize, stats

from ltsi.decay.families import BINOMIAL, LEAST_SQUARES, POISSON, Family
from ltsi.decay.forms import FORMS, SIMPLE, Form
from ltsi.decay.likelihood import Maximum, maximise

EDGES = 0.5 + np.concatenate([[0.0], np.geomspace(0.1, 150, 64)])
AMPLITUDES = (0.3, 0.1, 0.03)
REST = {
    "rate_per_day": 0.05,
    "floor": 0.002,
    "slow_ratio": 0.08,
    "slow_amplitude": 0.02,
    "exponent": 0.6,
    "shape": 0.6,
    "rise_days": 2.0,
}


@pytest.fixture(params=sorted(FORMS))
def form(request: pytest.FixtureRequest) -> Form:
    return FORMS[request.param]


def truth(form: Form) -> NDArray[np.float64]:
    return np.log([[{**REST, "amplitude": one}[name] for name in form.parameters] for one in AMPLITUDES])


def drawn(form: Form) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    exposure = np.tile(20_000 * np.exp(-EDGES[1:] / 60) + 100, (3, 1))
    mean, _ = form.mean_hazard(truth(form), EDGES)
    return np.random.default_rng(3).poisson(exposure * mean).astype(float), exposure


def test_noiseless_counts_give_the_parameters_back(form: Form) -> None:
    exposure = np.full((3, 64), 1e6)
    fit = maximise(form, exposure * form.mean_hazard(truth(form), EDGES)[0], exposure, EDGES)
    assert fit.theta == pytest.approx(truth(form), abs=1e-3)
    assert not fit.at_bound.any()


def loss_of(form: Form, family: str, returns: NDArray[np.float64], exposure: NDArray[np.float64]) -> Any:
    """The objectives, written once more, with each bin's mean hazard by the trapezoidal rule on a fine grid."""
    fine = np.linspace(EDGES[:-1], EDGES[1:], 65)

    def loss(theta: NDArray[np.float64]) -> float:
        values = form.hazard(theta[None], fine.ravel())[0].reshape(fine.shape)
        mean = (values[0] / 2 + values[1:-1].sum(0) + values[-1] / 2) / 64
        if family == "least_squares":
            weight = exposure / (returns.sum() / exposure.sum())
            return float(0.5 * (weight * (returns / exposure - mean) ** 2).sum())
        if family == "binomial":
            return float(-stats.binom.logpmf(returns, exposure, np.clip(mean, 0, 1)).sum())
        return float(-stats.poisson.logpmf(returns, exposure * mean).sum())

    return loss


@pytest.mark.parametrize("family", [POISSON, BINOMIAL, LEAST_SQUARES], ids=lambda one: one.name)
def test_maximum_agrees_with_a_general_optimiser(form: Form, family: Family) -> None:
    returns, exposure = (table[:1].round() for table in drawn(form))
    fit = maximise(form, returns, exposure, EDGES, family=family)
    loss = loss_of(form, family.name, returns[0], exposure[0])
    found = optimize.minimize(loss, fit.theta[0] + 0.05, method="Nelder-Mead", options={"maxiter": 4000, "fatol": 1e-9})
    # No general optimiser finds a better point, and where the likelihood is not flat it finds the same one.
    assert loss(fit.theta[0]) <= found.fun + 1e-4
    if family is POISSON and form.name in ("exponential", "exponential_floor", "power", "hyperbolic"):
        assert fit.theta[0] == pytest.approx(found.x, abs=1e-3)


def test_fits_side_by_side_equal_fits_alone(form: Form) -> None:
    returns, exposure = drawn(form)
    together = maximise(form, returns, exposure, EDGES)
    for row in range(3):
        alone = maximise(form, returns[row : row + 1], exposure[row : row + 1], EDGES)
        assert alone.log_likelihood[0] == pytest.approx(together.log_likelihood[row], abs=1e-6)


def test_a_held_parameter_stays_and_costs_likelihood(form: Form) -> None:
    returns, exposure = drawn(form)
    free = maximise(form, returns, exposure, EDGES)
    held = maximise(form, returns, exposure, EDGES, start=free.theta, held=free.theta[:, 0] + 0.2)
    assert held.theta[:, 0] == pytest.approx(free.theta[:, 0] + 0.2)
    assert np.all(held.log_likelihood <= free.log_likelihood + 1e-6)


def test_criteria_count_parameters() -> None:
    returns, exposure = drawn(FORMS["exponential"])
    fits = {name: maximise(FORMS[name], returns, exposure, EDGES) for name in SIMPLE}
    # Where there is no floor, adding one gains next to nothing and costs 2, or the logarithm of the returns.
    gain = fits["exponential"].aic() - fits["exponential_floor"].aic()
    assert np.all(gain > -2 - 1e-3)
    assert np.all(gain < 4)
    count = returns.sum(-1)
    cost = fits["exponential_floor"].bic(count) - fits["exponential_floor"].aic()
    assert cost == pytest.approx(3 * (np.log(count) - 2))


def test_the_better_of_two_maxima_is_the_higher_and_else_the_first() -> None:
    one, other = (
        Maximum(np.full((3, 1), at), height, np.full((3, 1), at > 0))
        for at, height in ((0.0, np.array([1.0, 1.0, 1.0])), (7.0, np.array([0.0, 1.0, 2.0])))
    )
    found = one.better(other)
    assert found.theta.tolist() == [[0.0], [0.0], [7.0]]
    assert found.log_likelihood.tolist() == [1.0, 1.0, 2.0]
    assert found.at_bound.tolist() == [[False], [False], [True]]


def test_the_price_of_a_parameter_is_that_of_one_return_at_least() -> None:
    fit = Maximum(np.zeros((3, 2)), np.zeros(3), np.zeros((3, 2), dtype=bool))
    assert fit.bic(np.array([0.0, 1.0, 2.0])) == pytest.approx([0.0, 0.0, 2 * np.log(2)])


def test_a_rising_hazard_runs_to_the_slowest_rate() -> None:
    exposure = np.full((1, 64), 1e4)
    for form in (FORMS[name] for name in SIMPLE):
        fit = maximise(form, exposure * 0.01 * EDGES[1:], exposure, EDGES)
        assert fit.at_bound[0, 0] or fit.at_bound[0, 1]
        assert np.isfinite(fit.theta).all()


def test_a_hazard_that_is_gone_after_the_first_bin_runs_to_the_fastest_rate() -> None:
    exposure = np.full((1, 64), 1e4)
    fit = maximise(FORMS["exponential"], exposure * (np.arange(64) == 0), exposure, EDGES)
    assert np.exp(fit.theta[0, 0]) == pytest.approx(np.log(2) / (EDGES[1] - EDGES[0]))
    assert fit.at_bound.tolist() == [[True, False]]


def test_a_climb_that_is_sent_to_two_edges_at_once_goes_on() -> None:
    # Falls faster than can be shown: a step that takes the rate to its upper bound would take the amplitude too far.
    edges, (plain, floored) = 0.5 + np.arange(1601) / 16, (FORMS[name] for name in SIMPLE)
    hazard = plain.mean_hazard(np.log([[20.0, 18 * np.exp(10.0)]]), edges)[0]
    exposure = 230 * np.exp(-np.cumsum(hazard, axis=1) / 16)
    fits = [maximise(form, exposure * hazard, exposure, edges) for form in (plain, floored)]
    assert fits[1].log_likelihood >= fits[0].log_likelihood - 1e-3


def test_no_returns_and_no_exposure_stay_finite(form: Form) -> None:
    nothing = np.zeros((2, 64))
    exposure = np.stack([np.zeros(64), np.ones(64)])
    fit = maximise(form, nothing, exposure, EDGES)
    assert np.isfinite(fit.theta).all()
    assert np.isfinite(fit.log_likelihood).all()
    assert len(maximise(form, nothing[:0], nothing[:0], EDGES).theta) == 0
