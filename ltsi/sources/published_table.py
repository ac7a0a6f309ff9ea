"""What a published set knows about its items or users: a file of its own, one record each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from ltsi.errors import DataError
from ltsi.sources.records import read_records


@dataclass(frozen=True)
class PublishedTable:
    """A table of items or users, held in memory.

    Attributes:
        file: name of the file among those of the set.
        key: column of the ids.
        labels: columns of single values, by their name in the store.
        numbers: columns of numbers, by their name in the store; what is no number is missing.
        tags: columns of several values, by their name in the store: lists, nested or not, or text.
        flags: columns that hold 1 where a tag applies, by the name of the tags in the store.
        separator: what stands between the tags of a text.
        empty: values that mean that there is none.
        delimiter: of delimited text, one character or more; None finds it.
        header: names of the columns where the file has none.
        encoding: of the text.
    """

    file: str
    key: str
    labels: Mapping[str, str] = field(default_factory=dict)
    numbers: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    flags: Mapping[str, Sequence[str]] = field(default_factory=dict)
    separator: str = "|"
    empty: Sequence[str] = ()
    delimiter: str | None = None
    header: Sequence[str] | None = None
    encoding: str = "utf-8"

    def read(self, files: Mapping[str, Path], role: str) -> pl.DataFrame | None:
        """Reads the table.

        Args:
            files: the files of the set that are there, by name.
            role: `item` or `user`: name of the column of ids.

        Returns:
            One row an id, the last where a file has several; None if the file is not there.

        Raises:
            DataError: the file is damaged or lacks a column.
        """
        file = files.get(self.file)
        if file is None:
            return None
        schema: dict[str, pl.DataType] = dict.fromkeys([role, *self.labels], pl.String())
        schema |= dict.fromkeys(self.numbers, pl.Float64()) | dict.fromkeys(
            [*self.tags, *self.flags], pl.List(pl.String)
        )
        table = pl.DataFrame(list(self._rows(file)), schema=schema, orient="row")
        return table.unique(role, keep="last", maintain_order=True)

    def _rows(self, file: Path) -> Iterator[tuple[Any, ...]]:
        records = read_records(file, delimiter=self.delimiter, header=self.header, encoding=self.encoding)
        for record in records:
            if self.key not in record:
                raise DataError(f"{file} has no column '{self.key}'; it has: {', '.join(map(str, record))}.")
            key = self._label(record[self.key])
            if key is None:
                continue
            yield (
                key,
                *(self._label(record.get(column)) for column in self.labels.values()),
                *(as_number(record.get(column)) for column in self.numbers.values()),
                *(self._tags(record.get(column)) for column in self.tags.values()),
                *([name for name in names if record.get(name) == "1"] or None for names in self.flags.values()),
            )

    def _label(self, value: Any) -> str | None:
        text = "" if value is None else str(value).strip()
        return None if not text or text in self.empty else text

    def _tags(self, value: Any) -> list[str] | None:
        parts = value.split(self.separator) if isinstance(value, str) else _flat(value)
        return list(dict.fromkeys(tag for part in parts if (tag := self._label(part)) is not None)) or None


def as_number(value: Any) -> float | None:
    """Returns a value as a finite number, None if it is none."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for part in value:
            yield from _flat(part)
    else:
        yield value
