import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltsi.decay.curves import half_life, intensity, log_ratio_rate


def test_intensity_gives_the_worked_numbers() -> None:
    assert np.round(intensity([1, 2, 3], 10, 0.1), 2).tolist() == [9.05, 8.19, 7.41]


def test_log_ratio_gives_the_rate_of_the_worked_numbers_back() -> None:
    left = intensity([0, 1, 2, 3], 10, 0.1)
    assert log_ratio_rate(left[:-1], left[1:], 1) == pytest.approx([0.1, 0.1, 0.1])
    assert log_ratio_rate(10, 7.41, 3) == pytest.approx(0.1, abs=2e-4)


def test_log_ratio_of_a_rising_interest_is_negative() -> None:
    assert log_ratio_rate(1, 2, 1) == pytest.approx(-math.log(2))


@given(st.floats(1e-4, 10), st.floats(0.1, 100))
def test_half_is_left_after_the_half_life(rate: float, initial: float) -> None:
    assert intensity(half_life(rate), initial, rate) == pytest.approx(initial / 2)


@given(st.floats(1e-3, 2), st.floats(0, 20), st.floats(0.1, 20))
def test_log_ratio_is_exact_anywhere_on_an_exponential(rate: float, age: float, elapsed: float) -> None:
    found = log_ratio_rate(intensity(age, 3.0, rate), intensity(age + elapsed, 3.0, rate), elapsed)
    assert found == pytest.approx(rate, rel=1e-6)


def test_impossible_values_are_refused() -> None:
    with pytest.raises(ValueError, match="must be positive"):
        half_life(0.0)
    for earlier, later, elapsed in ((0, 1, 1), (1, 0, 1), (1, 1, 0), (1, -1, 1)):
        with pytest.raises(ValueError, match="positive"):
            log_ratio_rate(earlier, later, elapsed)
