import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize

from ltsi.decay.forms import FORMS, Form
from ltsi.decay.likelihood import maximise

EDGES = np.concatenate([[0.5], 0.5 + np.geomspace(0.1, 150, 40)])
TRUTH = np.log([[0.2, 0.3, 0.01], [0.05, 0.1, 0.002], [0.02, 0.03, 0.001]])


@pytest.fixture(params=sorted(FORMS))
def form(request: pytest.FixtureRequest) -> Form:
    return FORMS[request.param]


def drawn(form: Form) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    exposure = np.tile(20_000 * np.exp(-EDGES[1:] / 60) + 100, (len(TRUTH), 1))
    mean, _ = form.mean_hazard(TRUTH[:, : len(form.parameters)], EDGES)
    return np.random.default_rng(3).poisson(exposure * mean).astype(float), exposure


def test_noiseless_counts_give_the_parameters_back(form: Form) -> None:
    truth = TRUTH[:, : len(form.parameters)]
    exposure = np.full((3, 40), 1e5)
    fit = maximise(form, exposure * form.mean_hazard(truth, EDGES)[0], exposure, EDGES)
    assert fit.theta == pytest.approx(truth, abs=1e-5)
    assert not fit.at_bound.any()


def test_maximum_agrees_with_a_general_optimiser(form: Form) -> None:
    returns, exposure = drawn(form)
    fit = maximise(form, returns, exposure, EDGES)
    for row in range(3):

        def loss(theta: NDArray[np.float64], row: int = row) -> float:
            # The integral of the hazard, written out again and independently of the forms.
            rate, amplitude = np.exp(theta[:2])
            floor = np.exp(theta[2]) if len(theta) > 2 else 0.0
            area = floor * np.diff(EDGES) - amplitude / rate * np.diff(np.exp(-rate * EDGES))
            expected = exposure[row] * area / np.diff(EDGES)
            return float((expected - returns[row] * np.log(expected)).sum())

        start = TRUTH[row, : len(form.parameters)]
        found = optimize.minimize(
            loss, start, method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-10, "maxiter": 5000}
        )
        assert fit.theta[row] == pytest.approx(found.x, abs=1e-4)
        assert fit.log_likelihood[row] == pytest.approx(-found.fun, abs=1e-6)


def test_fits_side_by_side_equal_fits_alone(form: Form) -> None:
    returns, exposure = drawn(form)
    together = maximise(form, returns, exposure, EDGES)
    for row in range(3):
        alone = maximise(form, returns[row : row + 1], exposure[row : row + 1], EDGES)
        assert alone.theta[0] == pytest.approx(together.theta[row], abs=1e-6)


def test_aic_counts_parameters() -> None:
    returns, exposure = drawn(FORMS["exponential"])
    fits = {name: maximise(form, returns, exposure, EDGES) for name, form in FORMS.items()}
    # Where there is no floor, adding one gains next to nothing and costs 2.
    gain = fits["exponential"].aic() - fits["exponential_floor"].aic()
    assert np.all(gain > -2 - 1e-3)
    assert np.all(gain < 4)


def test_a_rising_hazard_runs_to_the_slowest_rate(form: Form) -> None:
    exposure = np.full((1, 40), 1e4)
    fit = maximise(form, exposure * 0.01 * EDGES[1:], exposure, EDGES)
    assert fit.at_bound[0, 0] or fit.at_bound[0, 1]
    assert np.isfinite(fit.theta).all()


def test_no_returns_and_no_exposure_stay_finite(form: Form) -> None:
    nothing = np.zeros((2, 40))
    exposure = np.stack([np.zeros(40), np.ones(40)])
    fit = maximise(form, nothing, exposure, EDGES)
    assert np.isfinite(fit.theta).all()
    assert len(maximise(form, nothing[:0], nothing[:0], EDGES).theta) == 0
