"""One user per line, `user item item ...`, oldest first; optionally a second file with a time for every item.

The format of many public sequence sets (SASRec, S3-Rec, BERT4Rec, ...). Ids are integers, separated by blanks or tabs;
the files may be gzipped. Without times the log has an order but no clock: the time of an event is its position.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from ltsi.engines.engine import Engine
from ltsi.errors import DataError
from ltsi.events import INTERACTION, RawData
from ltsi.sources.files import existing_file, text_lines
from ltsi.sources.times import TimeColumn, parse_times


@dataclass(frozen=True)
class Sequences:
    """Sequences of items, one user per line.

    Attributes:
        path: file of lines `user item item ...`.
        times: file of lines `user time time ...`, line by line the same users and lengths; None if there are no times.
        time_unit: unit of the times if they are numbers: s, ms, us or ns; None detects it.
    """

    path: str
    times: str | None = None
    time_unit: str | None = None

    def files(self) -> list[Path]:
        """Returns the sequences, and their times if there are any."""
        times = [] if self.times is None else [existing_file(self.times, "source.times")]
        return [existing_file(self.path, "source.path"), *times]

    def load(self, engine: Engine) -> RawData:
        """Reads the sequences, and their times if there are any."""
        file = existing_file(self.path, "source.path")
        lines = _Lines.read(file, "item")
        lines.require_integers()
        events = engine.from_polars(lines.events("item"))
        if self.times is None:
            return RawData(
                events=events,
                clock=False,
                inputs=[file],
                notes=[f"{file} has an order but no clock: times are positions (source.times=FILE adds times)."],
            )
        times_file = existing_file(self.times, "source.times")
        times = _Lines.read(times_file, "time")
        _require_aligned(lines, times)
        column = TimeColumn("time", str(times_file), times.locate, self.time_unit)
        stamped = engine.from_polars(lines.events("item").with_columns(time=pl.Series(times.tokens, dtype=pl.String)))
        events, note = parse_times(stamped, column)
        return RawData(events=events, inputs=[file, times_file], notes=[note])


@dataclass(frozen=True)
class _Lines:
    """A file of lines `user token token ...`.

    Attributes:
        file: the file.
        number: number of each line in the file, from 1.
        users: first token of each line.
        lengths: number of tokens after the user, `(lines,)`.
        tokens: all tokens after the users.
    """

    file: Path
    number: list[int]
    users: list[str]
    lengths: np.ndarray
    tokens: list[str]

    @classmethod
    def read(cls, file: Path, what: str) -> _Lines:
        """Reads the file; blank lines are passed over."""
        number, users, lengths, tokens = [], [], [], []
        for n, line in enumerate(text_lines(file), start=1):
            parts = line.split()
            if len(parts) == 1:
                raise DataError(
                    f"{file}, line {n}: '{parts[0][:40]}' has no {what}s after it; a line must read "
                    f"'user {what} {what} ...' (for a table of events use source=table)."
                )
            if parts:
                number.append(n)
                users.append(parts[0])
                lengths.append(len(parts) - 1)
                tokens.extend(parts[1:])
        if not users:
            raise DataError(f"{file} holds no lines 'user {what} {what} ...'; there is nothing to prepare.")
        return cls(file, number, users, np.array(lengths), tokens)

    def locate(self, row: int) -> str:
        """Names the place of an event, given its row from 1."""
        line = int(np.searchsorted(np.cumsum(self.lengths), row - 1, side="right"))
        position = row - int(self.lengths[:line].sum())
        return f"line {self.number[line]} (user {self.users[line]}), position {position}"

    def require_integers(self) -> None:
        """Refuses ids that are no integers, and users with two lines."""
        first_line: dict[str, int] = {}
        for n, user in zip(self.number, self.users, strict=True):
            if not user.isdecimal():
                raise DataError(f"{self.file}, line {n}: the user '{user[:40]}' is no integer; {_ADVICE}")
            if user in first_line:
                raise DataError(
                    f"{self.file}, line {n}: user {user} has a line already, line {first_line[user]}; join them."
                )
            first_line[user] = n
        for row, token in enumerate(self.tokens, start=1):
            if not token.isdecimal():
                raise DataError(f"{self.file}, {self.locate(row)}: the item '{token[:40]}' is no integer; {_ADVICE}")

    def events(self, column: str) -> pl.DataFrame:
        """Returns the event table, with positions for times."""
        starts = np.repeat(np.cumsum(self.lengths) - self.lengths, self.lengths)
        total = len(self.tokens)
        return pl.DataFrame(
            {
                "user": pl.Series(self.users, dtype=pl.String).gather(
                    np.repeat(np.arange(len(self.users)), self.lengths)
                ),
                column: pl.Series(self.tokens, dtype=pl.String),
                "time": np.arange(total, dtype=np.int64) - starts,
                "behavior": pl.repeat(INTERACTION, total, eager=True),
                "row": np.arange(1, total + 1, dtype=np.int64),
            }
        )


_ADVICE = "this format holds integer ids, 'user item item ...' (for a table of events use source=table)."


def _require_aligned(items: _Lines, times: _Lines) -> None:
    """Refuses times that do not belong to the items line by line."""
    both = f"{items.file} and {times.file}"
    for i in range(min(len(items.users), len(times.users))):
        line, user = times.number[i], items.users[i]
        if user != times.users[i]:
            raise DataError(
                f"{both} are not aligned: line {line} of the times is user {times.users[i]}, not user {user}."
            )
        if items.lengths[i] != times.lengths[i]:
            raise DataError(
                f"{both} are not aligned: user {user} (line {line}) has {items.lengths[i]} items "
                f"and {times.lengths[i]} times."
            )
    if len(items.users) != len(times.users):
        raise DataError(
            f"{both} are not aligned: {len(items.users):,} users with items, {len(times.users):,} with times."
        )
