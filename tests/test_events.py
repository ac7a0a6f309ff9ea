from typing import Any

import narwhals as nw
import polars as pl
import pytest

from ltsi.errors import DataError
from ltsi.events import Events, count, validate_events


def table(**changed: Any) -> Events:
    columns: dict[str, Any] = {
        "user": ["a", "b"], "item": ["x", "y"], "time": [1, 2], "behavior": ["view", "buy"], "row": [1, 2],
    }  # fmt: skip
    columns |= changed
    return nw.from_native(pl.DataFrame({name: values for name, values in columns.items() if values is not None}).lazy())


def test_an_event_table_passes_with_its_columns_in_order() -> None:
    events = validate_events(table(extra=["?", "?"], value=[1.5, None]), "log.csv")
    assert events.collect_schema().names() == ["user", "item", "time", "behavior", "row", "value"]
    assert count(events) == 2


def test_an_empty_table_is_refused() -> None:
    with pytest.raises(DataError, match=r"log\.csv holds no events"):
        validate_events(table().filter(nw.col("row") > 2), "log.csv")


@pytest.mark.parametrize("column", ["user", "item", "time"])
def test_a_missing_value_is_refused_with_its_row(column: str) -> None:
    values = pl.Series([None, None], dtype=pl.Int64 if column == "time" else pl.String)
    with pytest.raises(DataError, match=rf"log\.csv: 2 events have no {column}, the first in row 1"):
        validate_events(table(**{column: values}), "log.csv")


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"behavior": None}, r"yields no column 'behavior'; it has"),
        ({"time": [1.0, 2.0]}, r"column 'time' as Float64, not Int64"),
        ({"value": [1, 2]}, r"column 'value' as Int64, not Float64"),
        ({"user": [1, 2]}, r"column 'user' as Int64, not String"),
    ],
)
def test_another_table_is_a_mistake_of_the_source(changed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(TypeError, match=sentence):
        validate_events(table(**changed), "log.csv")
