from collections import Counter
from collections.abc import Callable
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltsi.errors import ConfigError, DataError
from ltsi.events import Events, Step
from ltsi.preparation.clean import DropDuplicates, KCore, clean

MakeEvents = Callable[..., Events]


def rows(events: Events) -> list[Any]:
    return events.sort("row").collect()["row"].to_list()


def test_the_first_of_equal_events_is_kept(event_table: MakeEvents) -> None:
    events = event_table(
        [("a", "x", 1), ("a", "x", 1), ("a", "x", 2), ("a", "y", 1), ("b", "x", 1), ("a", "x", 1)],
        behavior=["view", "view", "view", "view", "view", "buy"],
    )
    assert rows(DropDuplicates()(events)) == [1, 3, 4, 5, 6]


def test_the_core_is_a_fixed_point(event_table: MakeEvents) -> None:
    # z falls out first (one event), which leaves c with one event, which leaves y with one, which leaves b with one.
    events = event_table([
        ("a", "x", 1), ("a", "x", 2), ("b", "x", 1), ("b", "y", 2), ("c", "y", 1), ("c", "z", 2),
    ])  # fmt: skip
    assert rows(KCore(user=2, item=2)(events)) == [1, 2]


@given(
    pairs=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=40),
    user=st.integers(1, 4),
    item=st.integers(1, 4),
)
def test_the_core_is_the_largest_set_that_fulfils_both_minima(
    pairs: list[tuple[int, int]], user: int, item: int
) -> None:
    kept = set(range(len(pairs)))
    while True:
        users, items = Counter(pairs[i][0] for i in kept), Counter(pairs[i][1] for i in kept)
        left = {i for i in kept if users[pairs[i][0]] >= user and items[pairs[i][1]] >= item}
        if left == kept:
            break
        kept = left
    table = pl.DataFrame({
        "user": [str(pair[0]) for pair in pairs], "item": [str(pair[1]) for pair in pairs], "row": range(len(pairs)),
    })  # fmt: skip
    assert rows(KCore(user, item)(nw.from_native(table.lazy()))) == sorted(kept)


def test_steps_run_in_order_and_are_counted(event_table: MakeEvents) -> None:
    events = event_table([("a", "x", 1), ("a", "x", 1), ("b", "x", 1), ("b", "y", 2)])
    cleaned, report = clean(events, {"duplicates": DropDuplicates(), "k_core": KCore(user=1, item=2)})
    assert rows(cleaned) == [1, 3]
    assert report == [Step("duplicates", dropped=1, left=3), Step("k_core", dropped=1, left=2)]


def test_no_steps_keep_everything(event_table: MakeEvents) -> None:
    cleaned, report = clean(event_table([("a", "x", 1)]), {})
    assert rows(cleaned) == [1]
    assert report == []


def test_a_step_that_leaves_nothing_is_refused(event_table: MakeEvents) -> None:
    with pytest.raises(DataError, match=r"'k_core' \(KCore\(user=3, item=5\)\) leaves none of 2 events"):
        clean(event_table([("a", "x", 1), ("a", "y", 1)]), {"k_core": KCore(user=3)})


def test_minima_below_one_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"clean\.k_core\.user=0 must be at least 1"):
        KCore(user=0)
