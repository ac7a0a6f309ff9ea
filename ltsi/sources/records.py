"""Small tables read record by record: delimited text of any separator and encoding, or one object a line.

For what describes items and users, and for logs that no data frame library reads. Objects are JSON or, as several
published sets have them, literals of Python (`{u'price': 4.99}`), which are parsed and never run.
"""

from __future__ import annotations

import ast
import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ltsi.errors import DataError
from ltsi.sources.files import open_bytes, readable

Record = Mapping[str, Any]


def read_records(
    file: Path, *, delimiter: str | None = None, header: Sequence[str] | None = None, encoding: str = "utf-8"
) -> Iterator[Record]:
    """Yields the records of a file, plain, or compressed by gzip or zstd.

    Args:
        file: the file; it holds objects if it starts with a brace.
        delimiter: of delimited text, one character or more; None finds comma, tab, semicolon or bar in the first line.
            Only fields between single characters can be quoted.
        header: names of the columns where the first line has none.
        encoding: of the text.

    Raises:
        DataError: the file is damaged, a line is no object, or a row has too many or too few fields.
    """
    lines = _lines(file, encoding)
    first = next(lines, "")
    if first.lstrip().startswith("{"):
        yield from _objects(file, first, lines)
    else:
        yield from _rows(file, first, lines, delimiter, header)


def _lines(file: Path, encoding: str) -> Iterator[str]:
    encoding = "utf-8-sig" if encoding == "utf-8" else encoding
    with readable(file), open_bytes(file) as stream, io.TextIOWrapper(stream, encoding=encoding, newline="") as text:
        yield from text


def _objects(file: Path, first: str, rest: Iterator[str]) -> Iterator[Record]:
    parsers: list[Callable[[str], Any]] = [json.loads, ast.literal_eval]
    for number, line in enumerate(_chain(first, rest), start=1):
        if not line.strip():
            continue
        for parse in list(parsers):
            try:
                record = parse(line.strip())
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                # What has failed once is tried last from now on: a file has one kind of objects.
                parsers.append(parsers.pop(0))
            else:
                break
        else:
            raise DataError(f"{file}, line {number}: '{line[:40].strip()}' is neither a JSON object nor a literal.")
        if not isinstance(record, dict):
            raise DataError(f"{file}, line {number}: '{line[:40].strip()}' is not an object.")
        yield record


def _rows(
    file: Path, first: str, rest: Iterator[str], delimiter: str | None, header: Sequence[str] | None
) -> Iterator[Record]:
    delimiter = delimiter or max(",\t;|", key=first.count)
    lines = _chain(first, rest)
    rows = csv.reader(lines, delimiter=delimiter) if len(delimiter) == 1 else _split(lines, delimiter)
    names = list(header) if header is not None else next(rows, [])
    start = 1 if header is not None else 2
    for number, row in enumerate(rows, start=start):
        if len(row) != len(names):
            if row:
                raise DataError(f"{file}, row {number} has {len(row)} fields, not {len(names)}: {', '.join(names)}.")
            continue
        yield dict(zip(names, row, strict=True))


def _split(lines: Iterator[str], delimiter: str) -> Iterator[list[str]]:
    for line in lines:
        text = line.rstrip("\r\n")
        yield text.split(delimiter) if text else []


def _chain(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest
