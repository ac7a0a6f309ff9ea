import gzip
import re
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltsi.engines.polars import Polars
from ltsi.errors import ConfigError, DataError
from ltsi.events import RawData, validate_events
from ltsi.sources.recbole import RecBole

WORK = TemporaryDirectory(prefix="ltsi-test-")
engine = Polars(Path(WORK.name))

FIELDS = {"user": "user_id", "item": "item_id", "time": "timestamp", "behavior": None, "value": "rating"}
INTER = (
    "user_id:token\titem_id:token\trating:float\ttimestamp:float\n196\t242\t3\t881250949\n186\t302\t3.5\t891717742.5\n"
)
ITEM = (
    "item_id:token\ttitle:token_seq\tprice:float\tyear:token\tvector:float_seq\n"
    "242\tKolya Two\t9.5\t1996\t0.5 -1 2e1\n302\t\t\t1995\t\n"
)
USER = "user_id:token\tage:float\tzip_code:token\n196\t49\t05510\n186\tunknown\t\n"

# No separators, quotes or line breaks in ids, as RecBole itself needs.
TOKENS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters='":'), min_size=1)
EVENTS = st.lists(st.tuples(TOKENS, TOKENS, st.integers(10**8, 10**11 - 1), st.floats(-1e6, 1e6)), min_size=1)


def write(folder: Path, files: Mapping[str, str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        data = text.encode()
        (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return folder


def load(path: Path, **settings: Any) -> RawData:
    return RecBole(str(path), **{"columns": FIELDS, **settings}).load(engine)


def rows(raw: RawData, *columns: str) -> list[tuple[Any, ...]]:
    return list(validate_events(raw.events, "log").sort("row").collect().select(*columns).rows())


def test_interactions_items_and_users_are_read_by_their_types(tmp_path: Path) -> None:
    folder = write(tmp_path / "ml", {"ml.inter": INTER, "ml.item": ITEM, "ml.user": USER, "ml.kg": "unread"})
    raw = load(folder)
    assert rows(raw, "user", "item", "time", "behavior", "value") == [
        ("196", "242", 881250949, "interaction", 3.0),
        ("186", "302", 891717742, "interaction", 3.5),
    ]
    assert raw.clock
    assert raw.items is not None
    assert raw.users is not None
    assert raw.items.to_polars().rows() == [
        ("242", ["Kolya", "Two"], 9.5, "1996", [0.5, -1.0, 20.0]),
        ("302", None, None, "1995", None),
    ]
    assert raw.items.to_polars().schema["vector"] == pl.List(pl.Float64)
    assert raw.users.to_polars().rows() == [("196", 49.0, "05510"), ("186", None, None)]
    assert [path.name for path in raw.inputs] == ["ml.inter", "ml.item", "ml.user"]


@pytest.mark.parametrize("path", ["set", "set/set", "set/set.inter.gz"])
def test_a_folder_a_stem_and_a_file_name_the_same_set(tmp_path: Path, path: str) -> None:
    write(tmp_path / "set", {"set.inter.gz": INTER, "set.user.gz": USER})
    raw = load(tmp_path / path)
    assert len(rows(raw, "user")) == 2
    assert raw.items is None
    assert raw.users is not None


@given(events=EVENTS, seq=st.sampled_from(["\t", ","]))
def test_what_was_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[str, str, int, float]], seq: str
) -> None:
    if seq == ",":
        events = [(user.replace(",", "_"), item.replace(",", "_"), *rest) for user, item, *rest in events]  # type: ignore[misc]
    header = ["timestamp:float", "user_id:token", "rating:float", "item_id:token"]
    lines = [seq.join(header), *(seq.join([str(t), u, repr(v), i]) for u, i, t, v in events)]
    path = tmp_path_factory.mktemp("log") / "log.inter"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = rows(load(path, field_separator=seq, time_unit="s"), "user", "item", "time", "value")
    users, items, times, values = zip(*events, strict=True)
    expected = list(zip(_plain(users), _plain(items), times, values, strict=True))
    assert found == expected


def _plain(ids: tuple[str, ...]) -> list[str]:
    """Return ids as the table reads them: whole numbers written as decimals lose their '.0'."""
    decimals = all(re.fullmatch(r"-?[0-9]+\.0", each) for each in ids)
    return [each.removesuffix(".0") if decimals else each for each in ids]


def test_fields_have_other_names_with_or_without_their_type(tmp_path: Path) -> None:
    text = "session:token\tsku:token\tkind:token\tcity:token\n1\ta\tview\tBonn\n1\tb\tbuy\tKiel\n2\ta\tview\tUlm\n"
    write(tmp_path / "s", {"s.inter": text, "s.item": "sku:token\tgroup:token\na\tx\nb\ty\n"})
    columns = {"user": "session", "item": "sku:token", "time": None, "behavior": "kind", "value": "rating"}
    raw = load(tmp_path / "s", columns=columns, item_columns=["city"], filters=[{"column": "kind", "equals": "view"}])
    assert rows(raw, "user", "item", "time", "behavior") == [("1", "a", 0, "view"), ("2", "a", 0, "view")]
    assert not raw.clock
    assert any("has no field 'rating', so there is no value" in note for note in raw.notes)
    assert raw.items is not None
    assert sorted(raw.items.to_polars().select("item", "city", "group").rows()) == [("a", "Ulm", "x"), ("b", None, "y")]
    assert [(step.dropped, step.left) for step in raw.steps] == [(1, 2)]


def test_a_behaviour_that_is_not_there_is_left_out(tmp_path: Path) -> None:
    raw = load(write(tmp_path / "ml", {"ml.inter": INTER}), columns={**FIELDS, "behavior": "action"})
    assert {behavior for (behavior,) in rows(raw, "behavior")} == {"interaction"}
    assert any("has no field 'action'" in note for note in raw.notes)


@pytest.mark.parametrize(
    ("files", "settings", "error", "sentence"),
    [
        ({"readme": ""}, {}, DataError, r"ml holds no \.inter file; set source\.path=FILE\.inter"),
        ({"a.inter": INTER, "b.inter": INTER}, {}, DataError, r"holds a\.inter, b\.inter; set source\.path"),
        ({"ml.inter": "user_id,item_id\n1,2\n"}, {}, DataError, r"header 'user_id,item_id' is not .*name:type"),
        ({"ml.inter": INTER.replace("timestamp", "time")}, {}, DataError,
         r"no field 'timestamp'; it has: user_id, .*source\.columns\.time=null .*Did you mean 'time'"),
        ({"ml.inter": INTER.replace("item_id", "asin")}, {}, DataError, r"source\.columns\.item=FIELD\."),
        ({"ml.inter": INTER, "ml.item": "id:token\n1\n"}, {}, DataError, r"ml\.item has no field 'item_id'.*has: id"),
        ({"ml.inter": INTER, "ml.user": USER + "1\t2\n"}, {}, DataError, r"ml\.user, row 4 has 2 fields, not 3"),
        ({"ml.inter": INTER, "ml.item": "item_id:token\trating:float\n242\t1\n"}, {"item_columns": ["rating"]},
         ConfigError, r"item_columns names 'rating', which the \.item file has"),
        ({"ml.inter": INTER}, {"filters": [{"column": "rating", "above": 3}]}, ConfigError, "no operator 'above'"),
        ({"ml.inter": INTER.replace("891717742.5", "soon")}, {}, DataError, r"ml\.inter, column 'timestamp:float'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(
    tmp_path: Path, files: Mapping[str, str], settings: Mapping[str, Any], error: type[Exception], sentence: str
) -> None:
    folder = write(tmp_path / "ml", files)
    with pytest.raises(error, match=sentence):
        load(folder, **settings)


def test_a_missing_file_is_named_with_the_key_to_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none does not exist; set source\.path=FILE"):
        load(tmp_path / "none")


def test_movielens_100k_is_read_whole(realdata: Path) -> None:
    raw = load(realdata / "ml-100k")
    events = raw.events.collect()
    assert (events["user"].n_unique(), events["item"].n_unique(), len(events)) == (943, 1_682, 100_000)
    assert (events["time"].min(), events["time"].max()) == (874724710, 893286638)
    assert raw.items is not None
    assert raw.users is not None
    assert (len(raw.items), len(raw.users)) == (1_682, 943)
    assert raw.items.to_polars().filter(pl.col("item") == "1")["class"].to_list() == [
        ["Animation", "Children's", "Comedy"]
    ]
