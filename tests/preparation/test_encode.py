from collections.abc import Callable

import narwhals as nw
import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ltsi.engines.polars import Polars
from ltsi.errors import ConfigError, DataError
from ltsi.events import Events
from ltsi.preparation.encode import TieOrder, encode

MakeEvents = Callable[..., Events]


def test_events_are_sorted_by_user_time_and_row(event_table: MakeEvents, engine: Polars) -> None:
    encoded = encode(event_table([("b", "y", 5), ("a", "z", 9), ("b", "x", 5), ("a", "x", 3), ("b", "x", 1)]), engine)
    assert encoded.users["user"].to_list() == ["a", "b"]
    assert encoded.items["item"].to_list() == ["x", "y", "z"]
    events = encoded.events
    assert events.offsets.tolist() == [0, 2, 5]
    assert events.time.tolist() == [3, 9, 1, 5, 5]
    assert events.item.tolist() == [0, 2, 0, 1, 0]  # of the same time, y came before x in the file
    assert encoded.row.tolist() == [4, 2, 5, 1, 3]


@pytest.mark.parametrize(
    ("ids", "order"),
    [
        (["10", "9", "-1", "0"], ["-1", "0", "9", "10"]),
        (["10", "9", "9a"], ["10", "9", "9a"]),  # one text makes all of them text
        (["10", "09", "1"], ["09", "1", "10"]),  # '09' is not a number: it may differ from '9'
        (["é", "z", "A", "a"], ["A", "a", "z", "é"]),
    ],
)
def test_ids_are_ordered_as_numbers_if_all_are_integers(
    event_table: MakeEvents, engine: Polars, ids: list[str], order: list[str]
) -> None:
    encoded = encode(event_table([(0, name, 1) for name in ids]), engine)
    assert encoded.items["item"].to_list() == order
    assert [order[code] for code in encoded.events.item] == ids


def test_behaviors_and_values_stay_with_their_events(event_table: MakeEvents, engine: Polars) -> None:
    rows = [("a", "x", 3), ("a", "x", 1), ("a", "y", 2)]
    events = encode(event_table(rows, behavior=["view", "buy", "view"], value=[1.5, None, 3.0]), engine).events
    assert events.behaviors == ("buy", "view")
    assert events.behavior.tolist() == [0, 1, 1]
    assert events.value is not None
    assert np.array_equal(events.value, [np.nan, 3.0, 1.5], equal_nan=True)
    assert {name: str(array.dtype) for name, array in events.arrays().items()} == {
        "offsets": "int64", "item": "int32", "time": "int64", "behavior": "uint8", "value": "float32",
    }  # fmt: skip


def test_facts_about_items_and_users_follow_the_codes(event_table: MakeEvents, engine: Polars) -> None:
    items = nw.from_native(pl.DataFrame({"item": ["z", "never", "x"], "price": [3.0, 9.0, 1.0]}), eager_only=True)
    users = nw.from_native(pl.DataFrame({"user": ["b", "a"], "age": [20, 30]}), eager_only=True)
    encoded = encode(event_table([("a", "x", 1), ("b", "y", 1), ("b", "z", 2)]), engine, items, users)
    assert encoded.items.rows() == [("x", 1.0), ("y", None), ("z", 3.0)]
    assert encoded.users.rows() == [("a", 30), ("b", 20)]


def test_too_many_behaviors_are_refused(event_table: MakeEvents, engine: Polars) -> None:
    rows = [("a", "x", n) for n in range(257)]
    with pytest.raises(DataError, match=r"257 behaviours, at most 256 .* source\.columns\.behavior"):
        encode(event_table(rows, behavior=[f"kind {n}" for n in range(257)]), engine)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(st.integers(0, 5), st.text("ab1", min_size=1, max_size=2), st.integers(0, 9)), min_size=1)
)
def test_decoding_gives_the_events_back(engine: Polars, rows: list[tuple[int, str, int]]) -> None:
    table = pl.DataFrame(rows, schema=["user", "item", "time"], orient="row").with_columns(
        user=pl.col("user").cast(pl.String), behavior=pl.lit("view"), row=pl.int_range(1, len(rows) + 1)
    )
    encoded = encode(nw.from_native(table.lazy()), engine)
    events = encoded.events
    users = np.repeat(encoded.users["user"].to_numpy(), np.diff(events.offsets))
    decoded = zip(users, encoded.items["item"].to_numpy()[events.item], events.time, encoded.row, strict=True)
    assert sorted(decoded, key=lambda event: event[3]) == [
        (str(user), item, time, row) for row, (user, item, time) in enumerate(rows, start=1)
    ]
    order = list(zip(users, events.time, encoded.row, strict=True))
    assert order == sorted(order)


def test_a_log_of_many_buckets_is_the_log_of_one(
    event_table: MakeEvents, engine: Polars, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    rows = [(int(random.integers(40)), int(random.integers(9)), int(random.integers(5))) for _ in range(2_000)]
    one = encode(event_table(rows), engine)
    monkeypatch.setattr("ltsi.preparation.encode.BUCKET_EVENTS", 150)
    many = encode(event_table(rows), engine)
    assert np.array_equal(one.row, many.row)
    for name, array in one.events.arrays().items():
        assert np.array_equal(array, many.events.arrays()[name]), name
    assert not list(engine.folder.glob("bucket*"))


def test_ties_are_ordered_as_asked(event_table: MakeEvents, engine: Polars) -> None:
    rows = [("a", str(9 - n), 5) for n in range(9)] + [("a", "0", 6)]
    by_file, by_item = (encode(event_table(rows), engine, ties=TieOrder(by)).events for by in ("file", "item"))
    assert by_file.item.tolist() == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert by_item.item.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]
    one, again, other = (encode(event_table(rows), engine, ties=TieOrder("shuffle", seed)).events for seed in (1, 1, 2))
    assert one.item.tolist() == again.item.tolist()
    assert one.item.tolist() != other.item.tolist()
    assert sorted(one.item[:9].tolist()) == list(range(1, 10))
    assert one.item[9] == 0
    with pytest.raises(ConfigError, match=r"ties=random must be one of: file, shuffle, item"):
        TieOrder("random")


def test_a_shuffle_is_fair(event_table: MakeEvents, engine: Polars) -> None:
    """Of two events of one time, each comes first in half of the cases, within four standard errors."""
    rows = [(user, item, 0) for user in range(4_000) for item in ("x", "y")]
    events = encode(event_table(rows), engine, ties=TieOrder("shuffle")).events
    assert abs(int((events.item[::2] == 0).sum()) - 2_000) < 4 * (4_000 * 0.25) ** 0.5


def test_parts_of_the_users_own_split_are_kept(event_table: MakeEvents, engine: Polars) -> None:
    rows = [("a", "x", 3), ("a", "y", 1), ("b", "x", 2)]
    events = encode(event_table(rows, part=["test", "train", "valid"]), engine).events
    assert events.part is not None
    assert events.part.tolist() == [0, 2, 1]


def test_times_may_span_all_of_int64(event_table: MakeEvents, engine: Polars) -> None:
    events = encode(event_table([("a", "x", 2**63 - 1), ("b", "x", 5), ("a", "y", -(2**63) + 1)]), engine).events
    assert events.time.tolist() == [-(2**63) + 1, 2**63 - 1, 5]
