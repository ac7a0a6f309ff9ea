"""Stores written by hand."""

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
import pytest

from ltsi.store import EncodedEvents, Store, store_path, write_store

MakeStore = Callable[..., Store]


@pytest.fixture
def make_store() -> MakeStore:
    """Return a function that writes a store from `(item, time)` events, one list a user."""

    def make(*users: Sequence[tuple[int, int]], clock: bool = True) -> Store:
        events = [event for user in users for event in user]
        item, time = np.array(events).reshape(-1, 2).T
        arrays = EncodedEvents(
            offsets=np.cumsum([0, *map(len, users)]),
            item=item.astype(np.int32),
            time=time.astype(np.int64),
            behavior=np.zeros(len(item), dtype=np.uint8),
        )
        return write_store(
            store_path("log"),
            arrays,
            items=pl.DataFrame({"item": [str(i) for i in range(item.max() + 1)]}),
            users=pl.DataFrame({"user": [str(u) for u in range(len(users))]}),
            manifest={"time": {"clock": clock}},
        )

    return make
