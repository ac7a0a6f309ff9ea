"""What tells two stores apart: a digest of everything in a store that a result may depend on.

Paths, times of preparing, engines and versions of libraries do not matter, so tables are digested by their values, not
by the bytes of their files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from hashlib import _Hash

SLICE_ROWS = 1_000_000  # of a table that are digested at a time; fixed, as the digest depends on it


def fingerprint(
    arrays: Mapping[str, Mapping[str, Any]],
    tables: Mapping[str, pl.DataFrame],
    behaviors: Sequence[str],
    roles: Mapping[str, Mapping[str, Any]],
    *,
    clock: bool,
) -> str:
    """Returns the digest of a store.

    Args:
        arrays: the sha256 of each array of events, by name; they have been read already.
        tables: the item and the user table, by name.
        behaviors: names of the behaviours, in the order of their indices.
        roles: weight and role of behaviours by name; what is not declared is the default.
        clock: whether times are times.
    """
    digest = hashlib.sha256()
    meaning = [[name, *_declared(roles.get(name, {}))] for name in behaviors]
    _add(digest, json.dumps({"clock": clock, "behaviors": meaning}))
    for stem in sorted(arrays):
        _add(digest, f"{stem}:{arrays[stem]['sha256']}")
    for name, table in tables.items():
        _add(digest, f"{name}:{table.height}")
        for column in table.iter_columns():
            _add(digest, f"{column.name}:{_kind(column.dtype)}")
            for start in range(0, table.height, SLICE_ROWS):
                _add_values(digest, column.slice(start, SLICE_ROWS))
    return digest.hexdigest()


def _declared(role: Mapping[str, Any]) -> tuple[float, str]:
    return float(role.get("weight", 1.0)), str(role.get("role", "both"))


def _kind(dtype: pl.DataType) -> str:
    """Returns a type by name; text is text however an engine stores it."""
    return "String" if isinstance(dtype, (pl.String, pl.Categorical, pl.Enum)) else str(dtype)


def _add_values(digest: _Hash, column: pl.Series) -> None:
    """Digests the values of a column: which are missing, how long texts and lists are, and what is in them."""
    _add(digest, np.packbits(column.is_null().to_numpy()).tobytes())
    if isinstance(column.dtype, (pl.List, pl.Array)):
        lists = column.cast(pl.List(column.dtype.inner))
        _add(digest, lists.list.len().fill_null(0).cast(pl.UInt32).to_numpy().tobytes())
        _add_values(digest, lists.filter(lists.list.len() > 0).explode())
    elif column.dtype.is_temporal() or (column.dtype.is_numeric() and not column.dtype.is_decimal()):
        _add(digest, column.to_physical().fill_null(0).to_numpy().tobytes())
    else:
        text = column.bin.encode("hex") if column.dtype == pl.Binary else column.cast(pl.String)
        _add(digest, text.str.len_bytes().fill_null(0).to_numpy().tobytes())
        _add(digest, text.str.join("")[0])


def _add(digest: _Hash, part: str | bytes) -> None:
    """Digests a part after its length, so that nothing can move from one part to the next."""
    data = part.encode() if isinstance(part, str) else part
    digest.update(len(data).to_bytes(8, "little"))
    digest.update(data)
