from collections import Counter
from collections.abc import Callable

import narwhals as nw
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltsi.errors import ConfigError
from ltsi.events import Events
from ltsi.preparation.cleaning.k_core import KCore

Apply = Callable[..., dict[int, float | None]]


def test_the_core_is_a_fixed_point(apply: Apply) -> None:
    # z falls out first (one event), which leaves c with one event, which leaves y with one, which leaves b with one.
    rows = [("a", "x", 1), ("a", "x", 2), ("b", "x", 1), ("b", "y", 2), ("c", "y", 1), ("c", "z", 2)]
    assert list(apply(KCore(user=2, item=2), rows)) == [1, 2]


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
    core = KCore(user, item).iterate(nw.from_native(table.lazy()), lambda frame: frame.collect().lazy())
    assert core.collect()["row"].to_list() == sorted(kept)


def test_each_round_stages_ids_only() -> None:
    staged = []

    def stage(frame: Events) -> Events:
        staged.append(frame.collect_schema().names())
        return frame.collect().lazy()

    # A chain of three users: each round only takes one end off, an item that one user has.
    table = pl.DataFrame({"user": ["a", "a", "b", "b", "c", "c"], "item": ["u", "v", "v", "w", "w", "x"]})
    core = KCore(user=2, item=2).iterate(nw.from_native(table.lazy()), stage)
    assert len(core.collect()) == 0
    assert staged == [["user"], ["item"]] * 5


@pytest.mark.parametrize("key", ["user", "item"])
def test_minima_below_one_are_refused(key: str) -> None:
    with pytest.raises(ConfigError, match=rf"clean\.k_core\.{key}=0 must be at least 1\."):
        KCore(**{key: 0})
