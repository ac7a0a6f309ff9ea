"""Event tables on every engine that runs in this process."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import narwhals as nw
import polars as pl
import pytest

from ltsi.events import Events
from ltsi.preparation.clean import CleaningStep

Engine = Callable[[pl.DataFrame], Events]


def table_of(rows: Sequence[tuple[Any, ...]], behavior: Sequence[str] | None = None) -> pl.DataFrame:
    """Makes an event table of rows `(user, item, time)` or `(user, item, time, value)`, in the order of the file."""
    columns = ["user", "item", "time", "value"][: len(rows[0])]
    types = {"user": pl.String, "item": pl.String, "time": pl.Int64, "value": pl.Float64}
    table = pl.DataFrame(rows, schema={name: types[name] for name in columns}, orient="row")
    return table.with_columns(
        behavior=pl.Series(behavior or ["interaction"] * len(rows)), row=pl.int_range(1, len(rows) + 1, dtype=pl.Int64)
    )


def kept(events: Events) -> dict[int, float | None]:
    """Returns the value of each event by its row, None if there is none."""
    table = events.collect().to_polars()
    values = table["value"].cast(pl.Float64).fill_nan(None) if "value" in table.columns else [None] * len(table)
    return dict(sorted(zip(table["row"].to_list(), values, strict=True)))


def same(one: Mapping[int, float | None], other: Mapping[int, float | None]) -> bool:
    """Tells whether the same events have the same values but for rounding."""
    return one.keys() == other.keys() and all(
        value == other[row] or (None not in (value, other[row]) and value == pytest.approx(other[row]))
        for row, value in one.items()
    )


@pytest.fixture(scope="session")
def engines() -> Mapping[str, Engine]:
    """Return the engines that need no process of their own, by name."""
    duckdb = pytest.importorskip("duckdb", reason="the extra `engines` is not installed")
    return {
        "polars": lambda table: nw.from_native(table.lazy()),
        "pandas": lambda table: nw.from_native(table.to_pandas()).lazy(),
        "pandas with arrow": lambda table: nw.from_native(table.to_pandas(use_pyarrow_extension_array=True)).lazy(),
        "duckdb": lambda table: nw.from_native(duckdb.connect().from_arrow(table.to_arrow())),
    }


@pytest.fixture(scope="session")
def disagreement(engines: Mapping[str, Engine]) -> Callable[..., str | None]:
    """Return a function that applies a step on each engine and names the first whose events differ from polars'."""

    def find(step: CleaningStep, table: pl.DataFrame) -> str | None:
        expected = kept(step(engines["polars"](table)))
        for name, engine in engines.items():
            result = kept(step(engine(table)))
            if not same(result, expected):
                return f"{name}: {result}, not {expected}"
        return None

    return find


@pytest.fixture
def apply(
    disagreement: Callable[..., str | None], engines: Mapping[str, Engine]
) -> Callable[..., dict[int, float | None]]:
    """Return a function that applies a step on each engine and returns the value of each event that is left, by row."""

    def run(
        step: CleaningStep,
        rows: Sequence[tuple[Any, ...]],
        behavior: Sequence[str] | None = None,
        **more: Sequence[Any],
    ) -> dict[int, float | None]:
        table = table_of(rows, behavior).with_columns(**{name: pl.Series(column) for name, column in more.items()})
        assert disagreement(step, table) is None
        return kept(step(engines["polars"](table)))

    return run
