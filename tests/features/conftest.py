"""Splits of logs with item and user tables, small enough to calculate by hand."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pytest

from ltsi.features.declarations import read_declarations
from ltsi.features.encoded import EncodedFeatures
from ltsi.features.encoder import EncodedColumn
from ltsi.features.space import FeatureSpace
from ltsi.sequences.split import Split, Targets
from ltsi.store import EncodedEvents, store_path
from ltsi.store_writer import write_store


@dataclass
class Fitted:
    """What a test looks at."""

    split: Split
    space: FeatureSpace
    features: EncodedFeatures


def targets(*events: tuple[int, int]) -> Targets:
    """Targets from (user, row)."""
    user, row = np.array(events, dtype=np.int64).reshape(-1, 2).T
    return Targets(user, row, row, now=np.zeros_like(row))


@pytest.fixture
def make_split() -> Callable[..., Split]:
    """Return a function that writes a store and cuts each user's last event for the test, the one before for valid."""

    def make(
        *users: Sequence[tuple[int, int]],
        items: Mapping[str, Any],
        of_users: Mapping[str, Any] | None = None,
        clock: bool = True,
        name: str = "log",
    ) -> Split:
        """`(item, time)` events, one list a user; columns of the tables beside the ids."""
        item, time = np.array([event for user in users for event in user]).T
        n_items = len(next(iter(items.values())))
        offsets = np.cumsum([0, *map(len, users)])
        store = write_store(
            store_path(name),
            EncodedEvents(offsets, item.astype(np.int32), time.astype(np.int64), np.zeros(len(item), dtype=np.uint8)),
            items=pl.DataFrame({"item": [f"i{i}" for i in range(n_items)], **items}),
            users=pl.DataFrame({"user": [f"u{u}" for u in range(len(users))], **(of_users or {})}),
            manifest={"time": {"clock": clock}},
        )
        last = offsets[1:] - 1
        return Split(
            store,
            train_end=last - 1,
            valid=targets(*enumerate(last - 1)),
            test=targets(*enumerate(last)),
        )

    return make


@pytest.fixture
def fit_column(make_split: Callable[..., Split]) -> Callable[..., tuple[Fitted, EncodedColumn]]:
    """Return a function that fits one feature of the items, named x; item i has `counts[i]` training events."""

    def fit(values: Any, counts: Sequence[int], declared: Any) -> tuple[Fitted, EncodedColumn]:
        """The fitted feature, and its encoding of each item; the last row is nobody's."""
        trained = [item for item, n in enumerate(counts) for _ in range(n)]
        events = [(item, n * 3_600) for n, item in enumerate([*trained, 0, 0])]
        split = make_split(events, items={"x": values})
        space = FeatureSpace.fit(split, read_declarations({"item": {"x": declared}}, split.store))
        features = space.encode(split.store)
        table = features.item_table
        column = EncodedColumn(
            table.place_IF[:, 0].numpy(),
            table.categorical_IC[:, 0].numpy() if table.categorical_IC.shape[1] else None,
            table.numeric_IN.numpy(),
            (table.tags[0][0].numpy(), table.tags[0][1].numpy()) if table.tags else None,
            table.vector_IV.numpy(),
        )
        return Fitted(split, space, features), column

    return fit
