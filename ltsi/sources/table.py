"""One event per row of a table: CSV, TSV, JSON lines (gzipped or not) or Parquet; the config names the columns."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import narwhals as nw

from ltsi.engines.engine import Engine
from ltsi.errors import ConfigError, DataError
from ltsi.events import ID_COLUMNS, INTERACTION, Events, RawData, Step, count
from ltsi.sources.files import existing_file, readable, scan_table
from ltsi.sources.filters import NUMBER, Filter, as_number
from ltsi.sources.times import TimeColumn, parse_times

ROLES = ("user", "item", "time", "behavior", "value")
_FILE = "file:"  # prefix of the file's own columns beside the columns of the event table


@dataclass(frozen=True)
class Table:
    """A table of events.

    Attributes:
        path: the file.
        columns: columns of the file by role: user, item, time, behavior, value. A role set to None is not there;
            without time the log has no clock and the order of the rows counts.
        item_columns: columns that describe the item (price, category); an item gets the last value that is not missing.
        filters: which rows to keep, see `Filter.parse`.
        delimiter: of delimited text; None finds it in the header.
        time_unit: s, ms, us or ns if times are numbers; None detects it.
        time_format: strptime format if times are text; None detects ISO 8601.
        time_zone: zone of times that carry none.
    """

    path: str
    columns: Mapping[str, str | None]
    item_columns: Sequence[str] = ()
    filters: Sequence[Mapping[str, Any]] = ()
    delimiter: str | None = None
    time_unit: str | None = None
    time_format: str | None = None
    time_zone: str = "UTC"
    _filters: tuple[Filter, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuses what cannot be meant, before the file is opened."""
        object.__setattr__(self, "_filters", tuple(Filter.parse(entry, i) for i, entry in enumerate(self.filters)))
        if "item" in self.item_columns:
            raise ConfigError("source.item_columns must not name a column 'item': in the item table that is the id.")

    def files(self) -> list[Path]:
        """Returns the table's file."""
        return [existing_file(self.path, "source.path")]

    def load(self, engine: Engine) -> RawData:
        """Reads the table."""
        file = existing_file(self.path, "source.path")
        with readable(file):
            rows = self._read(file, engine)
        rows, steps = self._filter(rows, file)
        notes: list[str] = []
        for role in ID_COLUMNS:
            rows, said = self._read_id(rows, role, file)
            notes += said
        rows = self._read_behavior(rows, file)
        rows, note = self._read_time(rows, file)
        events = self._read_value(rows, file)
        return RawData(
            events=events,
            clock=self.columns["time"] is not None,
            inputs=[file],
            items=self._items(events) if self.item_columns else None,
            steps=steps,
            notes=[*notes, note],
        )

    def _read(self, file: Path, engine: Engine) -> Events:
        """Reads the columns that are needed, under a prefix, and the number of each row."""
        table = scan_table(file, engine, self.delimiter)
        found = table.collect_schema().names()
        for key, column in self._wanted():
            if column not in found:
                near = difflib.get_close_matches(column, found, n=1)
                hint = f" Did you mean '{near[0]}'?" if near else ""
                raise DataError(f"{file} has no column '{column}'; it has: {', '.join(found)}; set {key}=COLUMN.{hint}")
        needed = dict.fromkeys(column for _, column in self._wanted())
        rows = engine.stage(engine.with_rows(table.select(nw.col(name).alias(_FILE + name) for name in needed)))
        rows = rows.with_columns(_without_blanks(name, dtype) for name, dtype in rows.collect_schema().items())
        if count(rows) == 0:
            raise DataError(f"{file} has a header and no rows; there is nothing to prepare.")
        return rows

    def _wanted(self) -> list[tuple[str, str]]:
        """Returns each column of the file that the configuration names, with the key that names it."""
        roles = [(f"source.columns.{role}", column) for role in ROLES if (column := self.columns.get(role)) is not None]
        items = [(f"source.item_columns[{i}]", column) for i, column in enumerate(self.item_columns)]
        return [*roles, *items, *((f"source.filters[{i}].column", f.column) for i, f in enumerate(self._filters))]

    def _filter(self, rows: Events, file: Path) -> tuple[Events, list[Step]]:
        steps, before = [], count(rows)
        for each in self._filters:
            column = _FILE + each.column
            if each.on_numbers:
                tested = as_number(rows, column, f"{file}, column '{each.column}'")
            else:
                tested = nw.col(column).cast(nw.String)
            rows = rows.filter(each.condition(tested))
            left = count(rows)
            if not left:
                raise DataError(
                    f"{file}: the filter '{each.reason}' leaves none of {before:,} rows; see source.filters."
                )
            steps.append(Step(each.reason, before - left, left))
            before = left
        return rows, steps

    def _read_id(self, rows: Events, role: str, file: Path) -> tuple[Events, list[str]]:
        """Reads ids as text. Whole numbers written as decimals, what a float column does to ids, lose their '.0'."""
        column = self._require(rows, role, file)
        text = nw.col(_FILE + column).cast(nw.String)
        rows = rows.with_columns(text.alias(role))
        if not rows.select(nw.col(role).str.contains(r"^-?\d+\.0$").all()).collect().item():
            return rows, []
        note = f"{file}, column '{column}': ids are whole numbers written as decimals; their '.0' is left out."
        return rows.with_columns(nw.col(role).str.replace(r"\.0$", "")), [note]

    def _read_behavior(self, rows: Events, file: Path) -> Events:
        if self.columns.get("behavior") is None:
            return rows.with_columns(behavior=nw.lit(INTERACTION))
        column = self._require(rows, "behavior", file)
        return rows.with_columns(behavior=nw.col(_FILE + column).cast(nw.String))

    def _read_time(self, rows: Events, file: Path) -> tuple[Events, str]:
        name = self.columns["time"]
        if name is None:
            position = nw.col("row").rank("ordinal").over("user").cast(nw.Int64) - 1
            note = (
                f"{file} has an order but no clock: the time of an event is its position (source.columns.time=COLUMN)."
            )
            return rows.with_columns(time=position), note
        self._require(rows, "time", file)
        column = TimeColumn(
            "time", f"{file}, column '{name}'", unit=self.time_unit, format=self.time_format, zone=self.time_zone
        )
        return parse_times(rows.with_columns(nw.col(_FILE + name).alias("time")), column)

    def _read_value(self, rows: Events, file: Path) -> Events:
        name = self.columns.get("value")
        if name is None:
            return rows
        return rows.with_columns(value=as_number(rows, _FILE + name, f"{file}, column '{name}'"))

    def _require(self, rows: Events, role: str, file: Path) -> str:
        """Returns the role's column, which must have a value in each row."""
        column = self.columns[role]
        assert column is not None
        empty = rows.filter(nw.col(_FILE + column).is_null()).select(nw.len(), row=nw.col("row").min()).collect()
        if empty.item(0, "len"):
            raise DataError(
                f"{file}, column '{column}' (source.columns.{role}): {empty.item(0, 'len'):,} rows have no value, the "
                f"first is row {empty.item(0, 'row')}; drop them with "
                f"source.filters=[{{column: {column}, not_null: true}}]."
            )
        return column

    def _items(self, events: Events) -> nw.DataFrame[Any]:
        """Returns the item table: the last value of each column that is not missing, numbers where all are numbers."""
        items = events.select("item").unique()
        for name in self.item_columns:
            column = nw.col(_FILE + name)
            known = events.filter(~column.is_null())
            last = known.filter(nw.col("row") == nw.col("row").max().over("item"))
            if last.collect_schema()[_FILE + name] == nw.String:
                numbers = last.select(column.str.contains(NUMBER).all()).collect().item()
                column = column.str.strip_chars().cast(nw.Float64) if numbers else column
            items = items.join(last.select("item", column.alias(name)), on="item", how="left")
        return items.collect()


def _without_blanks(name: str, dtype: nw.dtypes.DType) -> nw.Expr:
    """Returns a column in which an empty text and a NaN, the ways of files to say so, are missing."""
    column = nw.col(name)
    if dtype == nw.String:
        return nw.when(column != "").then(column).alias(name)
    return nw.when(column.is_finite()).then(column).alias(name) if dtype.is_float() else column
