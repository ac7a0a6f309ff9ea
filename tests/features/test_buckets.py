from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltsi.errors import ConfigError, DataError
from ltsi.features.buckets import Buckets, BucketsEncoder
from ltsi.features.column import Column

Fit = Callable[..., Any]
finite = st.floats(-1e9, 1e9)


def column(values: list[float | None]) -> Column:
    return Column(
        pl.Series("x", values, dtype=pl.Float64), pl.Series("item", range(len(values))), "item", "features.item.x"
    )


def codes(encoder: BucketsEncoder, values: list[float | None]) -> list[int]:
    code_I = encoder.encode(column(values)).code_I
    assert code_I is not None
    return [int(code) for code in code_I]


def test_given_edges(fit_column: Fit) -> None:
    """(.., 10] is 2, (10, 20] is 3, (20, ..) is 4."""
    fitted, found = fit_column([5.0, 10.0, 10.5, 20.0, 21.0, None], [1] * 6, {"kind": "buckets", "edges": [10, 20]})
    assert found.code_I[:-1].tolist() == [2, 2, 3, 3, 4, 0]
    assert fitted.space.layout.categorical == {"item.x": 2 + 3}


def test_quantiles_weigh_by_training_events(fit_column: Fit) -> None:
    """Of the events 1, 2, 2, 2, 3, 3, half are up to 2; a number beyond the training range is in the last bucket."""
    fitted, found = fit_column([1, 2, 3, 99], [1, 3, 2, 0], {"kind": "buckets", "buckets": 2})
    assert fitted.space.state()["item"][0]["fitted"] == {"edges": [2.0]}
    assert found.code_I[:-1].tolist() == [2, 2, 3, 3]


def test_equal_numbers_make_fewer_buckets(fit_column: Fit) -> None:
    fitted, _ = fit_column([1, 7], [9, 1], {"kind": "buckets", "buckets": 4})
    assert fitted.space.state()["item"][0]["fitted"] == {"edges": [1.0]}


@given(st.lists(finite, min_size=2, max_size=60, unique=True), st.integers(2, 12))
def test_buckets_of_different_numbers_are_equally_full(values: list[float], n: int) -> None:
    encoder = Buckets(buckets=n).fit(column([*values]), np.ones(len(values), dtype=np.int64))
    sizes = np.bincount(codes(encoder, [*values]))[2:]
    assert sizes.sum() == len(values)
    assert len(sizes) == min(n, len(values))
    assert sizes.max() - sizes.min() <= 1


@given(st.lists(finite, min_size=1, max_size=8, unique=True).map(sorted), st.lists(finite, min_size=1, max_size=30))
def test_given_edges_cut_as_pandas_does(edges: list[float], values: list[float]) -> None:
    encoder = Buckets(edges=edges).fit(column([*values]), np.ones(len(values), dtype=np.int64))
    expected = pd.cut(np.array(values), [-np.inf, *edges, np.inf], labels=False) + 2
    assert codes(encoder, [*values]) == expected.tolist()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, r"takes either buckets=10 or edges=\[10,20,50\]"),
        ({"buckets": 3, "edges": [1]}, "takes either"),
        ({"buckets": 1}, "buckets=1 must be a whole number from 2"),
        ({"edges": []}, r"edges=\[\] must be a list of numbers, each above the one before"),
        ({"edges": [3, 1]}, "each above the one before"),
        ({"edges": [1, 1]}, "each above the one before"),
        ({"edges": ["a"]}, "must be a list of numbers"),
        ({"edges": 5}, "must be a list of numbers"),
    ],
)
def test_options_are_checked(fit_column: Fit, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=rf"features\.item\.x: .*{told}"):
        fit_column([1.0], [1], {"kind": "buckets", **options})


def test_nothing_to_find_quantiles_of_is_refused(fit_column: Fit) -> None:
    with pytest.raises(DataError, match="no item of the training part has a number in column 'x'"):
        fit_column([None, 1.0], [1, 0], {"kind": "buckets", "buckets": 3})
