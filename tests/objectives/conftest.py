"""Logs with behaviours, values and features, small enough for a naive loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ltsi.store import EncodedEvents, Store
from ltsi.store_writer import write_store

BEHAVIORS = ("view", "cart", "buy")
N_ITEMS = 42


@pytest.fixture
def make_log(tmp_path: Path) -> Callable[..., Store]:
    """Return a function that writes a store from `(item, time, behavior)` events, one list a user."""

    def make(*users: Sequence[tuple[int, int, str]], value: Sequence[float] | None = None) -> Store:
        events = [event for user in users for event in user]
        item, time, behavior = zip(*events, strict=True)
        arrays = EncodedEvents(
            offsets=np.cumsum([0, *map(len, users)]),
            item=np.array(item, dtype=np.int32),
            time=np.array(time, dtype=np.int64),
            behavior=np.array([BEHAVIORS.index(name) for name in behavior], dtype=np.uint8),
            value=None if value is None else np.array(value, dtype=np.float32),
            behaviors=BEHAVIORS,
        )
        return write_store(
            tmp_path / "log",
            arrays,
            items=pl.DataFrame({"item": [f"i{i}" for i in range(N_ITEMS)], "category": list("abc" * 14)}),
            users=pl.DataFrame({"user": [f"u{u}" for u in range(len(users))], "segment": list("xy" * len(users))[::2]}),
            manifest={"time": {"clock": True}},
        )

    return make


@pytest.fixture
def random_log(make_log: Callable[..., Store]) -> Store:
    """Write a log of 20 users who do this and that to items, now and then several things at once."""
    random, users = np.random.default_rng(5), []
    for length in random.integers(4, 25, 20):
        time = 1_700_000_000 + np.cumsum(random.choice([0, 60, 5_000, 90_000], length))
        item, behavior = random.integers(0, N_ITEMS, length), random.choice(BEHAVIORS, length, p=[0.5, 0.2, 0.3])
        users.append([(int(i), int(t), str(b)) for i, t, b in zip(item, time, behavior, strict=True)])
    return make_log(*users)
