from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from ltsi.errors import DataError

Fit = Callable[..., Any]


@pytest.mark.parametrize("dtype", [pl.List(pl.Float64), pl.List(pl.Int32), pl.Array(pl.Float32, 2)], ids=str)
def test_numbers_stay_as_they_are_and_missing_ones_are_zeros(fit_column: Fit, dtype: pl.DataType) -> None:
    fitted, column = fit_column(pl.Series([[1, 2], None, [3, -4]], dtype=dtype), [1, 1, 0], "vector")
    assert column.vector_IV.tolist() == [[1, 2], [0, 0], [3, -4], [0, 0]]
    assert column.numeric_IN.tolist() == [[0], [1], [0], [1]]
    assert fitted.space.layout.vector == {"item.x": 2}
    assert fitted.space.layout.numeric == ("item.x.missing",)


def test_a_vector_with_a_hole_is_missing(fit_column: Fit) -> None:
    _, column = fit_column([[1.0, None], [1.0, float("nan")], [float("inf"), 1.0], [1.0, 2.0]], [1] * 4, "vector")
    assert column.vector_IV.tolist() == [[0, 0]] * 3 + [[1, 2]] + [[0, 0]]


def test_another_length_is_named_with_its_item(fit_column: Fit) -> None:
    with pytest.raises(DataError, match="the vector in column 'x' of item 'i2' has 3 numbers, others have 2"):
        fit_column([[1.0, 2.0], None, [1.0, 2.0, 3.0]], [1, 1, 0], "vector")


def test_a_vector_of_training_is_needed(fit_column: Fit) -> None:
    with pytest.raises(DataError, match="no item of the training part has a vector in column 'x'"):
        fit_column([None, [1.0]], [1, 0], "vector")


@pytest.mark.parametrize("values", [["0.1 0.2"], [["a"]], [3.0]], ids=str)
def test_other_types_are_refused(fit_column: Fit, values: list[Any]) -> None:
    with pytest.raises(DataError, match=r"column 'x' of the item table holds .*, no lists of numbers"):
        fit_column(values, [1], "vector")
