"""Files of one table, of any format that can be read, staged to disk: the needed columns and the number of each row."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from ltsi.engines.engine import Engine, Frame
from ltsi.errors import DataError, did_you_mean
from ltsi.events import count
from ltsi.sources.columns import shown
from ltsi.sources.delimited import Delimited, TextFormat
from ltsi.sources.files import BOM_UTF8, PARQUET_MAGIC, compression_of, open_bytes, readable
from ltsi.sources.filters import NUMBER
from ltsi.sources.json_lines import JsonLines

Choose = Callable[[Sequence[str]], Sequence[tuple[str, str]]]
"""Given the columns found: the configuration key and the name of each column that is needed."""


@dataclass(frozen=True)
class Staged:
    """A table on disk.

    Attributes:
        rows: the needed columns, their names under the prefix, and `row`, Int64 from 1 across the files.
        files: the files, in reading order.
        ends: rows up to the end of each file.
        origin: what the table is called in errors: the file, or the first of several.
        notes: how it was read.
        joined: whether fields of delimited text hold line breaks.
    """

    rows: Frame
    files: Sequence[Path | str]
    ends: Sequence[int]
    origin: str
    notes: Sequence[str]
    joined: bool = False

    def locate(self, row: int) -> str:
        """Names a row: its number in its file, and the file if there are several."""
        if len(self.files) == 1:
            return f"row {row}"
        place = int(np.searchsorted(self.ends, row))
        return f"row {row - (self.ends[place - 1] if place else 0)} of {self.files[place]}"


def stage(files: Sequence[Path], choose: Choose, engine: Engine, said: TextFormat, prefix: str = "") -> Staged:
    """Stages a table.

    Args:
        files: one or more files of one format, told by their content: Parquet, JSON lines or delimited text.
        choose: tells the needed columns.
        engine: its folder takes the staged table, its scan opens it.
        said: what the user said about delimited text.
        prefix: goes before the names of the columns.

    Raises:
        DataError: a file cannot be read, a column is missing, or the files differ in their columns.
    """
    kinds = [_kind(file) for file in files]
    for file, kind in zip(files, kinds, strict=True):
        if kind != kinds[0]:
            raise DataError(f"{file} holds {kind} and {files[0]} {kinds[0]}; the files of a log must be alike.")
    origin = str(files[0]) if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"
    if kinds[0] == "Parquet":
        return _stage_parquet(files, choose, engine, prefix, origin)
    parts: list[Delimited | JsonLines] = []
    for file in files:
        with readable(file):
            if kinds[0] == "JSON lines":
                parts.append(JsonLines(file, said.encoding, engine.folder))
            else:
                parts.append(Delimited(file, said, engine.folder))
    headed = kinds[0] == "delimited text" and said.header is None
    columns = _chosen(files, [part.names for part in parts], choose, headed=headed)
    folder = engine.folder / uuid.uuid4().hex
    folder.mkdir()
    types = _common_types([part for part in parts if isinstance(part, JsonLines)], columns)
    targets, ends = [], [0]
    for i, part in enumerate(parts):
        targets.append(folder / f"{i:06}.parquet")
        with readable(part.file):
            if isinstance(part, JsonLines):
                rows = part.write_parquet(columns, targets[-1], ends[-1] + 1, prefix, types)
            else:
                rows = part.write_parquet(columns, targets[-1], ends[-1] + 1, prefix)
        ends.append(ends[-1] + rows)
    notes = dict.fromkeys(part.note for part in parts)
    told = [f"{origin} is read as {note}." for note in notes]
    joined = any(isinstance(part, Delimited) and part.joined for part in parts)
    return Staged(engine.scan_parquet(targets), files, ends[1:], origin, told, joined)


def stage_address(address: str, choose: Choose, engine: Engine, prefix: str) -> Staged:
    """Stages Parquet that only the engine can reach, in the order in which it reads it.

    Args:
        address: file or folder, such as hdfs://host/logs or s3://bucket/log.parquet.
        choose: tells the needed columns.
        engine: opens the address.
        prefix: goes before the names of the columns.

    Raises:
        DataError: nothing can be read there, or a column is missing.
    """
    try:
        table = engine.scan_parquet([address])
        columns = _chosen([address], [table.collect_schema().names()], choose)
        rows = engine.stage(engine.with_rows(table.select(nw.col(name).alias(prefix + name) for name in columns)))
    except DataError:
        raise
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(f"{address} cannot be read as Parquet by engine={engine.name}: {reason}.") from error
    return Staged(rows, [address], [count(rows)], address, [f"{address} is read by the engine, in its order."])


def _shown_names(names: Sequence[str]) -> str:
    """Returns the names of columns as an error shows them."""
    return ", ".join(shown(name) for name in names)


def _kind(file: Path) -> str:
    with readable(file), open_bytes(file) as stream:
        head = stream.read(1 << 16)
    if head.startswith(PARQUET_MAGIC):
        if compression := compression_of(file):
            raise DataError(
                f"{file} is Parquet inside {compression}; unpack it first, as Parquet is compressed inside."
            )
        return "Parquet"
    start = (
        head.removeprefix(BOM_UTF8).replace(b"\0", b"").removeprefix(b"\xff\xfe").removeprefix(b"\xfe\xff").lstrip()[:2]
    )
    if start.startswith(b"[") and b"{" in head[:100]:
        raise DataError(f"{file} is one JSON array; write one object a line instead (jq -c '.[]').")
    return "JSON lines" if start.startswith(b"{") else "delimited text"


def _chosen(
    files: Sequence[Path | str], found: Sequence[Sequence[str]], choose: Choose, *, headed: bool = False
) -> list[str]:
    """Returns the columns that are needed, which each file has; `headed` if their names are the first row of a text."""
    wanted = choose(found[0])
    for key, column in wanted:
        if column not in found[0]:
            hint = did_you_mean(column, found[0])
            if headed and any(re.search(NUMBER, name) for name in found[0]):
                table = next((t for t in ("source.items", "source.users") if key.startswith(f"{t}.")), "source")
                hint = f" If that is its first row, set {table}.header=[...] to the names of its columns."
            elif len(found[0]) == 1 and " " in found[0][0].strip():
                hint = " If blanks separate its columns, set source.delimiter=whitespace."
            raise DataError(
                f"{files[0]} has no column '{column}'; it has: {_shown_names(found[0])}; set {key}=COLUMN.{hint}"
            )
    for file, names in zip(files[1:], found[1:], strict=True):
        if differing := sorted(set(found[0]) ^ set(names)):
            has, lacks = (files[0], file) if differing[0] in found[0] else (file, files[0])
            raise DataError(
                f"{lacks} has no column '{shown(differing[0])}', and {has} has; the files of a log must be alike."
            )
    return list(dict.fromkeys(column for _, column in wanted))


def _stage_parquet(files: Sequence[Path], choose: Choose, engine: Engine, prefix: str, origin: str) -> Staged:
    schemas, rows = [], []
    for file in files:
        with readable(file), pq.ParquetFile(file) as parquet:
            schemas.append(parquet.schema_arrow)
            rows.append(parquet.metadata.num_rows)
    columns = _chosen(files, [schema.names for schema in schemas], choose)
    coded = [False] * len(files)
    for name in columns:
        types = [schema.field(name).type for schema in schemas]
        _require_alike(files, name, [_plain(dtype) for dtype in types])
        if any(pa.types.is_dictionary(dtype) != pa.types.is_dictionary(types[0]) for dtype in types):
            coded = [old or pa.types.is_dictionary(dtype) for old, dtype in zip(coded, types, strict=True)]
    # Engines join no categories of one file to texts of another.
    read = [_decoded(file, columns, engine.folder) if odd else file for file, odd in zip(files, coded, strict=True)]
    with readable(files[0]):
        table = engine.scan_parquet(read).select(nw.col(name).alias(prefix + name) for name in columns)
        staged = engine.stage(engine.with_rows(table))
    return Staged(staged, files, list(accumulate(rows)), origin, [])


def _decoded(file: Path, columns: Sequence[str], folder: Path) -> Path:
    """Writes some columns of a Parquet file anew, categories as texts, in bounded memory."""
    target = folder / f"{uuid.uuid4().hex}.parquet"
    with readable(file), pq.ParquetFile(file) as parquet:
        fields = (parquet.schema_arrow.field(name) for name in columns)
        schema = pa.schema([f.with_type(f.type.value_type) if pa.types.is_dictionary(f.type) else f for f in fields])
        with pq.ParquetWriter(target, schema, compression="lz4") as writer:
            for batch in parquet.iter_batches(columns=list(columns)):
                writer.write_batch(batch.select(list(columns)).cast(schema))
    return target


def _common_types(parts: Sequence[JsonLines], columns: Sequence[str]) -> dict[str, Any]:
    """Returns the type of each column; one that is missing throughout a file fits any, and is text if in all files."""
    types: dict[str, Any] = {}
    for name in columns if parts else ():
        found = [(part.file, part.schema[name]) for part in parts if part.schema[name] != pl.Null]
        _require_alike([file for file, _ in found], name, [str(dtype) for _, dtype in found])
        types[name] = found[0][1] if found else pl.String()
    return types


def _require_alike(files: Sequence[Path], column: str, types: Sequence[str]) -> None:
    for file, dtype in zip(files, types, strict=True):
        if dtype != types[0]:
            raise DataError(
                f"{file}, column '{column}' holds {dtype}, and in {files[0]} {types[0]}; "
                "the files of a log must be alike."
            )


def _plain(dtype: Any) -> str:
    """Returns a type of Arrow by name; text is text however it is stored."""
    name = str(dtype)
    return "string" if ("string" in name and "<" not in name) or name.startswith("dictionary<values=string") else name
