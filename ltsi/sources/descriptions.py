"""What is known about items and users: columns of the log itself, and tables beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from ltsi.engines.engine import Engine
from ltsi.engines.polars import Polars
from ltsi.errors import ConfigError, DataError, did_you_mean
from ltsi.events import Events, order_of
from ltsi.findings import Finding
from ltsi.sources.columns import COMMA, POINTS, WHOLE
from ltsi.sources.delimited import TextFormat
from ltsi.sources.files import existing_files
from ltsi.sources.filters import NUMBER
from ltsi.sources.staging import stage

COMPACT_ROWS = 2_000_000


@dataclass(frozen=True)
class SideTable:
    """A table with one row an item, or one row a user.

    Attributes:
        id: what a row describes: "item" or "user".
        path: file, folder or pattern, of any format that the log may have.
        key: its column of ids.
        columns: columns to take; none given: all.
        tags: columns that hold several values, with what separates them.
        delimiter: of delimited text.
        encoding: of delimited text.
        header: names of the columns where the file has no header line.
        quote: of delimited text, see `TextFormat`.
    """

    id: str
    path: str | Sequence[str]
    key: str
    columns: Sequence[str] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    delimiter: str | None = None
    encoding: str | None = None
    header: Sequence[str] | None = None
    quote: str | None = '"'

    @classmethod
    def parse(cls, entry: Mapping[str, Any], id_column: str) -> SideTable:
        """Reads `source.items` or `source.users`.

        Raises:
            ConfigError: it has no path or key, or a setting that is none.
        """
        where = f"source.{id_column}s"
        known = ("path", "key", "columns", "tags", "delimiter", "encoding", "header", "quote")
        for name in entry:
            if name not in known:
                raise ConfigError(
                    f"{where} has no setting '{name}'; it has: {', '.join(known)}.{did_you_mean(name, known)}"
                )
        for name in ("path", "key"):
            if not entry.get(name):
                raise ConfigError(
                    f"{where} needs {name}; it reads {{path: FILE, key: COLUMN, columns: [..], tags: {{..}}}}."
                )
        # A configuration reads some names of columns as numbers, such as 2024.
        texts: dict[str, Any] = {"key": str(entry["key"])}
        texts["columns"] = [str(name) for name in entry.get("columns") or ()]
        texts["tags"] = {str(name): separator for name, separator in (entry.get("tags") or {}).items()}
        return cls(id_column, **{**entry, **texts})

    def input_files(self) -> list[Path]:
        """Returns the files."""
        return existing_files(self.path, f"source.{self.id}s.path")

    def load(self, engine: Engine) -> pl.DataFrame:
        """Reads the table.

        Args:
            engine: its folder takes temporary files.

        Returns:
            One row an id, the ids as text in column `item` or `user`.

        Raises:
            DataError: a column is missing, or an id is missing or has more than one row.
        """
        files = self.input_files()
        text = TextFormat(self.delimiter, self.encoding, self.header, self.quote)
        staged = stage(files, self._choose, Polars(engine.folder), text)
        table: pl.DataFrame = staged.rows.to_native().collect().sort("row")
        table = table.with_columns(_ids(table[self.key]).alias(self.key))
        for wrong, said in (
            (table.filter(pl.col(self.key).is_null()), "has no id"),
            (table.filter(~pl.col(self.key).is_first_distinct()), "repeats the id '{}'"),
        ):
            if wrong.height:
                where = f"{staged.origin}, column '{self.key}': {staged.locate(wrong['row'][0])}"
                raise DataError(f"{where} {said.format(wrong[self.key][0])}; source.{self.id}s holds one row an id.")
        columns = [_typed(table, name, self.tags.get(name)) for name in table.columns if name not in {"row", self.key}]
        return table.select(pl.col(self.key).alias(self.id), *columns)

    def _choose(self, found: Sequence[str]) -> list[tuple[str, str]]:
        where = f"source.{self.id}s"
        wanted = [(f"{where}.key", self.key)]
        named = [(f"{where}.columns[{i}]", name) for i, name in enumerate(self.columns)]
        wanted += named or [(f"{where}.columns", name) for name in found]
        wanted += [(f"{where}.tags", name) for name in self.tags]
        taken = {name for _, name in wanted if name != self.key}
        if reserved := taken & {self.id, "row"}:
            raise ConfigError(
                f"{where} must not take a column '{min(reserved)}' beside its key; set {where}.columns without it."
            )
        return wanted


def last_values(
    events: Events, columns: Mapping[str, str], id_column: str, engine: Engine, *, clock: bool
) -> tuple[pl.DataFrame, list[Finding]]:
    """Returns for each id the last value of each column that is not missing, in one pass over the log.

    Args:
        events: the log, with the columns, the id and what orders it.
        columns: columns of the log by the name they get.
        id_column: "item" or "user".
        engine: computes the log.
        clock: whether `time` is a time: the last value is that of the latest time, in it of the last row.

    Returns:
        The table, and a finding for each column that has several values for one id.
    """
    order = order_of(events) if clock else ("row",)
    taken = events.select(id_column, *order, *dict.fromkeys(columns.values()))
    parts: list[pl.DataFrame] = []
    for batch in engine.batches(taken):
        values = (
            pl.when(pl.col(source).is_not_null())
            .then(pl.struct(*order, pl.col(source).alias("value"), pl.lit(value=False).alias("varies")))
            .alias(name)
            for name, source in columns.items()
        )
        parts.append(_latest(batch.select(id_column, *values), id_column, order))
        if sum(part.height for part in parts) > COMPACT_ROWS:
            parts = [_latest(pl.concat(parts), id_column, order)]
    table = _latest(pl.concat(parts), id_column, order)
    several = {name: int(table[name].struct.field("varies").sum()) for name in columns}
    table = table.select(id_column, *(pl.col(name).struct.field("value").alias(name) for name in columns))
    found = [_varying(name, id_column, round(n / table.height, 6)) for name, n in several.items() if n]
    return table.select(id_column, *(_typed(table, name) for name in columns)), found


def described(known: pl.DataFrame, side: pl.DataFrame | None, id_column: str) -> pl.DataFrame:
    """Puts what the log says and what a side table says about ids beside each other.

    Raises:
        ConfigError: both describe an id by a column of one name.
    """
    if side is None:
        return known
    if both := set(known.columns) & set(side.columns) - {id_column}:
        raise ConfigError(
            f"source.{id_column}_columns and source.{id_column}s both give the column '{min(both)}'; drop one of them."
        )
    return known.join(side, on=id_column, how="left", maintain_order="left")


def commas(table: pl.DataFrame, id_column: str) -> list[Finding]:
    """Finds columns of texts that would be numbers, were it not for a comma in some: they are taken for categories."""
    found = []
    for column in table.drop(id_column).iter_columns():
        known = column.drop_nulls() if column.dtype == pl.String else pl.Series([], dtype=pl.String)
        with_comma = known.filter(known.str.contains(COMMA))
        if len(with_comma) and (known.str.contains(COMMA) | known.str.contains(NUMBER)).all():
            sentence = (
                f"The {id_column} column '{column.name}' is taken as text, as numbers such as '{with_comma[0]}' have a "
                f"comma; if it is to be a number, {POINTS}."
            )
            found.append(Finding("warn", "number_with_comma", column.name, sentence))
    return found


def _latest(parts: pl.DataFrame, id_column: str, order: Sequence[str]) -> pl.DataFrame:
    """Returns for each id the last of its values, structs with the fields of `order`, `value` and `varies`."""
    return parts.group_by(id_column).agg(_last(name, order) for name in parts.columns if name != id_column)


def _last(name: str, order: Sequence[str]) -> pl.Expr:
    known = pl.col(name).drop_nulls()
    last = known.sort_by(*(known.struct.field(key) for key in order)).last()
    varies = known.struct.field("varies").any() | (known.struct.field("value").n_unique() > 1)
    fields = (last.struct.field(key) for key in (*order, "value"))
    return pl.when(known.len() > 0).then(pl.struct(*fields, varies.alias("varies"))).alias(name)


def _varying(name: str, id_column: str, share: float) -> Finding:
    sentence = (
        f"Share of the {id_column}s for which the log has several values of '{name}'; each gets the last of the whole "
        f"log, its test part too: leave it out of source.{id_column}_columns if a model must not know that."
    )
    return Finding("warn", "varying_description", share, sentence)


def _ids(column: pl.Series) -> pl.Series:
    """Returns ids as text, as those of the log: whole numbers lose their '.0', an empty text is missing."""
    if column.dtype.is_float() and (column.drop_nulls() == column.drop_nulls().floor()).all():
        column = column.cast(pl.Int64)
    text = column.cast(pl.String).replace("", None)
    return text.str.replace(r"\.0$", "") if text.drop_nulls().str.contains(WHOLE).all() else text


def _typed(table: pl.DataFrame, name: str, separator: str | None = None) -> pl.Series:
    """Returns a column of texts as numbers if all are numbers, or as lists of tags."""
    column = table[name]
    if column.dtype != pl.String:
        return column
    column = column.replace("", None)
    if separator is not None:
        parts = column.str.split(separator).list.eval(pl.element().str.strip_chars())
        return parts.list.eval(pl.element().filter(pl.element() != "")).alias(name)
    known = column.drop_nulls()
    numbers = len(known) > 0 and known.str.contains(NUMBER).all()
    return column.str.strip_chars().cast(pl.Float64) if numbers else column
