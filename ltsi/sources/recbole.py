"""RecBole's atomic files: `NAME.inter`, `NAME.item` and `NAME.user`, tab separated, with a type in every column's name.

| type      | holds                       | in a store's table |
| --------- | --------------------------- | ------------------ |
| token     | one label                   | text               |
| token_seq | labels between blanks       | tags               |
| float     | a number                    | number             |
| float_seq | numbers between blanks      | vector             |
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl

from ltsi.engines.engine import Engine
from ltsi.errors import ConfigError, DataError, did_you_mean
from ltsi.events import RawData
from ltsi.sources.files import existing_file, text_lines
from ltsi.sources.published_table import as_number
from ltsi.sources.table import ROLES, Table

DTYPES: dict[str, pl.DataType] = {
    "token": pl.String(),
    "token_seq": pl.List(pl.String),
    "float": pl.Float64(),
    "float_seq": pl.List(pl.Float64),
}
OPTIONAL_ROLES = ("behavior", "value")


@dataclass(frozen=True)
class RecBole:
    """A data set in RecBole's format.

    Attributes:
        path: the `.inter` file, gzipped or not, or the folder that holds it, or FOLDER/NAME without the ending.
        columns: field of the `.inter` file by role, without its type; see `Table.columns`. A behaviour or value that is
            not there is left out.
        item_columns: fields of the `.inter` file that describe the item.
        filters: which rows to keep, by fields of the `.inter` file; see `Filter.parse`.
        field_separator: between columns.
        seq_separator: between the values of a sequence.
        time_unit: s, ms, us or ns; None detects it.
        time_zone: zone of times that carry none.
    """

    path: str
    columns: Mapping[str, str | None]
    item_columns: Sequence[str] = ()
    filters: Sequence[Mapping[str, Any]] = ()
    field_separator: str = "\t"
    seq_separator: str = " "
    time_unit: str | None = None
    time_zone: str = "UTC"
    _table: Table = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuses what cannot be meant, before a file is opened."""
        table = Table(
            path=self.path,
            columns=self.columns,
            item_columns=self.item_columns,
            filters=self.filters,
            delimiter=self.field_separator,
            time_unit=self.time_unit,
            time_zone=self.time_zone,
        )
        object.__setattr__(self, "_table", table)

    def input_files(self) -> list[Path]:
        """Returns the interactions, and the items and users if their files are there."""
        file = _interactions(self.path)
        sides = (_beside(file, ending) for ending in (".item", ".user"))
        return [file, *(path for path in sides if path is not None)]

    def load(self, engine: Engine) -> RawData:
        """Reads the interactions, and the items and users if their files are there."""
        file = _interactions(self.path)
        fields = _fields(file, self.field_separator)
        columns = {role: self._column(role, self.columns.get(role), fields, file) for role in ROLES}
        absent = [role for role in OPTIONAL_ROLES if self.columns.get(role) and not columns[role]]
        table = replace(
            self._table,
            path=str(file),
            columns=columns,
            item_columns=[fields.get(name, name) for name in self.item_columns],
            filters=[{**entry, "column": fields.get(entry["column"], entry["column"])} for entry in self.filters],
        )
        raw = table.load(engine)
        sides = {role: self._side(file, ending, _plain(str(columns[role])), role)
                 for role, ending in (("item", ".item"), ("user", ".user"))}  # fmt: skip
        notes = [f"{file} has no field '{self.columns[role]}', so there is no {role}." for role in absent]
        return replace(
            raw,
            inputs=[file, *(path for path, _ in sides.values() if path is not None)],
            items=_joined(_plain_names(raw.items), sides["item"][1], "item"),
            users=sides["user"][1],
            notes=[*raw.notes, *notes],
        )

    def _column(self, role: str, name: str | None, fields: Mapping[str, str], file: Path) -> str | None:
        """Returns the full name of a role's field, type included."""
        if name is None:
            return None
        if name in fields or name in fields.values():
            return fields.get(name, name)
        if role in OPTIONAL_ROLES:
            return None
        order = " (or source.columns.time=null to go by the order of the rows)" if role == "time" else ""
        hint = did_you_mean(name, fields)
        raise DataError(
            f"{file} has no field '{name}'; it has: {', '.join(fields)}; set source.columns.{role}=FIELD{order}.{hint}"
        )

    def _side(self, file: Path, ending: str, key: str, role: str) -> tuple[Path | None, nw.DataFrame[Any] | None]:
        """Reads the `.item` or `.user` file beside the interactions."""
        path = _beside(file, ending)
        if path is None:
            return None, None
        return path, nw.from_native(self._read_side(path, key, role), eager_only=True)

    def _read_side(self, path: Path, key: str, role: str) -> pl.DataFrame:
        rows = csv.reader(text_lines(path), delimiter=self.field_separator)
        names = _split_types(next(rows, []), path)
        if key not in names:
            raise DataError(f"{path} has no field '{key}', which is source.columns.{role}; it has: {', '.join(names)}.")
        kinds = names | {key: "token"}
        schema = {role if name == key else name: DTYPES[kind] for name, kind in kinds.items()}
        convert = [self._converter(kind) for kind in kinds.values()]
        values = []
        for number, row in enumerate(rows, start=2):
            if row and len(row) != len(names):
                raise DataError(f"{path}, row {number} has {len(row)} fields, not {len(names)}: {', '.join(names)}.")
            if row:
                values.append([to(text) for to, text in zip(convert, row, strict=True)])
        table = pl.DataFrame(values, schema=schema, orient="row").filter(pl.col(role).is_not_null())
        return table.select(role, pl.exclude(role)).unique(role, keep="last", maintain_order=True)

    def _converter(self, kind: str) -> Callable[[str], Any]:
        def labels(text: str) -> list[str] | None:
            return [part for part in text.split(self.seq_separator) if part] or None

        def numbers(text: str) -> list[float | None] | None:
            parts = labels(text)
            return None if parts is None else [as_number(part) for part in parts]

        return {"token": lambda text: text or None, "token_seq": labels, "float": as_number, "float_seq": numbers}[kind]


def _interactions(path: str) -> Path:
    """Returns the `.inter` file that a path means."""
    given = Path(path).expanduser()
    if given.is_dir():
        found = sorted(p for p in given.iterdir() if p.name.removesuffix(".gz").endswith(".inter"))
        if len(found) == 1:
            return found[0]
        which = f"holds {', '.join(p.name for p in found)}" if found else "holds no .inter file"
        raise DataError(f"{given} {which}; set source.path=FILE.inter.")
    beside = [given.with_name(f"{given.name}.inter{end}") for end in ("", ".gz")]
    found = [p for p in beside if p.is_file()]
    return existing_file(str(found[0] if found and not given.is_file() else given), "source.path")


def _beside(file: Path, ending: str) -> Path | None:
    """Returns the file of items or users that belongs to the interactions, or None."""
    stem = file.name.removesuffix(".gz").removesuffix(".inter")
    return next((p for end in ("", ".gz") if (p := file.with_name(f"{stem}{ending}{end}")).is_file()), None)


def _fields(file: Path, separator: str) -> dict[str, str]:
    """Returns the full name of each field of a file by its name without the type."""
    header = next(text_lines(file), "").rstrip("\r\n").removeprefix("\ufeff").split(separator)
    return {name: f"{name}:{kind}" for name, kind in _split_types(header, file).items()}


def _split_types(header: Sequence[str], file: Path) -> dict[str, str]:
    names = {}
    for column in header:
        name, _, kind = column.strip().rpartition(":")
        if not name or kind not in DTYPES:
            raise DataError(
                f"{file}: the header '{column[:40]}' is not of the form name:type with one of the types "
                f"{', '.join(DTYPES)}; is source.field_separator right? (For other tables use source=table.)"
            )
        names[name] = kind
    return names


def _plain_names(table: nw.DataFrame[Any] | None) -> nw.DataFrame[Any] | None:
    """Takes the types off the names of columns."""
    return None if table is None else table.rename({name: _plain(name) for name in table.columns})


def _plain(name: str) -> str:
    return name.rpartition(":")[0] or name


def _joined(own: nw.DataFrame[Any] | None, side: nw.DataFrame[Any] | None, role: str) -> nw.DataFrame[Any] | None:
    if own is None or side is None:
        return side if own is None else own
    both = set(own.columns) & set(side.columns) - {role}
    if both:
        raise ConfigError(f"source.item_columns names '{min(both)}', which the .item file has as well; take it out.")
    return nw.from_native(own.to_polars().join(side.to_polars(), on=role, how="full", coalesce=True), eager_only=True)
