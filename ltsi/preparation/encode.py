"""Ids to dense indices, events sorted by (user, time, row): an event table becomes the arrays of a store."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltsi.errors import DataError
from ltsi.events import Events
from ltsi.store import EncodedEvents

INTEGER = re.compile(r"0|-?[1-9]\d{0,17}")
MAX_BEHAVIORS = 256


@dataclass(frozen=True)
class Encoded:
    """An encoded log.

    Attributes:
        events: the arrays.
        row: int64 `(events,)`, row of each event in the file.
        items: item table, row i describes item index i.
        users: user table, row u describes user index u.
    """

    events: EncodedEvents
    row: NDArray[np.int64]
    items: pl.DataFrame
    users: pl.DataFrame


def encode(events: Events, items: nw.DataFrame[Any] | None = None, users: nw.DataFrame[Any] | None = None) -> Encoded:
    """Encodes a log.

    Indices follow the order of the ids, numbers if all are integers, else text: the same on each engine.

    Args:
        events: an event table.
        items: what is known about items, or None. Items without events are left out.
        users: what is known about users, or None.

    Raises:
        DataError: there are more than 256 behaviours.
    """
    ids = {column: sorted_ids(events, column) for column in ("user", "item", "behavior")}
    if len(ids["behavior"]) > MAX_BEHAVIORS:
        raise DataError(
            f"The log has {len(ids['behavior'])} behaviours, at most {MAX_BEHAVIORS} can be told apart; "
            "is source.columns.behavior the right column?"
        )
    coded = events
    for column, labels in ids.items():
        codes = {column: labels, f"{column}_code": np.arange(len(labels), dtype=np.int64)}
        coded = coded.join(nw.from_dict(codes, backend=events.implementation).lazy(), on=column, how="inner")
    wanted = ["user_code", "item_code", "behavior_code", "time", "row"]
    wanted += ["value"] if "value" in events.collect_schema() else []
    table = coded.select(wanted).sort("user_code", "time", "row").collect()
    counts = np.bincount(table["user_code"].to_numpy(), minlength=len(ids["user"]))
    arrays = EncodedEvents(
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        item=table["item_code"].to_numpy().astype(np.int32),
        time=table["time"].to_numpy().astype(np.int64),
        behavior=table["behavior_code"].to_numpy().astype(np.uint8),
        value=table["value"].to_numpy().astype(np.float32) if "value" in table.columns else None,
        behaviors=tuple(ids["behavior"]),
    )
    return Encoded(
        events=arrays,
        row=table["row"].to_numpy(),
        items=_describe("item", ids["item"], items),
        users=_describe("user", ids["user"], users),
    )


def sorted_ids(events: Events, column: str) -> list[str]:
    """Returns the different ids of a column, sorted as numbers if all are integers, else as text."""
    ids = events.select(column).unique().collect()[column].to_list()
    return sorted(ids, key=int) if all(map(INTEGER.fullmatch, ids)) else sorted(ids)


def _describe(column: str, ids: list[str], known: nw.DataFrame[Any] | None) -> pl.DataFrame:
    table = pl.DataFrame({column: ids}, schema={column: pl.String})
    return table if known is None else table.join(known.to_polars(), on=column, how="left", maintain_order="left")
