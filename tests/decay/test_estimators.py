import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import optimize

from ltsi.decay.estimators import ESTIMATORS, estimate
from ltsi.decay.forms import FORMS
from ltsi.decay.result import FitOptions
from ltsi.errors import ConfigError

EXPONENTIAL = FORMS["exponential"]
FORMULAS = ("log_ratio", "log_linear")


def test_the_seeds_worked_numbers() -> None:
    left = EXPONENTIAL.hazard(np.log([[0.1, 10.0]]), np.arange(4.0))[0]
    assert np.round(left[1:], 2).tolist() == [9.05, 8.19, 7.41]
    # As a hazard: 9.05, 8.19 and 7.41 returns on each of three days at risk, a day wide and taken at its middle.
    edges = np.array([0.5, 1.5, 2.5, 3.5])
    rates = [
        np.exp(estimate(name, EXPONENTIAL, left[None, 1:], np.ones((1, 3)), edges).theta[0, 0]) for name in FORMULAS
    ]
    assert rates[1] == pytest.approx(0.1)
    # The log-ratio between the earlier day or two and the later ones.
    assert rates[0] == pytest.approx(np.log(left[1:3].mean() / left[3]) / 1.5)
    assert rates[0] == pytest.approx(0.1, rel=0.01)
    # Between one day and the next it gives the rate back as it is.
    days = np.stack([left[:-1], left[1:]], axis=1)
    found = estimate("log_ratio", EXPONENTIAL, days, np.ones((3, 2)), edges[:3])
    assert np.exp(found.theta[:, 0]) == pytest.approx([0.1] * 3)


@given(st.floats(0.05, 0.6), st.floats(0.1, 20))
def test_the_log_ratio_is_exact_anywhere_on_an_exponential(rate: float, age: float) -> None:
    edges = age + np.arange(3.0)
    left, exposure = EXPONENTIAL.hazard(np.log([[rate, 3.0]]), edges[:2] + 0.5), np.full((1, 2), 1e9)
    found = estimate("log_ratio", EXPONENTIAL, left * exposure, exposure, edges)
    assert np.exp(found.theta[0]) == pytest.approx([rate, 3.0], rel=1e-6)


def exact(rate: float, amplitude: float) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Noiseless counts in bins narrow enough for their middles."""
    edges = np.linspace(0.5, 40.5, 401)
    exposure = np.full((1, 400), 1e4)
    return exposure * EXPONENTIAL.mean_hazard(np.log([[rate, amplitude]]), edges)[0], exposure, edges


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if name != "log_ratio"])
def test_every_estimator_is_exact_without_noise(name: str) -> None:
    returns, exposure, edges = exact(0.1, 0.3)
    theta = estimate(name, EXPONENTIAL, returns, exposure, edges).theta[0]
    # A straight line through merged bins is off by their width.
    assert np.exp(theta) == pytest.approx([0.1, 0.3], rel=0.05 if name == "log_linear" else 0.01)


def test_least_squares_agrees_with_scipy() -> None:
    returns, exposure, edges = exact(0.08, 0.1)
    returns = np.random.default_rng(1).poisson(returns / 100).astype(float)
    exposure = exposure / 100
    middle = (edges[:-1] + edges[1:]) / 2
    found = np.exp(estimate("least_squares", EXPONENTIAL, returns, exposure, edges).theta[0])
    wanted, _ = optimize.curve_fit(
        lambda age, rate, amplitude: amplitude * np.exp(-rate * age),
        middle,
        (returns / exposure)[0],
        p0=(0.1, 0.1),
        sigma=exposure[0] ** -0.5,
    )
    assert found == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("name", FORMULAS)
def test_formulas_survive_empty_and_rising_tables(name: str) -> None:
    edges = np.linspace(0.5, 40.5, 41)
    tables = np.stack([np.zeros(40), np.arange(40.0), np.eye(40)[3]])
    fit = estimate(name, EXPONENTIAL, tables, np.full((3, 40), 50.0), edges)
    assert np.isfinite(fit.theta).all()
    assert fit.at_bound[1, 0]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"estimator": "binomial"}, "needs trials"),
        ({"estimator": "negative_binomial", "exposure": "events"}, "needs exposure=days"),
        ({"estimator": "log_ratio", "form": "power"}, "set form=exponential"),
        ({"estimator": "least_squares", "form": "auto"}, "name a form"),
        ({"estimator": "poison"}, "Did you mean 'poisson'"),
        ({"exposure": "weeks"}, "exposure=weeks is not one of"),
    ],
)
def test_what_cannot_be_combined_is_refused(options: dict[str, str], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        FitOptions(**options)  # type: ignore[arg-type]
