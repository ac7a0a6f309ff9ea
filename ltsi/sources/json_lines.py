"""JSON lines to Parquet: the same types on each engine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import polars as pl

from ltsi.errors import DataError
from ltsi.sources.columns import shown
from ltsi.sources.encodings import checked_encoding, encoding_by_mark, rewritten
from ltsi.sources.files import BOM_UTF8, open_bytes, readable, text_lines


class JsonLines:
    """A file of one JSON object a line.

    Args:
        file: the file.
        encoding: a codec of Python's; None detects it.
        folder: an existing folder for temporary files.

    Raises:
        DataError: a line is not a JSON object.
    """

    def __init__(self, file: Path, encoding: str | None, folder: Path) -> None:
        self.file, self._source = file, file
        encoding = checked_encoding(encoding) or encoding_by_mark(file)
        with open_bytes(file) as stream:
            marked = stream.read(3) == BOM_UTF8
        if marked or encoding != "utf-8":
            self._source = rewritten(file, encoding, None, folder)
        try:
            found = pl.scan_ndjson(self._source, infer_schema_length=None).collect_schema()
        except pl.exceptions.PolarsError as error:
            self._refuse_row(error)
        # Integers beyond 64 bits are ids at best.
        self.schema = {name: pl.String() if dtype == pl.Int128 else dtype for name, dtype in found.items()}
        self.names = list(self.schema)
        self.note = "JSON lines"

    def write_parquet(
        self, columns: Sequence[str], target: Path, first_row: int, prefix: str, types: dict[str, Any]
    ) -> int:
        """Writes some columns, and the number of each row, `row`.

        Args:
            columns: columns to write.
            target: the new file.
            first_row: number of the first row.
            prefix: goes before the names of the columns.
            types: type of each column.

        Returns:
            The number of rows.

        Raises:
            DataError: a line is not a JSON object, or its values do not fit together.
        """
        table = pl.scan_ndjson(self._source, infer_schema_length=None)
        wanted = [pl.col(name).cast(types[name]).alias(prefix + name) for name in columns]
        row = (pl.int_range(pl.len(), dtype=pl.Int64) + first_row).alias("row")
        try:
            table.select(*wanted, row).sink_parquet(target, compression="lz4")
        except pl.exceptions.PolarsError as error:
            self._refuse_row(error)
        return int(pl.scan_parquet(target).select(pl.len()).collect().item())

    def _refuse_row(self, error: Exception) -> NoReturn:
        """Finds the first line that is not a JSON object, or a value of another kind. Slow, but only in an error."""
        kinds: dict[str, tuple[str, int]] = {}
        row = 0
        for line in text_lines(self.file):
            if not line.strip():
                continue
            row += 1
            try:
                found = json.loads(line, parse_constant=_refuse_constant)
            except ValueError as reason:
                raise DataError(
                    f"{self.file}, row {row} is not valid JSON ({reason}); it may be damaged or cut short."
                ) from error
            if not isinstance(found, dict):
                raise DataError(
                    f"{self.file}, row {row} is not a JSON object {{...}}, but {shown(line.strip())}."
                ) from error
            for name, value in found.items():
                kind = _kind(value)
                before, where = kinds.setdefault(name, (kind, row)) if kind else (kind, row)
                if kind != before:
                    raise DataError(
                        f"{self.file}, column '{shown(name)}': row {row} holds {kind}, row {where} {before}; "
                        "make them alike."
                    ) from error
        with readable(self.file):
            raise error


def _kind(value: object) -> str:
    kinds = {bool: "true or false", list: "a list", dict: "an object", type(None): ""}
    return kinds.get(type(value), "text or a number")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")
