"""Logs with behaviours and with a split of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ltsi.store import EncodedEvents, Store
from ltsi.store_writer import write_store

BEHAVIORS = ("view", "cart", "buy")


@pytest.fixture
def make_log(tmp_path: Path) -> Callable[..., Store]:
    """Return a function that writes a store from `(item, time, behavior)` events, one list a user."""

    def make(*users: Sequence[tuple[int, int, str]], part: Sequence[int] | None = None, n_items: int = 10) -> Store:
        events = [event for user in users for event in user]
        arrays = EncodedEvents(
            offsets=np.cumsum([0, *map(len, users)]),
            item=np.array([item for item, _, _ in events], dtype=np.int32),
            time=np.array([time for _, time, _ in events], dtype=np.int64),
            behavior=np.array([BEHAVIORS.index(name) for _, _, name in events], dtype=np.uint8),
            value=np.arange(len(events), dtype=np.float32),
            part=None if part is None else np.array(part, dtype=np.uint8),
            behaviors=BEHAVIORS,
        )
        tables = {"items": pl.DataFrame({"item": [str(i) for i in range(n_items)]})}
        tables["users"] = pl.DataFrame({"user": [f"u{i}" for i in range(len(users))]})
        return write_store(tmp_path / "log", arrays, **tables, manifest={"time": {"clock": True}})

    return make


@pytest.fixture(scope="session")
def random_log() -> Callable[[int], Store]:
    """Return a function that draws a log of 15 users with ties, sessions, behaviours and a split of its own."""

    def draw(seed: int) -> Store:
        random = np.random.default_rng(seed)
        length = random.integers(0, 40, 15)
        offsets = np.concatenate([[0], np.cumsum(length)])
        gap = np.split(random.choice([0, 60, 5_000, 90_000], offsets[-1]), offsets[1:-1])
        return Store(
            path=Path("log"),
            manifest={"behaviors": BEHAVIORS, "counts": {"items": 8}, "time": {"clock": True}},
            offsets=offsets,
            item=random.integers(0, 8, offsets[-1]).astype(np.int32),
            time=np.concatenate([random.integers(0, 500_000) + np.cumsum(gaps) for gaps in gap]),
            behavior=random.integers(0, len(BEHAVIORS), offsets[-1]).astype(np.uint8),
            part=np.concatenate([np.sort(random.choice(3, n, p=[0.6, 0.2, 0.2])) for n in length]).astype(np.uint8),
        )

    return draw
