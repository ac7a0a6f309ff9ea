from collections.abc import Callable, Sequence
from typing import Any

import pytest

from ltsi.errors import ConfigError
from ltsi.preparation.clean import CleaningStep
from ltsi.preparation.cleaning.outliers import InterquartileRange, ZScore

Apply = Callable[..., dict[int, float | None]]


def log(*values: float | None, item: str = "x") -> list[tuple[str, str, int, float | None]]:
    return [("a", item, 1, value) for value in values]


# Four zeros and a five: mean 1, variance (4·1 + 16) / 5 = 4, so five is 2 deviations out.
FIVE = log(0.0, 0.0, 0.0, 0.0, 5.0, None)
# Quartiles of 1 2 3 4 5 20 are 2.25 and 4.75, so the fences by one range are -0.25 and 7.25.
TWENTY = log(20.0, 1.0, 2.0, 3.0, 4.0, 5.0)


@pytest.mark.parametrize(
    ("step", "rows", "left"),
    [
        (ZScore(deviations=1.9), FIVE, [1, 2, 3, 4, 6]),
        (ZScore(deviations=2), FIVE, [1, 2, 3, 4, 5, 6]),  # on the bound
        (InterquartileRange(ranges=1), TWENTY, [2, 3, 4, 5, 6]),
        (InterquartileRange(ranges=6.1), TWENTY, [1, 2, 3, 4, 5, 6]),  # 4.75 + 6.1 · 2.5 = 20
    ],
)
def test_values_beyond_the_bounds_fall_out(
    apply: Apply, step: CleaningStep, rows: Sequence[tuple[Any, ...]], left: list[int]
) -> None:
    assert list(apply(step, rows)) == left


def test_values_beyond_the_bounds_are_clipped(apply: Apply) -> None:
    assert apply(ZScore(action="clip", deviations=1), FIVE) == {1: 0, 2: 0, 3: 0, 4: 0, 5: pytest.approx(3), 6: None}
    clipped = apply(InterquartileRange(action="clip", ranges=1), TWENTY)
    assert clipped == {1: 7.25, 2: 1, 3: 2, 4: 3, 5: 4, 6: 5}
    low = apply(InterquartileRange(action="clip", ranges=1), log(-20.0, -1.0, -2.0, -3.0, -4.0, -5.0))
    assert low[1] == -7.25


def test_a_group_has_its_own_bounds(apply: Apply) -> None:
    rows = [*log(1.0, 2.0, 3.0, 4.0, 9.0), *log(91.0, 92.0, 93.0, 94.0, 99.0, item="y")]
    # Quartiles 2 and 4, 92 and 94; of all together 3 and 93, whose fences hold everything.
    assert list(apply(InterquartileRange(by=["item"]), rows)) == [1, 2, 3, 4, 6, 7, 8, 9]
    assert len(apply(InterquartileRange(), rows)) == 10
    assert len(apply(InterquartileRange(by=["behavior"]), rows)) == 10


@pytest.mark.parametrize("step", [ZScore(by=["user"]), InterquartileRange(by=["user"])])
def test_equal_values_are_no_outliers_however_they_are_rounded(apply: Apply, step: CleaningStep) -> None:
    assert len(apply(step, log(*[0.1] * 7))) == 7
    assert len(apply(step, log(0.1))) == 1
    assert len(apply(step, log(None, None))) == 2


@pytest.mark.parametrize(
    ("step", "settings", "sentence"),
    [
        (ZScore, {"deviations": 0}, r"clean\.outliers_zscore\.deviations=0 must be above 0\."),
        (ZScore, {"action": "keep"}, r"clean\.outliers_zscore\.action=keep must be one of: drop, clip\."),
        (InterquartileRange, {"ranges": -1}, r"clean\.outliers_iqr\.ranges=-1 must be above 0\."),
        (InterquartileRange, {"by": ["price"]}, r"clean\.outliers_iqr\.by has no group 'price'"),
    ],
)
def test_impossible_settings_are_refused(step: type, settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        step(**settings)
