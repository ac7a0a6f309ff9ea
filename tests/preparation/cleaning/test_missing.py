from collections.abc import Callable
from typing import Any

import pytest

from ltsi.errors import ConfigError, DataError, UserError
from ltsi.preparation.clean import CleaningStep
from ltsi.preparation.cleaning.missing import DropMissing, FillConstant, FillMean, FillMedian, Interpolate

Apply = Callable[..., dict[int, float | None]]
ROWS = [
    ("a", "x", 1, 1.0), ("a", "x", 2, 2.0), ("b", "x", 3, 9.0), ("b", "x", 4, None),
    ("b", "y", 5, 4.0), ("c", "z", 6, None),
]  # fmt: skip


def test_events_without_a_value_fall_out(apply: Apply) -> None:
    assert apply(DropMissing(), ROWS) == {1: 1.0, 2: 2.0, 3: 9.0, 5: 4.0}


@pytest.mark.parametrize(
    ("step", "x", "z"),
    [
        (FillConstant(-1), -1, -1),
        (FillMean(), (1 + 2 + 9) / 3, (1 + 2 + 9 + 4) / 4),  # nothing is known of z
        (FillMean(by=[]), (1 + 2 + 9 + 4) / 4, (1 + 2 + 9 + 4) / 4),
        (FillMean(by=["user"]), (9 + 4) / 2, (1 + 2 + 9 + 4) / 4),
        (FillMean(by=["user", "item"]), 9, (1 + 2 + 9 + 4) / 4),
        (FillMedian(), 2, (2 + 4) / 2),
        (FillMedian(by=[]), (2 + 4) / 2, (2 + 4) / 2),
    ],
)
def test_missing_values_are_filled(apply: Apply, step: CleaningStep, x: float, z: float) -> None:
    assert apply(step, ROWS) == pytest.approx({1: 1.0, 2: 2.0, 3: 9.0, 4: x, 5: 4.0, 6: z})


def test_values_are_interpolated_over_time(apply: Apply) -> None:
    rows = [
        ("a", "x", 40, 5.0),  # 4 of a
        ("a", "x", 10, 2.0),  # 2
        ("a", "y", 20, None),  # 3: a third of the way from 2 to 5
        ("a", "y", 0, None),  # 1: nothing before it
        ("a", "y", 50, None),  # 5: nothing after it
        ("b", "x", 20, None),  # nothing known of b
    ]
    assert apply(Interpolate(), rows) == pytest.approx({1: 5, 2: 2, 3: 2 + (5 - 2) * 10 / 30, 4: 2, 5: 5, 6: None})
    assert apply(Interpolate(by=["user", "item"]), rows) == {1: 5, 2: 2, 3: None, 4: None, 5: None, 6: None}


def test_between_values_of_one_time_the_one_before_is_taken(apply: Apply) -> None:
    assert apply(Interpolate(), [("a", "x", 7, 1.0), ("a", "x", 7, None), ("a", "x", 7, 3.0)]) == {1: 1, 2: 1, 3: 3}


@pytest.mark.parametrize(
    ("step", "name"),
    [
        (DropMissing(), "missing_drop"),
        (FillConstant(), "missing_constant"),
        (FillMean(), "missing_mean"),
        (FillMedian(), "missing_median"),
        (Interpolate(), "missing_interpolated"),
    ],
)
def test_a_log_without_values_is_refused(apply: Apply, step: CleaningStep, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"clean={name} needs values and the log has none"):
        apply(step, [("a", "x", 1)])


@pytest.mark.parametrize(("step", "name"), [(FillMean(), "missing_mean"), (FillMedian(), "missing_median")])
def test_a_log_in_which_no_value_is_known_is_refused(apply: Apply, step: CleaningStep, name: str) -> None:
    with pytest.raises(DataError, match=rf"clean={name}: no event has a value to learn from"):
        apply(step, [("a", "x", 1, None)])


@pytest.mark.parametrize(
    ("step", "settings", "sentence"),
    [
        (FillConstant, {"constant": None}, r"clean\.missing_constant\.constant=None must be a number"),
        (FillMean, {"by": ["itme"]}, r"clean\.missing_mean\.by has no group 'itme'; .*Did you mean 'item'\?"),
        (FillMedian, {"by": "item"}, r"clean\.missing_median\.by=item does not say which columns"),
        (Interpolate, {"by": []}, r"clean\.missing_interpolated\.by=\[\] does not say which columns"),
    ],
)
def test_impossible_settings_are_refused(step: type, settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        step(**settings)
    assert isinstance(caught.value, ConfigError)
