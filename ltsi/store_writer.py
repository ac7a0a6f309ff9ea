"""Writing a store so that it is either wholly there or not there at all.

One process at a time writes a store: the others wait. What a killed one left behind is hidden, and removed by the next.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ltsi import __version__
from ltsi.errors import DataError
from ltsi.locks import let_go, take
from ltsi.store import (
    ARRAY_DTYPES,
    OPTIONAL_DTYPES,
    SCHEMA_VERSION,
    EncodedEvents,
    Store,
    open_store,
    user_blocks,
)
from ltsi.store_fingerprint import fingerprint

if TYPE_CHECKING:
    import polars as pl

log = logging.getLogger(__name__)


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Holds a store's place against other processes, and cleans up what killed ones left there.

    Args:
        path: the store's folder.

    Yields:
        A hidden folder beside it for temporary files, removed at the end.

    Raises:
        DataError: the folder cannot be written, or there is no room for what is done inside.
    """
    missing = [folder for folder in (path.parent, *path.parent.parents) if not folder.exists()]
    waiting = f"Another process prepares store '{path.name}'; waiting for it."
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = take(path.with_name(f".{path.name}.lock"), lambda: log.info(waiting))
    except OSError as error:
        raise _unwritable(path, error) from error
    folder = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        _clean_up(path)
        folder.mkdir()
        yield folder
    except Exception as error:
        if (reason := _no_room(error)) is None:
            raise
        advice = "free some room, or set LTSI_DATA to a folder with more"
        raise DataError(f"Store {path} could not be written: {reason}; {advice}.") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        let_go(lock)
        with suppress(OSError):
            for created in missing:
                created.rmdir()  # only what is empty: nothing was written


def write_store(
    path: Path,
    events: EncodedEvents,
    *,
    items: pl.DataFrame,
    users: pl.DataFrame,
    manifest: Mapping[str, Any],
    truth: pl.DataFrame | None = None,
) -> Store:
    """Writes a store so that it is either wholly there or not there at all.

    Args:
        path: the folder to create; an existing store there is replaced in one step.
        events: the events.
        items: row i describes item index i, first column `item`.
        users: row u describes user index u, first column `user`.
        manifest: what to record beside the facts this function adds (schema, counts, time span, arrays, fingerprint,
            tool version). Must hold `time.clock` (bool).
        truth: what a synthetic source planted.

    Returns:
        The store, opened.

    Raises:
        DataError: the folder cannot be written (disk full, permissions).
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    dtypes = ARRAY_DTYPES | OPTIONAL_DTYPES
    try:
        partial.mkdir(parents=True)
        facts = {}
        for stem, array in events.arrays().items():
            contiguous = np.ascontiguousarray(array, dtype=dtypes[stem])
            np.save(partial / f"{stem}.npy", contiguous)
            digest = hashlib.sha256(contiguous.data).hexdigest()
            facts[stem] = {"dtype": str(contiguous.dtype), "shape": list(contiguous.shape), "sha256": digest}
        tables = {"items": items, "users": users} | ({} if truth is None else {"truth": truth})
        for stem, table in tables.items():
            table.write_parquet(partial / f"{stem}.parquet")
        full = _complete_manifest(path.name, events, items, users, manifest, facts)
        (partial / "manifest.json").write_text(json.dumps(full, indent=2, default=str) + "\n", encoding="utf-8")
        _swap_into_place(partial, path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return open_store(str(path.absolute()))


def _complete_manifest(
    name: str,
    events: EncodedEvents,
    items: pl.DataFrame,
    users: pl.DataFrame,
    given: Mapping[str, Any],
    facts: dict[str, Any],
) -> dict[str, Any]:
    has_events = len(events.time) > 0
    return {
        **given,
        "schema": SCHEMA_VERSION,
        "name": name,
        "tool_version": __version__,
        "behaviors": list(events.behaviors),
        "counts": {
            "users": len(events.offsets) - 1,
            "items": items.height,
            "events": len(events.item),
            "repeats": _count_repeats(events),
        },
        "time": {
            **given["time"],
            "first": int(events.time.min()) if has_events else None,
            "last": int(events.time.max()) if has_events else None,
        },
        "arrays": facts,
        "fingerprint": fingerprint(
            facts,
            {"items": items, "users": users},
            events.behaviors,
            given.get("roles", {}),
            clock=given["time"]["clock"],
        ),
    }


def _count_repeats(events: EncodedEvents) -> int:
    """Counts events whose user had the same item before."""
    import polars as pl

    repeats = 0
    for first, last in user_blocks(events.offsets):
        rows = slice(events.offsets[first], events.offsets[last])
        user = np.repeat(np.arange(last - first), np.diff(events.offsets[first : last + 1]))
        pairs = user.astype(np.int64) << 32 | events.item[rows]
        repeats += len(pairs) - pl.Series(pairs).n_unique()
    return repeats


def _swap_into_place(partial: Path, path: Path) -> None:
    if path.exists():
        retired = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.retired")
        path.rename(retired)
        partial.rename(path)
        shutil.rmtree(retired)
    else:
        partial.rename(path)


def _clean_up(path: Path) -> None:
    """Removes what a killed process left; a store that was only moved aside moves back."""
    for retired in path.parent.glob(f".{path.name}.????????.retired"):
        if path.exists():
            shutil.rmtree(retired)
        else:
            retired.rename(path)
    for partial in path.parent.glob(f".{path.name}.????????.partial"):
        shutil.rmtree(partial)


def _no_room(error: BaseException | None) -> str | None:
    """Returns why nothing more can be written, if that lies behind an error; what reads a file may have blamed it."""
    seen: set[int] = set()
    # An error raised again may be behind itself.
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            # Engines raise errors of their own, with the system's sentence inside.
            if os.strerror(code) in str(error):
                return os.strerror(code)
        error = error.__cause__ or error.__context__
    return None


def _unwritable(path: Path, error: OSError) -> DataError:
    return DataError(f"Store {path} could not be written: {error.strerror or error} ({error.filename}).")
