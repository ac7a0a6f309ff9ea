from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from ltsi.errors import ConfigError, DataError
from ltsi.features.encoder import KNOWN, MISSING, UNSEEN

Fit = Callable[..., Any]


def test_labels_by_training_events_then_by_name(fit_column: Fit) -> None:
    fitted, column = fit_column(["b", "c", "a", "b"], [1, 3, 2, 1], "categorical")
    assert fitted.space.state()["item"][0]["fitted"] == {"labels": ["c", "a", "b"]}  # 3, 2 and 1 + 1 events
    assert column.code_I[:-1].tolist() == [4, 2, 3, 4]
    assert fitted.space.layout.categorical == {"item.x": 2 + 3}


def test_missing_is_0_and_unseen_is_1(fit_column: Fit) -> None:
    """The label `only later` is of an item without a training event; blank text is missing."""
    _, column = fit_column(["a", None, " ", "only later", "a"], [1, 1, 1, 0, 0], "categorical")
    assert column.code_I.tolist() == [2, 0, 0, 1, 2, 0]
    assert column.place_I.tolist() == [KNOWN, MISSING, MISSING, UNSEEN, KNOWN, MISSING]


def test_rare_labels_share_the_code_of_unseen_ones(fit_column: Fit) -> None:
    _, column = fit_column(["a", "b", "c", "b"], [2, 1, 1, 1], {"kind": "categorical", "min_count": 2})
    assert column.code_I[:-1].tolist() == [2, 3, 1, 3]


@pytest.mark.parametrize(
    "values",
    [
        pl.Series([7, 7, None, 9]),
        pl.Series([True, True, None, False]),
        pl.Series([0.5, 0.5, float("nan"), 1.5]),
        pl.Series(["x", "x", None, "y"], dtype=pl.Categorical),
        pl.Series(["x", "x", None, "y"], dtype=pl.Enum(["y", "x"])),
    ],
    ids=lambda values: str(values.dtype),
)
def test_every_single_value_is_a_label(fit_column: Fit, values: pl.Series) -> None:
    _, column = fit_column(values, [1, 1, 1, 1], "categorical")
    assert column.code_I[:-1].tolist() == [2, 2, 0, 3]


def test_a_list_is_refused(fit_column: Fit) -> None:
    with pytest.raises(
        DataError, match=r"features\.item\.x: column 'x' of the item table holds List.* declare it as tags"
    ):
        fit_column([["a"], ["b"]], [1, 1], "categorical")


@pytest.mark.parametrize("value", [0, 1.5, "two", True])
def test_min_count_is_a_whole_number(fit_column: Fit, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"features\.item\.x: min_count={value} must be a whole number from 1\."):
        fit_column(["a"], [1], {"kind": "categorical", "min_count": value})
