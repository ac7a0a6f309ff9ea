import math
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest

from ltsi.errors import ConfigError, DataError
from ltsi.features.encoder import KNOWN, MISSING, UNSEEN

Fit = Callable[..., Any]


def numbers(column: Any) -> list[float]:
    """The normalised numbers of all items."""
    return [float(x) for x in column.numeric_IN[:-1, 0]]


def test_standard_weighs_by_training_events(fit_column: Fit) -> None:
    """2 once and 6 three times: mean (2 + 18) / 4 = 5, variance (9 + 3·1) / 4 = 3."""
    fitted, column = fit_column([2, 6], [1, 3], "numeric")
    assert numbers(column) == pytest.approx([(2 - 5) / math.sqrt(3), (6 - 5) / math.sqrt(3)])
    assert fitted.space.layout.numeric == ("item.x", "item.x.missing")


def test_min_max(fit_column: Fit) -> None:
    _, column = fit_column([10, 20, 15], [1, 5, 1], {"kind": "numeric", "scale": "min_max"})
    assert numbers(column) == pytest.approx([0, 1, 0.5])


def test_log1p_is_standardised(fit_column: Fit) -> None:
    """Logarithms 0, ln 3 and -ln 3 of 0, 2 and -2: mean 0, sd ln 3 · √(2/3)."""
    _, column = fit_column([0, 2, -2], [1, 1, 1], {"kind": "numeric", "scale": "log1p"})
    assert numbers(column) == pytest.approx([0, math.sqrt(3 / 2), -math.sqrt(3 / 2)])


def test_robust_is_not_moved_by_one_outlier(fit_column: Fit) -> None:
    """Quartiles of 1, 2, 3, 1000 as values that occur: 1, 2, 3."""
    _, column = fit_column([1, 2, 3, 1000], [1, 1, 1, 1], {"kind": "numeric", "scale": "robust", "clip": 2})
    assert numbers(column) == pytest.approx([(1 - 2) / (3 - 1), 0, 0.5, 2])


def test_quantile_is_the_share_below(fit_column: Fit) -> None:
    """Events 1, 5, 5, 100: half of those at a value count as below it, and 3 lies halfway between 1 and 5."""
    _, column = fit_column([1, 5, 100, 3], [1, 2, 1, 0], {"kind": "numeric", "scale": "quantile"})
    assert numbers(column) == pytest.approx([2 * 0.5 / 4 - 1, 2 * 2 / 4 - 1, 2 * 3.5 / 4 - 1, (-0.75 + 0) / 2])


def test_quantile_of_many_values_is_even(fit_column: Fit) -> None:
    values = np.random.default_rng(1).lognormal(size=2_000)
    _, column = fit_column(values, [1] * 2_000, {"kind": "numeric", "scale": "quantile"})
    rank = values.argsort().argsort()
    assert numbers(column) == pytest.approx((2 * rank + 1) / 2_000 - 1, abs=0.02)


@pytest.mark.parametrize("scale", ["standard", "min_max", "log1p", "robust", "quantile"])
def test_one_value_becomes_0_and_missing_has_an_indicator(fit_column: Fit, scale: str) -> None:
    _, column = fit_column([4.0, None, float("nan"), 4.0, float("inf")], [1] * 5, {"kind": "numeric", "scale": scale})
    assert column.numeric_IN.tolist() == [[0, 0], [0, 1], [0, 1], [0, 0], [0, 1], [0, 1]]
    assert column.place_I.tolist() == [KNOWN, MISSING, MISSING, KNOWN, MISSING, MISSING]


@pytest.mark.parametrize("scale", ["standard", "min_max", "log1p", "robust", "quantile"])
def test_a_number_outside_the_training_range_is_put_at_its_edge(fit_column: Fit, scale: str) -> None:
    _, column = fit_column([1, 2, 3, -50, 900], [1, 1, 1, 0, 0], {"kind": "numeric", "scale": scale})
    first, _, last, below, above = numbers(column)
    assert (below, above) == (first, last)
    assert column.place_I[:-1].tolist() == [KNOWN] * 3 + [UNSEEN] * 2


def test_clip_bounds_what_comes_out(fit_column: Fit) -> None:
    """99 events at 0 and one at 1: mean 0.01, variance 0.01 · 0.99."""
    unbounded = 0.99 / math.sqrt(0.01 * 0.99)
    assert numbers(fit_column([0, 1], [99, 1], {"kind": "numeric", "clip": 20})[1])[1] == pytest.approx(unbounded)
    assert numbers(fit_column([0, 1], [99, 1], "numeric")[1])[1] == 5


@pytest.mark.parametrize(
    "values",
    [
        pl.Series([" 10", "20 ", None, ""]),
        pl.Series(["1e1", "20.0", "NaN", None]),
        pl.Series([date(1970, 1, 11), date(1970, 1, 21), None, None]),
        pl.Series([datetime(1970, 1, 11), datetime(1970, 1, 21), None, None]),
        pl.Series(["10", "20", None, None]).cast(pl.Decimal(10, 2)),
    ],
    ids=lambda values: str(values.dtype),
)
def test_numbers_in_text_and_dates(fit_column: Fit, values: pl.Series) -> None:
    fitted, column = fit_column(values, [1, 1, 1, 1], "numeric")
    assert fitted.space.state()["item"][0]["fitted"]["span"] == [10.0, 20.0]
    assert column.numeric_IN[:-1].tolist() == [[-1, 0], [1, 0], [0, 1], [0, 1]]


def test_text_that_is_no_number_is_named_with_its_item(fit_column: Fit) -> None:
    with pytest.raises(
        DataError, match=r"features\.item\.x: '12,50' in column 'x' of item 'i1' is not a number; correct it"
    ):
        fit_column(["3", "12,50"], [1, 1], "numeric")


def test_such_text_is_named_outside_the_training_part_too(fit_column: Fit) -> None:
    with pytest.raises(DataError, match="'cheap' in column 'x' of item 'i1'"):
        fit_column(["3", "cheap"], [1, 0], "numeric")


@pytest.mark.parametrize(("values", "told"), [([["a"]], r"List\(String\), no numbers"), ([b"a"], "Binary, no numbers")])
def test_other_types_are_refused(fit_column: Fit, values: list[Any], told: str) -> None:
    with pytest.raises(DataError, match=rf"column 'x' of the item table holds {told}"):
        fit_column(values, [1], "numeric")


def test_nothing_to_fit_is_refused(fit_column: Fit) -> None:
    with pytest.raises(DataError, match="no item of the training part has a number in column 'x'; leave it out"):
        fit_column([None, 3.0], [1, 0], "numeric")


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ({"scale": "log"}, "scale=log must be one of: standard, min_max, log1p, robust, quantile"),
        ({"clip": 0}, "clip=0 must be a number above 0"),
        ({"clip": "wide"}, "clip=wide must be a number above 0"),
    ],
)
def test_options_are_checked(fit_column: Fit, option: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=f"features.item.x: {told}"):
        fit_column([1.0], [1], {"kind": "numeric", **option})
