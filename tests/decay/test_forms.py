import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import approx_fprime

from ltsi.decay.forms import FORMS, Form

EDGES = np.array([0.5, 0.6, 1.0, 4.0, 30.0, 200.0])
THETA = np.log([0.07, 0.3, 0.02])


@pytest.fixture(params=sorted(FORMS))
def form(request: pytest.FixtureRequest) -> Form:
    return FORMS[request.param]


def test_mean_hazard_is_the_integral_over_the_bin(form: Form) -> None:
    theta = THETA[None, : len(form.parameters)]
    mean, _ = form.mean_hazard(theta, EDGES)
    for low, high, found in zip(EDGES[:-1], EDGES[1:], mean[0]):
        area, _ = quad(lambda age: form.hazard(theta, np.array([age]))[0, 0], low, high)
        assert found == pytest.approx(area / (high - low))


def test_derivatives_match_finite_differences(form: Form) -> None:
    theta = THETA[: len(form.parameters)]
    _, slopes = form.mean_hazard(theta[None], EDGES)
    numeric = approx_fprime(theta, lambda at: form.mean_hazard(at[None], EDGES)[0][0], 1e-7)
    assert slopes[0] == pytest.approx(numeric.T, rel=1e-4, abs=1e-8)


def test_start_is_near_the_truth_on_noiseless_counts(form: Form) -> None:
    edges = np.linspace(0.5, 200, 60)
    theta = THETA[None, : len(form.parameters)]
    exposure = np.full((1, 59), 1e4)
    start = form.start(exposure * form.mean_hazard(theta, edges)[0], exposure, edges)
    assert start[0] == pytest.approx(theta[0], abs=0.4)
