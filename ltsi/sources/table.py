"""One event per row of a table: CSV, TSV, JSON lines or Parquet, in one file or many; the config names the columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl

from ltsi.engines.engine import Engine
from ltsi.errors import ConfigError, DataError, did_you_mean
from ltsi.events import ID_COLUMNS, INTERACTION, Behavior, Events, RawData, Step, how_many
from ltsi.findings import Finding
from ltsi.sources.behaviors import completed_behaviors, declared_behaviors
from ltsi.sources.columns import NumberColumn, TextColumn, ask, shown
from ltsi.sources.delimited import TextFormat
from ltsi.sources.descriptions import SideTable, commas, described, last_values
from ltsi.sources.files import existing_files, is_address, readable
from ltsi.sources.filters import Filter, is_number, not_null_setting
from ltsi.sources.staging import Staged, stage, stage_address
from ltsi.sources.times import TimeColumn, TimeWay, check_time_settings

ROLES = ("user", "item", "time", "behavior", "value", "part")
PARTS = ("train", "valid", "test")
_FILE = "file:"  # prefix of the file's own columns beside the columns of the event table


@dataclass(frozen=True)
class Table:
    """A table of events.

    Attributes:
        path: a file, a folder, a pattern such as `logs/*.csv`, or a list of these.
        columns: columns of the file by role: user, item, time, behavior, value, part. A role set to None is not there;
            without time the log has no clock and the order of the rows counts. A list of columns of time is joined by
            '-' and read by `time_format`. A part is train, valid or test: the user's own split.
        item_columns: columns that describe the item (price, category); an item gets the last value, by time,
            of the whole log that is not missing.
        user_columns: columns that describe the user, likewise.
        items: a table of items beside the log, see `SideTable`.
        users: a table of users beside the log, see `SideTable`.
        behaviors: weight and role (input, target, both) by behaviour; None declares nothing.
        filters: which rows to keep, see `Filter.parse`.
        delimiter: of delimited text, or `whitespace`; None finds it in the header.
        encoding: of text; None detects it.
        header: names of the columns where the files have no header line.
        quote: what fields with delimiters or line breaks are written in; None takes quotes for ordinary characters.
        time_unit: s, ms, us, ns, day or excel if times are numbers; None detects s, ms, us and ns.
        time_format: strptime format if times are text; None detects ISO 8601.
        time_zone: zone of times that carry none.
    """

    path: str | Sequence[str]
    columns: Mapping[str, str | Sequence[str] | None]
    item_columns: Sequence[str] = ()
    user_columns: Sequence[str] = ()
    items: Mapping[str, Any] | None = None
    users: Mapping[str, Any] | None = None
    behaviors: Mapping[str, Mapping[str, Any]] | None = None
    filters: Sequence[Mapping[str, Any]] = ()
    delimiter: str | None = None
    encoding: str | None = None
    header: Sequence[str] | None = None
    quote: str | None = '"'
    time_unit: str | None = None
    time_format: str | None = None
    time_zone: str = "UTC"
    _filters: tuple[Filter, ...] = field(init=False, repr=False)
    _sides: Mapping[str, SideTable] = field(init=False, repr=False)
    _text: TextFormat = field(init=False, repr=False)
    _behaviors: Mapping[str, Behavior] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuses what cannot be meant, before a file is opened."""
        self._name_columns()
        for role in self.columns:
            if role not in ROLES:
                raise ConfigError(
                    f"source.columns.{role} is not a role; roles are: {', '.join(ROLES)}.{did_you_mean(role, ROLES)}"
                )
        for role in ID_COLUMNS:
            if self.columns.get(role) is None:
                raise ConfigError(
                    f"source.columns.{role}=null: an event needs {role}s; set source.columns.{role}=COLUMN."
                )
            if role in self._describing(role):
                raise ConfigError(
                    f"source.{role}_columns must not name a column '{role}': in the {role} table that is the id."
                )
        check_time_settings(self.time_unit, self.time_format, self.time_zone)
        if not isinstance(self.columns.get("time"), (str, type(None))) and self.time_format is None:
            raise ConfigError(
                "source.columns.time with several columns needs source.time_format; their texts are joined by '-', "
                "such as '%d-%m-%Y' for [day,month,year]."
            )
        sides = {"item": self.items, "user": self.users}
        object.__setattr__(self, "_sides", {role: SideTable.parse(side, role) for role, side in sides.items() if side})
        object.__setattr__(self, "_text", TextFormat(self.delimiter, self.encoding, self.header, self.quote))
        object.__setattr__(self, "_filters", tuple(Filter.parse(entry, i) for i, entry in enumerate(self.filters)))
        object.__setattr__(self, "_behaviors", declared_behaviors(self.behaviors or {}))

    def _name_columns(self) -> None:
        """Makes texts of the names of columns: a configuration reads some as numbers, such as 196."""
        columns = {
            role: given if given is None else str(given) if not _is_list(given) else [str(name) for name in given]
            for role, given in self.columns.items()
        }
        object.__setattr__(self, "columns", columns)
        for role in ID_COLUMNS:
            object.__setattr__(self, f"{role}_columns", [str(name) for name in self._describing(role)])

    def input_files(self) -> list[Path]:
        """Returns the files that will be read.

        Raises:
            DataError: a file is missing or empty.
        """
        beside = [file for side in self._sides.values() for file in side.input_files()]
        return beside if is_address(self.path) else [*existing_files(self.path, "source.path"), *beside]

    def load(self, engine: Engine) -> RawData:
        """Reads the table: once to disk, and from there in one pass for all questions, one more for filters."""
        if is_address(self.path):
            staged = stage_address(str(self.path), self._wanted, engine, _FILE)
        else:
            staged = stage(existing_files(self.path, "source.path"), self._wanted, engine, self._text, _FILE)
        if not staged.ends[-1]:
            raise DataError(f"{staged.origin} has a header and no rows; there is nothing to prepare.")
        with readable(Path(staged.origin)):
            return self._load(staged, engine)

    def _load(self, staged: Staged, engine: Engine) -> RawData:
        rows = staged.rows
        rows = rows.with_columns(_without_blanks(name, dtype) for name, dtype in rows.collect_schema().items())
        rows, steps = self._filter(rows, staged)
        events, notes, findings = self._read(rows, staged)
        if self._sources("part"):
            self._check_parts(events, staged)
        behaviors: dict[str, Behavior] = {}
        if self._behaviors:
            log = events.select("behavior").unique().collect()["behavior"].to_list()
            behaviors = completed_behaviors(self._behaviors, log, staged.origin)
        tables = {role: self._describe(events, role, engine, notes, findings) for role in ID_COLUMNS}
        return RawData(
            events=events.select(*(name for name in ("row", *ROLES, "fraction") if name in events.collect_schema())),
            clock=self.columns.get("time") is not None,
            inputs=self.input_files(),
            items=tables["item"],
            users=tables["user"],
            steps=steps,
            notes=[*notes, *staged.notes],
            findings=findings,
            behaviors=behaviors,
        )

    def _wanted(self, _: Sequence[str]) -> list[tuple[str, str]]:
        """Returns each column of the file that the configuration names, after the key that names it."""
        wanted = [(f"source.columns.{role}", name) for role in ROLES for name in self._sources(role)]
        for role in ID_COLUMNS:
            wanted += [(f"source.{role}_columns[{i}]", name) for i, name in enumerate(self._describing(role))]
        return [*wanted, *((f"source.filters[{i}].column", each.column) for i, each in enumerate(self._filters))]

    def _describing(self, role: str) -> Sequence[str]:
        return self.item_columns if role == "item" else self.user_columns

    def _sources(self, role: str) -> list[str]:
        """Returns the columns of the file in a role."""
        given = self.columns.get(role)
        return [given] if isinstance(given, str) else list(given or ())

    def _filter(self, rows: Events, staged: Staged) -> tuple[Events, list[Step]]:
        """Applies the filters in order, counted in one pass."""
        if not self._filters:
            return rows, []
        schema, kept = rows.collect_schema(), nw.lit(value=True)
        asked: dict[str, nw.Expr] = {}
        keep: list[nw.Expr] = []
        for i, each in enumerate(self._filters):
            name = _FILE + each.column
            column, dtype = nw.col(name), schema[name]
            if each.on_numbers:
                asked[f"junk{i}"] = how_many(kept & ~is_number(column, dtype))
            kept = kept & each.condition(column, dtype)
            asked[f"left{i}"] = how_many(kept)
            keep.append(kept)
        answers = ask(rows, asked)
        steps, before = [], staged.ends[-1]
        for i, each in enumerate(self._filters):
            if answers.get(f"junk{i}"):
                name = _FILE + each.column
                number = NumberColumn("filter", name, _origin(staged, each.column), schema[name])
                remaining = rows.filter(keep[i - 1]) if i else rows
                number.read(remaining, {"filter_junk": answers[f"junk{i}"]}, staged.locate)
            left = int(answers[f"left{i}"])
            if not left:
                raise DataError(
                    f"{staged.origin}: the filter '{each.reason}' leaves none of {before:,} rows; see source.filters."
                )
            steps.append(Step(each.reason, before - left, left))
            before = left
        return rows.filter(kept), steps

    def _read(self, rows: Events, staged: Staged) -> tuple[Events, list[str], list[Finding]]:
        """Reads all roles, with one pass for what has to be known about them."""
        columns = self._columns(rows, staged)
        rows, way = self._time_way(rows, staged)
        asked = {name: question for column in columns for name, question in column.questions().items()}
        computed = {name: expression for column in columns for name, expression in column.computed().items()}
        if way is not None:
            asked |= {"time_missing": how_many(nw.col("time").is_null()), **way.questions()}
            computed |= way.computed()
        answers = ask(rows, asked, computed)
        self._require(rows, staged, answers)
        found: dict[str, nw.Expr] = {"behavior": nw.lit(INTERACTION)}
        notes: list[str] = []
        for column in columns:
            found[column.role], told = column.read(rows, answers, staged.locate)
            notes += told
        if way is None:
            events = rows.with_columns(**found)
            position = nw.col("row").rank("ordinal").over("user").cast(nw.Int64) - 1
            note = f"{staged.origin} has an order but no clock: the time of an event is its position"
            return events.with_columns(time=position), [*notes, f"{note} (source.columns.time=COLUMN)."], []
        rows, note, findings = way.read(rows, answers)
        return rows.with_columns(**found), [*notes, note], findings

    def _columns(self, rows: Events, staged: Staged) -> list[TextColumn | NumberColumn]:
        """Returns the columns in all roles but time."""
        schema = rows.collect_schema()
        columns: list[TextColumn | NumberColumn] = []
        for role in ROLES:
            for name in self._sources(role) if role != "time" else ():
                place = (role, _FILE + name, _origin(staged, name), schema[_FILE + name])
                columns.append(NumberColumn(*place) if role == "value" else TextColumn(*place, staged.joined))
        return columns

    def _time_way(self, rows: Events, staged: Staged) -> tuple[Events, TimeWay | None]:
        names = self._sources("time")
        if not names:
            return rows, None
        if len(names) == 1:
            origin, time = _origin(staged, names[0]), nw.col(_FILE + names[0])
        else:
            origin = f"{staged.origin}, columns {', '.join(map(repr, names))}"
            # Spark reads days and months of two digits only.
            parts = (nw.col(_FILE + name).cast(nw.String).str.zfill(2) for name in names)
            time = nw.concat_str(*parts, separator="-")
        rows = rows.with_columns(time.alias("time"))
        column = TimeColumn("time", origin, staged.locate, self.time_unit, self.time_format, self.time_zone)
        return rows, TimeWay.guess(rows, column)

    def _require(self, rows: Events, staged: Staged, answers: Mapping[str, Any]) -> None:
        """Refuses a role, but value, without a value in some row."""
        for role in ROLES:
            if n := answers.get(f"{role}_missing"):
                name = self._sources(role)[0]
                row = rows.filter(nw.col("time" if role == "time" else _FILE + name).is_null())
                first = row.select(nw.col("row").min()).collect().item()
                raise DataError(
                    f"{_origin(staged, name)} (source.columns.{role}): {n:,} rows have no value, the first is "
                    f"{staged.locate(first)}; drop them with {not_null_setting(name)}."
                )

    def _check_parts(self, events: Events, staged: Staged) -> None:
        strange = events.filter(~nw.col("part").is_in(PARTS))
        first = strange.filter(nw.col("row") == nw.col("row").min()).select("row", "part").collect()
        if len(first):
            part, where = shown(first.item(0, "part")), staged.locate(first.item(0, "row"))
            raise DataError(
                f"{_origin(staged, self._sources('part')[0])}: the part '{part}' in {where} "
                f"is not one of: {', '.join(PARTS)}.{did_you_mean(part.lower(), PARTS)}"
            )

    def _describe(
        self, events: Events, role: str, engine: Engine, notes: list[str], findings: list[Finding]
    ) -> nw.DataFrame[Any] | None:
        """Returns the table of items or users: what the log says about them, and what the table beside it does."""
        columns, side = self._describing(role), self._sides.get(role)
        if not columns and side is None:
            return None
        if columns:
            sources = {name: _FILE + name for name in columns}
            known, varying = last_values(events, sources, role, engine, clock=self.columns.get("time") is not None)
            findings += varying
        else:
            known = pl.DataFrame({role: events.select(role).unique().collect()[role].to_list()}, {role: pl.String})
        if side is not None:
            table = side.load(engine)
            n = known.join(table, on=role, how="semi").height
            file = side.input_files()[0]
            if not n:
                raise DataError(f"{file} describes none of the log's {role}s; is source.{role}s.key={side.key} right?")
            notes.append(f"{file} describes {n:,} of {known.height:,} {role}s.")
            known = described(known, table, role)
        findings += commas(known, role)
        return nw.from_native(known.sort(role), eager_only=True)


def _is_list(given: object) -> bool:
    return isinstance(given, Sequence) and not isinstance(given, str)


def _origin(staged: Staged, column: str) -> str:
    return f"{staged.origin}, column '{column}'"


def _without_blanks(name: str, dtype: nw.dtypes.DType) -> nw.Expr:
    """Returns a column in which an empty text and a NaN, the ways of files to say so, are missing."""
    column = nw.col(name)
    if dtype == nw.String:
        return nw.when(column != "").then(column).alias(name)
    return nw.when(column.is_finite()).then(column).alias(name) if dtype.is_float() else column
