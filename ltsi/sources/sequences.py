"""One user per line, `user item item ...`, oldest first; optionally a second file with a time for every item.

The format of many public sequence sets (SASRec, S3-Rec, BERT4Rec, ...). Ids are integers, separated by blanks or tabs;
the files may be compressed. Without times the log has an order but no clock: the time of an event is its position.
Lines are read in chunks of bounded size; what is kept in memory is a few numbers a user.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import polars as pl

from ltsi.engines.engine import Engine
from ltsi.errors import DataError
from ltsi.events import INTERACTION, RawData
from ltsi.sources.columns import shown
from ltsi.sources.encodings import encoding_by_mark
from ltsi.sources.files import existing_file, readable, text_lines
from ltsi.sources.times import TimeColumn, check_time_settings, parse_times

CHUNK_CHARS = 1 << 24
INTEGER = r"^[0-9]+$"
Line = tuple[int, str]
"""Number in the file, from 1, and the text."""

_ADVICE = (
    ", and source=sequences reads only such ids; number them, or write one event a row, in columns with names, and use "
    "source=table."
)


@dataclass(frozen=True)
class Sequences:
    """Sequences of items, one user per line.

    Attributes:
        path: file of lines `user item item ...`.
        times: file of lines `user time time ...`, line by line the same users and lengths; None if there are no times.
        time_unit: unit of the times if they are numbers: s, ms, us, ns, day or excel; None detects it.
    """

    path: str
    times: str | None = None
    time_unit: str | None = None

    def __post_init__(self) -> None:
        """Refuses a unit that is none."""
        check_time_settings(self.time_unit, None, "UTC")

    def input_files(self) -> list[Path]:
        """Returns the files that will be read.

        Raises:
            DataError: a file is missing or empty.
        """
        times = [] if self.times is None else [existing_file(self.times, "source.times")]
        return [existing_file(self.path, "source.path"), *times]

    def load(self, engine: Engine) -> RawData:
        """Reads the sequences, and their times if there are any."""
        files = self.input_files()
        folder = engine.folder / uuid.uuid4().hex
        folder.mkdir()
        parts: list[Path] = []
        lines: list[pl.DataFrame] = []
        rows = 0
        for chunk, known in _chunks(files):
            lines.append(known)
            numbered = chunk.with_columns(row=pl.int_range(1, pl.len() + 1, dtype=pl.Int64) + rows)
            parts.append(folder / f"{len(parts):06}.parquet")
            numbered.drop("line").write_parquet(parts[-1], compression="lz4")
            rows += chunk.height
        if not lines:
            raise DataError(f"{files[0]} holds no lines 'user item item ...'; there is nothing to prepare.")
        users = pl.concat(lines)
        _refuse_second_lines(files[0], users)
        events = engine.scan_parquet(parts)
        if self.times is None:
            note = f"{files[0]} has an order but no clock: times are positions (source.times=FILE adds times)."
            return RawData(events=events, clock=False, inputs=files, notes=[note])

        def locate(row: int) -> str:
            line = users.with_columns(end=pl.col("n").cum_sum()).filter(pl.col("end") >= row).row(0, named=True)
            return f"line {line['line']} (user {line['user']}), position {row - line['end'] + line['n']}"

        column = TimeColumn("time", str(files[1]), locate, self.time_unit)
        with readable(files[1]):
            timed, note, findings = parse_times(events, column)
        return RawData(events=timed, inputs=files, notes=[note], findings=findings)


def _chunks(files: list[Path]) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Yields the events of some lines, and a row for each line: its user, its number in the file, its events `n`."""
    readers = [_lines(files[0], "item"), *(_lines(file, "time") for file in files[1:])]
    pairs: list[tuple[Line | None, ...]] = []
    size = 0
    for pair in zip_longest(*readers):
        pairs.append(pair)
        size += sum(len(line[1]) for line in pair if line is not None)
        if size > CHUNK_CHARS:
            yield _parsed(files, pairs)
            pairs, size = [], 0
    if pairs:
        yield _parsed(files, pairs)


def _lines(file: Path, what: str) -> Iterator[Line]:
    """Yields the lines that are not blank."""
    encoding = encoding_by_mark(file)
    for number, text in enumerate(text_lines(file, "utf-8-sig" if encoding == "utf-8" else encoding), start=1):
        stripped = text.strip()
        if stripped and len(stripped.split(maxsplit=1)) == 1:
            raise DataError(
                f"{file}, line {number}: '{shown(stripped)}' has no {what}s after it; a line must read "
                f"'user {what} {what} ...' (for a table of events use source=table)."
            )
        if stripped:
            yield number, stripped


def _parsed(files: list[Path], pairs: list[tuple[Line | None, ...]]) -> tuple[pl.DataFrame, pl.DataFrame]:
    items = _tokens([pair[0] for pair in pairs])
    events = items.explode("tokens").rename({"tokens": "item"})
    _refuse_junk(files[0], items)
    if len(files) == 1:
        position = pl.int_range(pl.len(), dtype=pl.Int64).over("line")
        events = events.with_columns(time=position)
    else:
        times = _tokens([pair[1] for pair in pairs])
        _require_aligned(files, items, times)
        events = events.with_columns(times["tokens"].explode().alias("time"))
    users = items.select("user", "line", n=pl.col("tokens").list.len().cast(pl.Int64))
    return events.with_columns(behavior=pl.lit(INTERACTION)), users


def _tokens(lines: list[Line | None]) -> pl.DataFrame:
    """Returns user, number and tokens of each line."""
    known = [line for line in lines if line is not None]
    table = pl.DataFrame(known, schema={"line": pl.Int64, "text": pl.String}, orient="row")
    parts = table.select("line", parts=pl.col("text").str.extract_all(r"\S+"))
    return parts.select("line", user=pl.col("parts").list.first(), tokens=pl.col("parts").list.slice(1))


def _refuse_junk(file: Path, items: pl.DataFrame) -> None:
    """Refuses ids that are no integers."""
    users = items.filter(~pl.col("user").str.contains(INTEGER))
    if users.height:
        user, line = users.row(0, named=True)["user"], users["line"][0]
        raise DataError(f"{file}, line {line}: the user '{shown(user)}' is not an integer{_ADVICE}")
    tokens = items.with_columns(position=pl.int_ranges(1, pl.col("tokens").list.len() + 1)).explode(
        "tokens", "position"
    )
    junk = tokens.filter(~pl.col("tokens").str.contains(INTEGER).fill_null(value=False))
    if junk.height:
        first = junk.row(0, named=True)
        raise DataError(
            f"{file}, line {first['line']} (user {first['user']}), position {first['position']}: "
            f"the item '{shown(first['tokens'] or '')}' is not an integer{_ADVICE}"
        )


def _refuse_second_lines(file: Path, users: pl.DataFrame) -> None:
    """Refuses users with two lines."""
    again = users.filter(~pl.col("user").is_first_distinct())
    if again.height:
        line, user = again["line"][0], again["user"][0]
        first = users.filter(pl.col("user") == user)["line"][0]
        raise DataError(f"{file}, line {line}: user {user} has a line already, line {first}; join them.")


def _require_aligned(files: list[Path], items: pl.DataFrame, times: pl.DataFrame) -> None:
    """Refuses times that do not belong to the items line by line."""
    both = f"{files[0]} and {files[1]}"
    shared = min(items.height, times.height)
    beside = pl.DataFrame(
        {
            "user": items["user"][:shared],
            "other": times["user"][:shared],
            "line": times["line"][:shared],
            "items": items["tokens"][:shared].list.len(),
            "times": times["tokens"][:shared].list.len(),
        }
    )
    wrong = beside.filter((pl.col("user") != pl.col("other")) | (pl.col("items") != pl.col("times")))
    if wrong.height:
        first = wrong.row(0, named=True)
        if first["user"] != first["other"]:
            raise DataError(
                f"{both} are not aligned: line {first['line']} of the times is user {shown(first['other'])}, "
                f"not user {first['user']}."
            )
        raise DataError(
            f"{both} are not aligned: user {first['user']} (line {first['line']}) has {first['items']} items "
            f"and {first['times']} times."
        )
    if items.height != times.height:
        total = [sum(1 for _ in _lines(file, "token")) for file in files]
        raise DataError(f"{both} are not aligned: {total[0]:,} users with items, {total[1]:,} with times.")
