from collections.abc import Callable
from typing import Any

import pytest

from ltsi.errors import ConfigError
from ltsi.preparation.clean import CleaningStep
from ltsi.preparation.cleaning.moving import MovingMean, MovingMedian

Apply = Callable[..., dict[int, float | None]]
# In order of time, a has 1, 2, -, 9, 4 and b has 7.
ROWS = [
    ("a", "x", 50, 4.0), ("a", "x", 10, 1.0), ("a", "y", 20, 2.0), ("a", "x", 30, None), ("a", "x", 40, 9.0),
    ("b", "x", 20, 7.0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("step", "values"),
    [
        (MovingMean(3), {2: 1, 3: (1 + 2) / 2, 4: None, 5: (2 + 9) / 2, 1: (9 + 4) / 2, 6: 7}),
        (MovingMean(9), {2: 1, 3: (1 + 2) / 2, 4: None, 5: (1 + 2 + 9) / 3, 1: (1 + 2 + 9 + 4) / 4, 6: 7}),
        (MovingMean(3, ["user", "item"]), {2: 1, 3: 2, 4: None, 5: (1 + 9) / 2, 1: (9 + 4) / 2, 6: 7}),
        (MovingMedian(3), {2: 1, 3: (1 + 2) / 2, 4: None, 5: (2 + 9) / 2, 1: (9 + 4) / 2, 6: 7}),
        (MovingMedian(9), {2: 1, 3: (1 + 2) / 2, 4: None, 5: 2, 1: (2 + 4) / 2, 6: 7}),
        (MovingMedian(4, ["user", "item"]), {2: 1, 3: 2, 4: None, 5: (1 + 9) / 2, 1: 4, 6: 7}),
    ],
)
def test_values_are_smoothed_over_the_window_that_ends_at_them(
    apply: Apply, step: CleaningStep, values: dict[int, float | None]
) -> None:
    assert apply(step, ROWS) == pytest.approx(dict(sorted(values.items())))


def test_the_median_lets_no_single_peak_through(apply: Apply) -> None:
    rows = [("a", "x", time, value) for time, value in enumerate([1.0, 1.0, 99.0, 1.0, 1.0])]
    assert list(apply(MovingMedian(3), rows).values()) == [1, 1, 1, 1, 1]
    assert list(apply(MovingMean(3), rows).values()) == pytest.approx([1, 1, 101 / 3, 101 / 3, 101 / 3])


@pytest.mark.parametrize(
    ("step", "settings", "sentence"),
    [
        (MovingMean, {"window": 1}, r"clean\.moving_mean\.window=1 must be at least 2\."),
        (MovingMedian, {"window": -3}, r"clean\.moving_median\.window=-3 must be at least 2\."),
        (MovingMedian, {"window": 2.5}, r"clean\.moving_median\.window=2\.5 must be a whole number\."),
        (MovingMean, {"by": None}, r"clean\.moving_mean\.by=None does not say which columns"),
        (MovingMedian, {"by": []}, r"clean\.moving_median\.by=\[\] does not say which columns"),
    ],
)
def test_impossible_settings_are_refused(step: type, settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        step(**settings)
