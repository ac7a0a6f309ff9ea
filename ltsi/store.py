"""A prepared data set: written atomically, opened memory-mapped.

A store is a folder:

```
manifest.json    what it is, where it came from, what was found in it, what every array must look like
offsets.npy      int64 (users + 1): the events of user u are rows offsets[u] .. offsets[u + 1]
item.npy         int32 (events): dense item index
time.npy         int64 (events): seconds since epoch UTC; the position in the user's sequence if the log has no clock
behavior.npy     uint8 (events): index into manifest["behaviors"]
value.npy        float32 (events), only if the source has a value; NaN where an event has none
part.npy         uint8 (events), only if the source has parts of its own: index into PARTS
items.parquet    row i describes item index i; column `item` is the original id
users.parquet    row u describes user index u; column `user` is the original id
truth.parquet    only for synthetic sources: what was planted
```

Events are sorted by (user, time, order of ties: the manifest says which); fractions of a second, which are not stored,
were part of the time then.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ltsi.errors import DataError, did_you_mean

if TYPE_CHECKING:
    import polars as pl

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
ARRAY_DTYPES = {"offsets": np.int64, "item": np.int32, "time": np.int64, "behavior": np.uint8}
OPTIONAL_DTYPES = {"value": np.float32, "part": np.uint8}
PARTS = ("train", "valid", "test")
"""Parts of the user's own split, indexed by `part`."""

TIES = {"file": "the file's", "shuffle": "random (ties=shuffle)", "item": "that of the items (ties=item)"}
"""Orders of a user's events of one time, and whose they are in words."""

DAMAGED = "the store is damaged; prepare it again"
NO_CLOCK = "this log has an order but no clock"
NO_LABEL = "(none)"


@dataclass(frozen=True)
class EncodedEvents:
    """Events with dense ids, sorted by (user, time, file order), ready to be written.

    Attributes:
        offsets: int64 `(users + 1,)`; rows of user `u` are `offsets[u]:offsets[u + 1]`.
        item: int32 `(events,)`, dense item index.
        time: int64 `(events,)`, seconds since epoch, or position where there is no clock.
        behavior: uint8 `(events,)`, index into `behaviors`.
        value: float32 `(events,)` or None.
        part: uint8 `(events,)`, index into `PARTS`, or None.
        behaviors: names of the behaviours.
    """

    offsets: NDArray[np.int64]
    item: NDArray[np.int32]
    time: NDArray[np.int64]
    behavior: NDArray[np.uint8]
    value: NDArray[np.float32] | None = None
    part: NDArray[np.uint8] | None = None
    behaviors: tuple[str, ...] = ("interaction",)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Returns the arrays to store by file stem."""
        found = {name: getattr(self, name) for name in ARRAY_DTYPES | OPTIONAL_DTYPES}
        return {name: array for name, array in found.items() if array is not None}


@dataclass(frozen=True)
class Store:
    """A prepared data set, opened read-only. See the module's docstring for the arrays.

    Attributes:
        path: the folder.
        manifest: the parsed `manifest.json`.
    """

    path: Path
    manifest: Mapping[str, Any]
    offsets: NDArray[np.int64] = field(repr=False)
    item: NDArray[np.int32] = field(repr=False)
    time: NDArray[np.int64] = field(repr=False)
    behavior: NDArray[np.uint8] = field(repr=False)
    value: NDArray[np.float32] | None = field(repr=False, default=None)
    part: NDArray[np.uint8] | None = field(repr=False, default=None)

    @property
    def name(self) -> str:
        """Name of the store, the folder's name."""
        return self.path.name

    @property
    def n_users(self) -> int:
        """Number of users."""
        return len(self.offsets) - 1

    @property
    def n_items(self) -> int:
        """Number of items in the catalogue."""
        return int(self.manifest["counts"]["items"])

    @property
    def n_events(self) -> int:
        """Number of events."""
        return len(self.item)

    @property
    def has_clock(self) -> bool:
        """Whether `time` is a time; if not, it is a position."""
        return bool(self.manifest["time"]["clock"])

    @property
    def tie_order(self) -> str:
        """Whose the order of a user's events of one time is, in words."""
        order = TIES[self.manifest.get("ties", "file")]
        finer = self.manifest["time"].get("fractions", False)
        return f"that of their fractions of a second, and then {order}" if finer else order

    @property
    def has_repeats(self) -> bool:
        """Whether some user has the same item more than once."""
        return bool(self.manifest["counts"]["repeats"])

    @property
    def fingerprint(self) -> str:
        """Digest of what results depend on: events, ids, behaviours with weights and roles, item and user tables."""
        return str(self.manifest["fingerprint"])

    @property
    def behaviors(self) -> tuple[str, ...]:
        """Names of the behaviours, indexed by `behavior`."""
        return tuple(self.manifest["behaviors"])

    @property
    def behavior_weight(self) -> NDArray[np.float64]:
        """What an event counts in popularity, by its behaviour, `(behaviors,)`; 1 if nothing was declared."""
        return np.array([self._role(name).get("weight", 1.0) for name in self.behaviors])

    def behaviors_in_role(self, role: str) -> tuple[str, ...]:
        """Returns the behaviours that were declared for a role, or for both; all of them if nothing was declared.

        Args:
            role: `input` or `target`.
        """
        return tuple(name for name in self.behaviors if self._role(name).get("role", "both") in {role, "both"})

    def _role(self, behavior: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.manifest.get("roles", {}).get(behavior, {})
        return found

    @cached_property
    def items(self) -> pl.DataFrame:
        """Item table, one row an item index, column `item` is the original id."""
        return _read_table(self.path / "items.parquet")

    @cached_property
    def users(self) -> pl.DataFrame:
        """User table, one row a user index, column `user` is the original id."""
        return _read_table(self.path / "users.parquet")

    @property
    def truth(self) -> pl.DataFrame | None:
        """What a synthetic source planted, or None."""
        path = self.path / "truth.parquet"
        return _read_table(path) if path.exists() else None

    def item_codes(self, column: str) -> tuple[NDArray[np.int32], list[str]]:
        """Codes a column of the item table.

        Args:
            column: a categorical column of `items`.

        Returns:
            int32 `(items,)` codes and the label of each code, sorted; missing values are labelled "(none)", and a list
            of values is one label, such as "Comedy, Drama".

        Raises:
            DataError: the item table has no such column.
        """
        if column not in self.items.columns:
            known = ", ".join(self.items.columns)
            raise DataError(f"The items of store '{self.name}' have no column '{column}'; they have: {known}.")
        text = [_label(value) for value in self.items[column].to_list()]
        labels, codes = np.unique(np.asarray(text, dtype=np.str_), return_inverse=True)
        return codes.astype(np.int32), [str(label) for label in labels]

    def require_clock(self, purpose: str, otherwise: str = "") -> None:
        """Refuses what cannot be done without a clock.

        Args:
            purpose: what needs it, as the subject of a sentence: "decay-fit", "split=global_time".
            otherwise: what to do if there are no times to be had: "set model.times=false to train without them".

        Raises:
            DataError: the store has no clock.
        """
        if not self.has_clock:
            raise DataError(
                f"{purpose} needs times, and {NO_CLOCK} (store '{self.name}'); "
                "prepare it from a source with times (source.times=FILE or source.columns.time=COLUMN)"
                f"{otherwise and f', or {otherwise}'}."
            )


def data_root() -> Path:
    """Returns the folder of raw and prepared data: `$LTSI_DATA`, else `./data`."""
    return Path(os.environ.get("LTSI_DATA") or "data")


def store_path(name: str) -> Path:
    """Returns where a store lies, given its name or its path (anything with a separator)."""
    return Path(name) if os.sep in name or name in {".", ".."} else data_root() / "prepared" / name


def available_stores() -> list[str]:
    """Returns the names of the stores under the data root."""
    folder = data_root() / "prepared"
    return sorted(p.parent.name for p in folder.glob("*/manifest.json") if not p.parent.name.startswith("."))


def open_store(name: str) -> Store:
    """Opens a store memory-mapped; costs no memory and does not read the events.

    Args:
        name: a store's name under the data root, or a path.

    Returns:
        The store.

    Raises:
        DataError: there is no such store, or its files do not match its manifest.
    """
    path = store_path(name)
    manifest_file = path / MANIFEST
    if not manifest_file.is_file():
        raise DataError(_missing_store(name, path))
    try:
        manifest = json.loads(manifest_file.read_text(encoding="utf-8"))
        schema, shapes = manifest["schema"], manifest["arrays"]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise DataError(f"{manifest_file} is not a store's manifest ({error}); prepare the store again.") from error
    if schema != SCHEMA_VERSION:
        raise DataError(f"Store {path} has schema {schema}, this ltsi reads {SCHEMA_VERSION}; prepare the store again.")
    arrays = {stem: _open_array(path, stem, facts) for stem, facts in shapes.items()}
    for table in ("items.parquet", "users.parquet"):
        if not (path / table).is_file():
            raise DataError(f"{path / table} is not there; {DAMAGED}.")
    return Store(path=path, manifest=manifest, **arrays)


def user_blocks(offsets: NDArray[np.int64], max_events: int = 4_000_000) -> Iterator[tuple[int, int]]:
    """Cuts the users into consecutive blocks of bounded size, so that a pass over the events has bounded memory.

    Args:
        offsets: `(users + 1,)`.
        max_events: events in a block; a single user with more is a block alone.

    Yields:
        First and one-past-last user of each block.
    """
    n_users, first = len(offsets) - 1, 0
    while first < n_users:
        last = int(np.searchsorted(offsets, offsets[first] + max_events, side="right")) - 1
        last = min(max(last, first + 1), n_users)
        yield first, last
        first = last


def _open_array(path: Path, stem: str, facts: Mapping[str, Any]) -> NDArray[Any]:
    file = path / f"{stem}.npy"
    try:
        array: NDArray[Any] = np.load(file, mmap_mode="r") if facts["shape"] != [0] else np.load(file)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{file} cannot be read ({error}); {DAMAGED}.") from error
    if list(array.shape) != facts["shape"] or str(array.dtype) != facts["dtype"]:
        raise DataError(
            f"{file} holds {array.dtype}{list(array.shape)} where the manifest says "
            f"{facts['dtype']}{facts['shape']}; {DAMAGED}."
        )
    return array


def _read_table(file: Path) -> pl.DataFrame:
    import polars as pl

    try:
        return pl.read_parquet(file)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{file} cannot be read ({str(error).splitlines()[0]}); {DAMAGED}.") from error


def _label(value: object) -> str:
    """Returns what a value of a categorical column is called."""
    if isinstance(value, list):
        return ", ".join(map(str, value)) or NO_LABEL
    return NO_LABEL if value is None else str(value)


def _missing_store(name: str, path: Path) -> str:
    known = available_stores()
    hint = did_you_mean(name, known)
    stores = f" Prepared stores: {', '.join(known)}." if known else " Nothing is prepared yet."
    return f"There is no store '{name}' ({path}).{hint}{stores} Make it with: ltsi prepare source=... name={path.name}"
