import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.optimize import approx_fprime

from ltsi.decay.forms import FORMS, Form, bounds, ends, has_half_life, simpler, start, widened

EDGES = np.array([0.5, 0.53, 0.6, 0.7, 0.85, 1.0, 1.2, 1.5, 1.9, 2.4])
TRUTH = {
    "rate_per_day": 0.07,
    "amplitude": 0.3,
    "floor": 0.02,
    "slow_ratio": 0.1,
    "slow_amplitude": 0.08,
    "exponent": 0.6,
    "shape": 0.7,
    "rise_days": 1.5,
}


@pytest.fixture(params=sorted(FORMS))
def form(request: pytest.FixtureRequest) -> Form:
    return FORMS[request.param]


def truth(form: Form) -> NDArray[np.float64]:
    return np.log([[TRUTH[name] for name in form.parameters]])


def by_hand(name: str, age: float) -> float:
    """The hazards, written out once more from their formulas."""
    rate, amplitude, d = TRUTH["rate_per_day"], TRUTH["amplitude"], TRUTH["exponent"]
    half_life = np.log(2) / rate
    base = {
        "exponential": amplitude * np.exp(-rate * age),
        "exponential_floor": amplitude * np.exp(-rate * age) + TRUTH["floor"],
        "two_scale": amplitude * np.exp(-rate * age) + 0.08 * np.exp(-rate * 0.1 * age),
        "power": amplitude * age**-d,
        "power_cutoff": amplitude * age**-d * np.exp(-rate * age),
        "stretched": amplitude * 0.5 ** ((age / half_life) ** 0.7),
        "hyperbolic": amplitude / (1 + age / half_life),
    }[name.removesuffix("_rise")]
    return float(base * (1 - np.exp(-age / TRUTH["rise_days"])) if name.endswith("_rise") else base)


def test_hazards_are_their_formulas(form: Form) -> None:
    age = np.array([0.5, 1.0, 9.0, 80.0])
    assert form.hazard(truth(form), age)[0] == pytest.approx([by_hand(form.name, float(one)) for one in age])


def test_seven_forms_with_and_without_a_rise() -> None:
    plain = {name for name in FORMS if not name.endswith("_rise")}
    assert len(plain) == 7
    assert set(FORMS) == plain | {f"{name}_rise" for name in plain}


def test_half_of_the_fading_part_is_left_after_the_half_life() -> None:
    half_life = np.log(2) / TRUTH["rate_per_day"]
    for name in ("exponential", "stretched", "hyperbolic"):
        at_zero, later = FORMS[name].hazard(truth(FORMS[name]), np.array([1e-12, half_life]))[0]
        assert later / at_zero == pytest.approx(0.5)
    assert [name for name in FORMS if not has_half_life(FORMS[name])] == [
        name for name in FORMS if name.startswith("power")
    ]


def test_a_form_contains_the_one_it_is_simpler_as(form: Form) -> None:
    narrow = simpler(form)
    if narrow is None:
        assert form.name in ("exponential", "power", "hyperbolic")
        return
    theta = np.log([[TRUTH[name] for name in narrow.parameters]])
    edges = np.concatenate([EDGES, [4.0, 9.0, 40.0]])
    hazard = narrow.mean_hazard(theta, edges)[0]
    wide = form.mean_hazard(widened(form, narrow, theta, 9 * hazard, 9 + 0 * hazard, edges), edges)[0]
    assert wide == pytest.approx(hazard, rel=0.08)


def test_a_form_that_is_widened_begins_inside_of_its_bounds(form: Form) -> None:
    narrow = simpler(form)
    if narrow is not None:
        theta = np.log([[TRUTH[name] for name in narrow.parameters]])
        edges = np.concatenate([EDGES, [4.0, 9.0, 40.0]])
        hazard = narrow.mean_hazard(theta, edges)[0]
        begin = widened(form, narrow, theta, 9 * hazard, 9 + 0 * hazard, edges)
        low, high = bounds(form, 9 * hazard, 9 + 0 * hazard, edges)
        assert ((low < begin) & (begin < high)).all()


def test_at_the_lower_end_of_a_parameter_a_form_is_the_simpler_one(form: Form) -> None:
    found = dict(ends(form))
    assert len(found) == {"power_cutoff": 2, "two_scale": 2, "exponential_floor": 1}.get(
        form.name.removesuffix("_rise"), 0
    ) + form.name.endswith("_rise")
    counts = np.ones((1, len(EDGES) - 1))
    for place, narrow in found.items():
        theta = truth(form)
        theta[0, place] = bounds(form, counts, counts, EDGES)[0][0, place]
        floor = {"floor": TRUTH["slow_amplitude"]} if form.name.startswith("two_scale") else {}
        wanted = np.log([[{**TRUTH, **floor}[name] for name in narrow.parameters]])
        hazard = narrow.mean_hazard(wanted, EDGES)[0]
        assert form.mean_hazard(theta, EDGES)[0] == pytest.approx(hazard, rel=0.08)


def test_bounds_are_what_bins_can_show() -> None:
    edges, nothing, days = np.array([0.5, 1.5, 8.0, 100.0]), np.zeros((1, 3)), np.array([[20.0, 15.0, 15.0]])
    low, high = (np.exp(one[0]) for one in bounds(FORMS["exponential_floor_rise"], nothing, days, edges))
    # Half-lives of ten times the longest age and of the first bin; one return in 50 days, if there was none.
    assert low == pytest.approx([np.log(2) / 1_000, 1e-9 / 50, 1e-7 / 50, 0.5 / 20])
    assert high == pytest.approx([np.log(2) / 1.0, 1e12 / 50, 10 / 50, 100 / 2])


def test_mean_hazard_is_the_integral_over_the_bin(form: Form) -> None:
    mean, _ = form.mean_hazard(truth(form), EDGES)
    for low, high, found in zip(EDGES[:-1], EDGES[1:], mean[0]):
        area, _ = quad(lambda age: form.hazard(truth(form), np.array([age]))[0, 0], low, high)
        assert found == pytest.approx(area / (high - low), rel=1e-8)


def test_sums_of_exponentials_are_exact_in_bins_of_any_width() -> None:
    edges = np.array([0.5, 4.0, 30.0, 200.0])
    for form in (one for name, one in FORMS.items() if name.startswith(("exponential", "two_scale"))):
        mean, _ = form.mean_hazard(truth(form), edges)
        for low, high, found in zip(edges[:-1], edges[1:], mean[0]):
            area, _ = quad(lambda age, form=form: form.hazard(truth(form), np.array([age]))[0, 0], low, high)
            assert found == pytest.approx(area / (high - low))


def test_derivatives_match_finite_differences(form: Form) -> None:
    _, slopes = form.mean_hazard(truth(form), EDGES)
    numeric = approx_fprime(truth(form)[0], lambda at: form.mean_hazard(at[None], EDGES)[0][0], 1e-7)
    assert slopes[0] == pytest.approx(numeric.T, rel=1e-4, abs=1e-7)


def test_start_explains_noiseless_counts_almost_as_well_as_the_truth(form: Form) -> None:
    edges = 0.5 + np.concatenate([[0], np.geomspace(0.1, 200, 60)])
    exposure = np.full((1, 60), 100.0)
    returns = exposure * form.mean_hazard(truth(form), edges)[0]

    def deviance(theta: NDArray[np.float64]) -> float:
        expected = exposure * form.mean_hazard(theta, edges)[0]
        return float((returns * np.log(returns / expected) - returns + expected).sum())

    flat = returns.mean() / exposure
    worst = float((returns * np.log(returns / (exposure * flat))).sum())
    assert deviance(start(form, returns, exposure, edges)) < 0.03 * worst
