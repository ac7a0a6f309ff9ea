"""The event table: what every source yields and the preparation reads.

One row is one event: a user did something with an item at a time.

| column   | type    | meaning                                                                             |
| -------- | ------- | ----------------------------------------------------------------------------------- |
| user     | String  | original id                                                                         |
| item     | String  | original id                                                                         |
| time     | Int64   | seconds since epoch UTC; the position in the user's sequence if there is no clock   |
| behavior | String  | kind of event, `interaction` where the log has one kind only                        |
| value    | Float64 | optional: quantity, rating, money                                                   |
| part     | String  | optional: train, valid or test, the user's own split                                |
| fraction | Int64   | optional: nanoseconds beside the seconds; orders events of one second, is not kept  |
| row      | Int64   | position in the file, from 1: names a row in an error and orders events of one time |

The table is a narwhals lazy frame, so that the engine under it can be any that narwhals knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import narwhals as nw

from ltsi.engines.engine import Engine
from ltsi.errors import DataError
from ltsi.findings import Finding

Events = nw.LazyFrame[Any]
INTERACTION = "interaction"
ID_COLUMNS = ("user", "item")
REQUIRED = {"user": nw.String, "item": nw.String, "time": nw.Int64, "behavior": nw.String, "row": nw.Int64}
OPTIONAL = {"value": nw.Float64, "part": nw.String, "fraction": nw.Int64}
BehaviorRole = Literal["input", "target", "both"]
BEHAVIOR_ROLES: tuple[BehaviorRole, ...] = ("input", "target", "both")


@dataclass(frozen=True)
class Step:
    """What one filter or cleaning step did.

    Attributes:
        step: the filter's reason or the step's name.
        dropped: rows it dropped.
        left: rows after it.
        changed: rows among them whose value it changed.
    """

    step: str
    dropped: int
    left: int
    changed: int = 0


@dataclass(frozen=True)
class Behavior:
    """What a kind of event counts for.

    Attributes:
        weight: of its events, above 0.
        role: `input` is read and never predicted, `target` is predicted and never read, `both` is both.
    """

    weight: float = 1.0
    role: BehaviorRole = "both"


@dataclass(frozen=True)
class RawData:
    """What a source read.

    Attributes:
        events: the event table.
        clock: whether `time` is a time; if not, it is a position.
        inputs: files that were read.
        items: one row an item, column `item` is the id; None if the source knows nothing about items.
        users: one row a user, column `user` is the id; None if the source knows nothing about users.
        truth: what a synthetic source planted.
        steps: what the source's filters dropped, in order.
        notes: sentences worth telling, such as the detected unit of time.
        findings: what the source found out about the log that the event table does not show.
        behaviors: weight and role of each behaviour of the log; empty if nothing was declared.
    """

    events: Events
    clock: bool = True
    inputs: Sequence[Path] = ()
    items: nw.DataFrame[Any] | None = None
    users: nw.DataFrame[Any] | None = None
    truth: nw.DataFrame[Any] | None = None
    steps: Sequence[Step] = ()
    notes: Sequence[str] = ()
    findings: Sequence[Finding] = ()
    behaviors: Mapping[str, Behavior] = field(default_factory=dict)


class Source(Protocol):
    """Raw files to events; the config group `source` instantiates one."""

    def input_files(self) -> list[Path]:
        """Returns the files that will be read.

        Raises:
            DataError: a file is missing.
        """
        ...

    def load(self, engine: Engine) -> RawData:
        """Reads the files.

        Args:
            engine: opens the files; the events are a table of its kind.

        Raises:
            DataError: a file is missing, unreadable or contradictory.
            ConfigError: the configuration does not fit the files.
        """
        ...


def count(events: Events) -> int:
    """Returns the number of events."""
    return int(events.select(nw.len()).collect().item())


def order_of(events: Events) -> tuple[str, ...]:
    """Returns the columns that order the events of a user."""
    return ("time", "fraction", "row") if "fraction" in events.collect_schema() else ("time", "row")


def how_many(holds: nw.Expr) -> nw.Expr:
    """Returns the number of rows for which a condition holds; Spark adds up no truth values."""
    return holds.cast(nw.Int64).sum()


def validate_events(events: Events, origin: str) -> Events:
    """Checks that a table is an event table; cheap, reads only aggregates.

    Args:
        events: the table.
        origin: where it comes from, for the error: a file or a source's name.

    Returns:
        The event table, its columns in the order above.

    Raises:
        DataError: it is empty, or a user, an item or a time is missing.
        TypeError: a column is absent or has another type; a mistake of the source, not of the user.
    """
    schema = events.collect_schema()
    for name, dtype in (REQUIRED | OPTIONAL).items():
        if name in REQUIRED and name not in schema:
            raise TypeError(f"{origin} yields no column '{name}'; it has {list(schema)}")
        if name in schema and schema[name] != dtype:
            raise TypeError(f"{origin} yields column '{name}' as {schema[name]}, not {dtype}")
    keys = (*ID_COLUMNS, "time")
    asked = events.select(
        nw.len().alias("n"), *(how_many(nw.col(name).is_null()).alias(name) for name in keys)
    ).collect()
    if asked.item(0, "n") == 0:
        raise DataError(f"{origin} holds no events; there is nothing to prepare.")
    for name in keys:
        if asked.item(0, name):
            first = events.filter(nw.col(name).is_null()).select(nw.col("row").min()).collect().item()
            raise DataError(f"{origin}: {asked.item(0, name):,} events have no {name}, the first in row {first}.")
    return events.select(*REQUIRED, *(name for name in OPTIONAL if name in schema))
