"""Event tables written by hand."""

from collections.abc import Callable, Sequence
from typing import Any

import narwhals as nw
import polars as pl
import pytest

from ltsi.events import Events


@pytest.fixture
def event_table() -> Callable[..., Events]:
    """Return a function that makes an event table of rows `(user, item, time)`, in the order of the file."""

    def make(rows: Sequence[tuple[Any, Any, int]], **columns: Sequence[Any]) -> Events:
        user, item, time = zip(*rows, strict=True) if rows else ((), (), ())
        table = pl.DataFrame(
            {
                "user": [str(name) for name in user],
                "item": [str(name) for name in item],
                "time": time,
                "behavior": columns.pop("behavior", ["interaction"] * len(rows)),
                "row": range(1, len(rows) + 1),
                **columns,
            },
            schema_overrides={"user": pl.String, "item": pl.String, "time": pl.Int64, "row": pl.Int64},
        )
        return nw.from_native(table.lazy())

    return make
