"""Ids to dense indices, events sorted by (user, time, tie): an event table becomes the arrays of a store.

The engine hands the events out in pieces, in any order. They are dealt to buckets of consecutive users on disk, and
each bucket is sorted by itself: memory holds one bucket and the vocabularies, however long the log is.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import narwhals as nw
import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltsi.engines.engine import Engine
from ltsi.errors import ConfigError, DataError
from ltsi.events import Events
from ltsi.store import PARTS, TIES, EncodedEvents, user_blocks

INTEGER = r"^(0|-?[1-9]\d{0,17})$"
MAX_BEHAVIORS = 256
BUCKET_EVENTS = 4_000_000
RECORD: dict[str, Any] = {
    "user": np.int32,
    "item": np.int32,
    "behavior": np.uint8,
    "time": np.int64,
    "row": np.int64,
    "value": np.float32,
    "part": np.uint8,
    "fraction": np.int32,
}


@dataclass(frozen=True)
class TieOrder:
    """The order of a user's events of one and the same time, which no clock tells.

    Attributes:
        by: `file` keeps the order of the file, `shuffle` draws one at random, `item` follows the items' indices.
        seed: fixes what `shuffle` draws.
    """

    by: str = "file"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuses an order that is none."""
        if self.by not in TIES:
            raise ConfigError(f"ties={self.by} must be one of: {', '.join(TIES)}.")

    def keys(self, records: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Returns what events of one second are sorted by, by name, the weightiest first."""
        keys = {"fraction": records["fraction"]} if "fraction" in (records.dtype.names or ()) else {}
        if self.by != "file":
            keys["tie"] = records["item"] if self.by == "item" else _mixed(records["row"], self.seed)
        return keys | {"row": records["row"]}


@dataclass(frozen=True)
class Encoded:
    """An encoded log.

    Attributes:
        events: the arrays, memory-mapped from the engine's folder.
        row: int64 `(events,)`, row of each event in the file, memory-mapped.
        fraction: int32 `(events,)`, nanoseconds beside the seconds, memory-mapped; None if the log has none.
        items: item table, row i describes item index i.
        users: user table, row u describes user index u.
    """

    events: EncodedEvents
    row: NDArray[np.int64]
    items: pl.DataFrame
    users: pl.DataFrame
    fraction: NDArray[np.int32] | None = None


def encode(
    events: Events,
    engine: Engine,
    items: nw.DataFrame[Any] | None = None,
    users: nw.DataFrame[Any] | None = None,
    ties: TieOrder = TieOrder(),
) -> Encoded:
    """Encodes a log in bounded memory.

    Indices follow the order of the ids, numbers if all are integers, else text: the same on each engine.

    Args:
        events: an event table of the engine.
        engine: computes it; its folder takes the arrays.
        items: what is known about items, or None. Items without events are left out.
        users: what is known about users, or None.
        ties: the order of events of one time.

    Raises:
        DataError: there are more than 256 behaviours, or a part is none.
    """
    known = {column: _vocabulary(events, column) for column in ("user", "item", "behavior")}
    if len(known["behavior"]) > MAX_BEHAVIORS:
        raise DataError(
            f"The log has {len(known['behavior'])} behaviours, at most {MAX_BEHAVIORS} can be told apart; "
            "is source.columns.behavior the right column?"
        )
    offsets = np.concatenate([[0], np.cumsum(known["user"]["n"].to_numpy())]).astype(np.int64)
    optional = [column for column in ("value", "part", "fraction") if column in events.collect_schema()]
    names = ["user", "item", "behavior", "time", "row", *optional]
    record = np.dtype([(name, RECORD[name]) for name in names])
    folder = engine.folder / f"encoded.{uuid.uuid4().hex}"
    folder.mkdir()
    columns = {name: _Column(folder / f"{name}.npy", RECORD[name], int(offsets[-1])) for name in names[1:]}
    for records in _buckets(events.select(names), engine, known, offsets, record):
        ordered = _take(records, _order(records, ties))
        for name, column in columns.items():
            column.append(ordered[name])
    arrays = {name: column.finish() for name, column in columns.items()}
    row, fraction = arrays.pop("row"), arrays.pop("fraction", None)
    return Encoded(
        events=EncodedEvents(offsets=offsets, behaviors=tuple(known["behavior"]["behavior"]), **arrays),
        row=row,
        items=_describe("item", known["item"], items),
        users=_describe("user", known["user"], users),
        fraction=fraction,
    )


def _vocabulary(events: Events, column: str) -> pl.DataFrame:
    """Returns the different ids of a column and how often each occurs, `n`, in the order of their indices."""
    counted = events.group_by(column).agg(nw.len().alias("n")).collect(backend="polars").to_polars()
    return counted.sort(pl.col(column).cast(pl.Int64) if _are_whole(counted[column]) else column)


def _buckets(
    events: Events, engine: Engine, known: dict[str, pl.DataFrame], offsets: NDArray[np.int64], record: np.dtype[Any]
) -> Iterator[NDArray[Any]]:
    """Deals the events to buckets of consecutive users; yields the buckets in the order of the users."""
    first_users = np.array([first for first, _ in user_blocks(offsets, BUCKET_EVENTS)])
    codes = {column: _Codes(known[column][column]) for column in ("user", "item", "behavior")}
    pieces = (_records(batch, codes, record) for batch in engine.batches(events))
    if len(first_users) == 1:
        yield np.concatenate(list(pieces))
        return
    files = [engine.folder / f"bucket{i}" for i in range(len(first_users))]
    streams = [file.open("wb") for file in files]
    try:
        for piece in pieces:
            _deal(piece, first_users, streams)
    finally:
        for stream in streams:
            stream.close()
    for file in files:
        yield np.fromfile(file, dtype=record)
        file.unlink()


class _Codes:
    """Looks ids up in a vocabulary.

    Args:
        ids: the vocabulary, in the order of the indices.
    """

    def __init__(self, ids: pl.Series) -> None:
        self.whole = _are_whole(ids)
        # A join, since a cast to an Enum hashes the whole vocabulary anew and slower.
        self.known = pl.DataFrame({"id": self._key(ids), "code": np.arange(len(ids), dtype=np.int32)})

    def __call__(self, ids: pl.Series) -> NDArray[np.int32]:
        """Returns the index of each id."""
        asked = self._key(ids).alias("id").to_frame()
        codes: NDArray[np.int32] = asked.join(self.known, on="id", how="left", maintain_order="left")["code"].to_numpy()
        return codes

    def _key(self, ids: pl.Series) -> pl.Series:
        """Returns what is compared: numbers, where all ids are, take half the time of text."""
        return ids.cast(pl.Int64) if self.whole else ids


def _are_whole(ids: pl.Series) -> bool:
    return bool(ids.str.contains(INTEGER).all())


def _records(batch: pl.DataFrame, codes: dict[str, _Codes], record: np.dtype[Any]) -> NDArray[Any]:
    """Turns a piece of the event table into records with indices for ids."""
    records = np.empty(batch.height, dtype=record)
    for name in record.names or ():
        column = batch[name]
        if name in codes:
            records[name] = codes[name](column)
        elif name == "part":
            part = column.replace_strict(list(PARTS), list(range(len(PARTS))), return_dtype=pl.UInt8)
            records[name] = part.to_numpy()
        elif name == "value":
            records[name] = column.cast(pl.Float32).fill_null(float("nan")).to_numpy()
        else:
            records[name] = column.to_numpy()
    return records


def _deal(records: NDArray[Any], first_users: NDArray[np.int64], streams: Sequence[BinaryIO]) -> None:
    # Sixteen bits are sorted in one pass.
    bucket = (np.searchsorted(first_users, records["user"], side="right") - 1).astype(np.uint16)
    records = _take(records, np.argsort(bucket, kind="stable"))
    ends = np.cumsum(np.bincount(bucket, minlength=len(streams)))
    for stream, part in zip(streams, np.split(records, ends[:-1]), strict=True):
        stream.write(part.data if len(part) else b"")


def _take(records: NDArray[Any], index: NDArray[Any]) -> NDArray[Any]:
    """Returns records in an order, each moved as one run of bytes: numpy moves their fields one by one."""
    moved = records.view(np.uint8).reshape(len(records), records.itemsize).take(index, axis=0)
    return moved.view(records.dtype).reshape(-1)


def _order(records: NDArray[Any], ties: TieOrder) -> NDArray[Any]:
    """Returns the order of a bucket's events by user, time and tie."""
    user, time = records["user"].astype(np.int64), records["time"]
    user -= user.min()
    first, span = int(time.min()), int(time.max()) - int(time.min()) + 1
    # One key sorts in half the time of two.
    packed = span * (int(user.max()) + 1) < 2**63
    keys = {"user and time": user * span + (time - first)} if packed else {"user": user, "time": time}
    table = pl.DataFrame({name: np.ascontiguousarray(key) for name, key in {**keys, **ties.keys(records)}.items()})
    return table.select(pl.arg_sort_by(*table.columns)).to_series().to_numpy()


def _mixed(row: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Returns a pseudo-random number for each row (SplitMix64; Steele et al. 2014), whatever its neighbours are."""
    start = np.uint64((seed * 0x9E3779B97F4A7C15) % 2**64)
    with np.errstate(over="ignore"):
        z = (row.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + start
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (z ^ (z >> np.uint64(31))).view(np.int64)


class _Column:
    """An array written to a file piece by piece, then opened memory-mapped."""

    def __init__(self, file: Path, dtype: Any, length: int) -> None:
        self.file, self.dtype = file, np.dtype(dtype)
        self.stream = file.open("wb")
        header = {"descr": self.dtype.str, "fortran_order": False, "shape": (length,)}
        np.lib.format.write_array_header_1_0(self.stream, header)

    def append(self, piece: NDArray[Any]) -> None:
        """Writes a piece."""
        self.stream.write(np.ascontiguousarray(piece, dtype=self.dtype).data)

    def finish(self) -> NDArray[Any]:
        """Opens the array."""
        self.stream.close()
        array: NDArray[Any] = np.load(self.file, mmap_mode="r")
        return array


def _describe(column: str, known: pl.DataFrame, table: nw.DataFrame[Any] | None) -> pl.DataFrame:
    ids = known.select(column)
    return ids if table is None else ids.join(table.to_polars(), on=column, how="left", maintain_order="left")
