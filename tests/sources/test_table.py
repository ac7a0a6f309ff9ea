import csv
import gzip
import io
import json
from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltsi.engines.polars import Polars
from ltsi.errors import ConfigError, DataError
from ltsi.events import validate_events
from ltsi.sources.table import Table

WORK = TemporaryDirectory(prefix="ltsi-test-")
engine = Polars(Path(WORK.name))


COLUMNS = {"user": "who", "item": "what", "time": "at"}
HEADER = ("who", "what", "at", "how", "price", "colour")
ROWS = (
    ("ann", "hat", 1318896000, "view", 9.5, "red"),
    ("bob", "cap", 1318896005, "buy", 3.0, None),
    ("ann", "hat", 1318896010, "buy", 8.5, None),
    ("ann", "cap", 1318896015, None, None, "blue"),
)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r\n"), min_size=1)


def write(path: Path, rows: Any = ROWS, header: tuple[str, ...] = HEADER, delimiter: str = ",") -> str:
    """Write a table in the format of the path's suffix."""
    if path.suffix == ".parquet":
        pl.DataFrame(rows, schema=list(header), orient="row").write_parquet(path)
        return str(path)
    if ".jsonl" in path.name:
        text = "".join(json.dumps(dict(zip(header, row, strict=True))) + "\n" for row in rows)
    else:
        stream = io.StringIO()
        csv.writer(stream, delimiter=delimiter, lineterminator="\n").writerows([header, *rows])
        text = stream.getvalue()
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return str(path)


def load(path: str, columns: Mapping[str, str | None] | None = None, **settings: Any) -> list[dict[str, Any]]:
    raw = Table(path, columns or COLUMNS, **settings).load(engine)
    return list(validate_events(raw.events, path).sort("row").collect().rows(named=True))


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".parquet"])
def test_every_format_gives_the_same_events(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"log{suffix}", ROWS[:3])
    events = load(path, COLUMNS | {"behavior": "how", "value": "price"})
    assert events == [
        {"user": user, "item": item, "time": time, "behavior": behavior, "row": row, "value": value}
        for row, (user, item, time, behavior, value, _) in enumerate(ROWS[:3], start=1)
    ]


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_the_delimiter_is_found_in_the_header(tmp_path: Path, delimiter: str) -> None:
    events = load(write(tmp_path / "log.txt", delimiter=delimiter))
    assert [event["user"] for event in events] == ["ann", "bob", "ann", "ann"]


def test_a_delimiter_that_is_set_is_believed(tmp_path: Path) -> None:
    path = write(tmp_path / "log.txt", header=("a,b,c", *HEADER[1:]), delimiter=";")
    events = load(path, COLUMNS | {"user": "a,b,c"}, delimiter=";")
    assert [event["user"] for event in events] == ["ann", "bob", "ann", "ann"]


@given(
    rows=st.lists(st.tuples(TEXTS, TEXTS, st.integers(10**8, 10**11 - 1)), min_size=1),
    delimiter=st.sampled_from(",\t;|"),
)
def test_any_text_is_an_id(tmp_path_factory: pytest.TempPathFactory, rows: list[Any], delimiter: str) -> None:
    path = write(tmp_path_factory.mktemp("log") / "log.csv", rows, ("who", "what", "at"), delimiter)
    events = load(path)
    if not any(text.endswith(".0") for user, item, _ in rows for text in (user, item)):
        assert [(event["user"], event["item"], event["time"]) for event in events] == rows


@pytest.mark.parametrize("ids", [["17850.0", "2.0", "-3.0", "17850.0"], [17850.0, 2.0, -3.0, 17850.0]])
def test_whole_numbers_written_as_decimals_lose_them(tmp_path: Path, ids: list[Any]) -> None:
    rows = [(user, *row[1:]) for user, row in zip(ids, ROWS, strict=True)]
    raw = Table(write(tmp_path / "log.parquet", rows), COLUMNS).load(engine)
    assert raw.events.sort("row").collect()["user"].to_list() == ["17850", "2", "-3", "17850"]
    assert "column 'who': ids are whole numbers written as decimals" in raw.notes[0]


def test_one_text_among_them_and_all_keep_their_decimals(tmp_path: Path) -> None:
    rows = [(user, *row[1:]) for user, row in zip(["1.0", "2.0", "x", "3.0"], ROWS, strict=True)]
    assert [event["user"] for event in load(write(tmp_path / "log.csv", rows))] == ["1.0", "2.0", "x", "3.0"]


@pytest.mark.parametrize(
    ("ids", "found", "told"),
    [
        (["17850.0", "2", "17850", "2.0"], ["17850", "2", "17850", "2"], "their '.0' is left out"),
        (
            ["17850.0", "x", "17850", "2"],
            ["17850.0", "x", "17850", "2"],
            "1 ids such as '17850.0' in row 1 end in '.0'",
        ),
    ],
)
def test_ids_written_with_and_without_decimals_are_no_two_in_silence(
    tmp_path: Path, ids: list[str], found: list[str], told: str
) -> None:
    path = write(tmp_path / "log.csv", [(user, *row[1:]) for user, row in zip(ids, ROWS, strict=True)])
    beside = write(tmp_path / "ages.csv", [("17850.0", 31), ("2", 4)], ("id", "age"))
    raw = Table(path, COLUMNS, users={"path": beside, "key": "id"}).load(engine)
    assert raw.events.sort("row").collect()["user"].to_list() == found
    assert any(told in note for note in raw.notes)
    assert raw.users is not None
    assert ("17850", 31) in raw.users.rows()


def test_without_time_the_order_of_the_rows_counts(tmp_path: Path) -> None:
    raw = Table(write(tmp_path / "log.csv"), COLUMNS | {"time": None}).load(engine)
    assert not raw.clock
    assert raw.events.sort("row").collect()["time"].to_list() == [0, 0, 1, 2]
    assert any("has an order but no clock" in note for note in raw.notes)


def test_an_item_gets_the_last_value_that_is_not_missing(tmp_path: Path) -> None:
    raw = Table(write(tmp_path / "log.csv"), COLUMNS, item_columns=["price", "colour"]).load(engine)
    assert raw.items is not None
    assert sorted(raw.items.rows()) == [("cap", 3.0, "blue"), ("hat", 8.5, "red")]


def test_filters_drop_rows_in_order_and_count_them(tmp_path: Path) -> None:
    filters: list[dict[str, Any]] = [
        {"column": "how", "not_null": True},
        {"column": "price", "greater_than": 3},
        {"column": "who", "not_startswith": "c"},
    ]
    raw = Table(write(tmp_path / "log.csv"), COLUMNS, filters=filters).load(engine)
    assert [astuple(step) for step in raw.steps] == [
        ("how missing", 1, 3, 0),
        ("not price greater_than 3", 1, 2, 0),
        ("not who not_startswith c", 0, 2, 0),
    ]
    assert raw.events.sort("row").collect()["row"].to_list() == [1, 3]


@pytest.mark.parametrize(
    ("entry", "kept"),
    [
        ({"column": "colour", "not_null": True}, [1, 4]),
        ({"column": "who", "equals": "bob"}, [2]),
        ({"column": "who", "not_equals": "bob"}, [1, 3, 4]),
        ({"column": "how", "not_equals": "buy"}, [1]),  # a missing value fulfils no condition
        ({"column": "how", "one_of": ["view", "buy"]}, [1, 2, 3]),
        ({"column": "how", "none_of": ["view"]}, [2, 3]),
        ({"column": "what", "startswith": "h"}, [1, 3]),
        ({"column": "what", "not_startswith": "h"}, [2, 4]),
        ({"column": "price", "greater_than": 8.5}, [1]),
        ({"column": "price", "at_least": 8.5}, [1, 3]),
        ({"column": "price", "less_than": 8.5}, [2]),
        ({"column": "price", "at_most": 8.5}, [2, 3]),
        ({"column": "at", "equals": 1318896005}, [2]),
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_each_operator(tmp_path: Path, suffix: str, entry: dict[str, Any], kept: list[int]) -> None:
    events = load(write(tmp_path / f"log{suffix}"), filters=[entry])
    assert [event["row"] for event in events] == kept


@pytest.mark.parametrize(
    ("written", "entry", "kept"),
    [
        (("true", "False", "TRUE", ""), {"not_equals": True}, [2]),
        (("true", "False", "yes", ""), {"one_of": [False, "yes"]}, [2, 3]),
        (("17850.0", "17850", "1785", ""), {"none_of": [17850]}, [3]),
        (("0.00", "0", "x", ""), {"equals": 0}, [1, 2]),
        (("007", "7", "x", ""), {"equals": "7"}, [2]),  # what is given as text is text
    ],
)
def test_values_of_text_are_known_however_they_are_written(
    tmp_path: Path, written: Any, entry: Any, kept: list[int]
) -> None:
    rows = [(*row[:3], text) for row, text in zip(ROWS, written, strict=True)]
    path = write(tmp_path / "log.csv", rows, HEADER[:4])
    assert [event["row"] for event in load(path, filters=[{"column": "how", **entry}])] == kept


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"not_null": True}, r"source\.filters\[0\] names no column"),
        ("price > 0", r"names no column\. An entry reads \{column: NAME"),
        ({"column": "price", "greater_then": 0}, r"no operator 'greater_then'\. Did you mean 'greater_than'"),
        ({"column": "price"}, r"has 0 operators, not one"),
        ({"column": "price", "at_least": 0, "at_most": 9}, r"has 2 operators, not one"),
        ({"column": "price", "greater_than": "x"}, r"greater_than takes a number, not 'x'"),
        ({"column": "how", "one_of": "buy"}, r"one_of takes a list"),
        ({"column": "how", "not_null": False}, r"not_null takes true"),
    ],
)
def test_filters_that_cannot_be_meant_are_refused(entry: Any, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        Table("log.csv", COLUMNS, filters=[entry])


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"columns": COLUMNS | {"user": "whom"}}, r"source\.columns\.user"),
        ({"columns": COLUMNS | {"value": "whom"}}, r"source\.columns\.value"),
        ({"item_columns": ["price", "whom"]}, r"source\.item_columns\[1\]"),
        ({"filters": [{"column": "whom", "not_null": True}]}, r"source\.filters\[0\]\.column"),
    ],
)
def test_a_missing_column_is_named_with_those_found_and_the_key(tmp_path: Path, settings: Any, key: str) -> None:
    path = write(tmp_path / "log.csv")
    found = r"has no column 'whom'; it has: who, what, at, how, price, colour; "
    with pytest.raises(DataError, match=rf"log\.csv {found}set {key}=COLUMN\. Did you mean 'who'\?"):
        load(path, **settings)


@pytest.mark.parametrize(
    ("changed", "settings", "sentence"),
    [
        ({0: None}, {}, r"column 'who' \(source\.columns\.user\): 1 rows have no value, the first is row 2; drop them"),
        ({2: None}, {}, r"column 'at' \(source\.columns\.time\): 1 rows have no value"),
        ({2: "soon"}, {}, r"log\.csv, column 'at': the time 'soon' in row 2"),
        ({2: 1318896005000}, {}, r"column 'at' mixes units .*'1318896005000' in row 2"),
        ({4: "dear"}, {"columns": COLUMNS | {"value": "price"}}, r"column 'price': 'dear' in row 2 is not a number"),
        (
            {4: "dear"},
            {"filters": [{"column": "price", "at_least": 0}]},
            r"column 'price': 'dear' in row 2 is not a number",
        ),
        ({}, {"columns": COLUMNS | {"behavior": "how"}}, r"column 'how' \(source\.columns\.behavior\): 1 rows"),
        ({}, {"filters": [{"column": "who", "equals": "cid"}]}, r"filter 'not who equals cid' leaves none of 4 rows"),
    ],
)
def test_a_bad_value_is_named(tmp_path: Path, changed: dict[int, Any], settings: Any, sentence: str) -> None:
    rows = [list(row) for row in ROWS]
    for column, value in changed.items():
        rows[1][column] = value
    with pytest.raises(DataError, match=sentence):
        load(write(tmp_path / "log.csv", rows), **settings)


@pytest.mark.parametrize("role", ["user", "time"])
def test_what_is_not_a_number_is_missing(tmp_path: Path, role: str) -> None:
    rows = [(1.0, "hat", 1318896000.0), (float("nan"), "cap", float("nan"))]
    path = write(tmp_path / "log.parquet", rows, ("who", "what", "at"))
    keep = {"column": "at" if role == "user" else "who", "not_null": True}
    with pytest.raises(DataError, match=r"column 'who' \(source\.columns\.user\): 1 rows have no value"):
        load(path)
    assert [event["user"] for event in load(path, filters=[keep])] == ["1"]


def test_empty_logs_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").touch()
    with pytest.raises(DataError, match=r"empty\.csv is empty; set source\.path"):
        load(str(tmp_path / "empty.csv"))
    with pytest.raises(DataError, match=r"header\.csv has a header and no rows"):
        load(write(tmp_path / "header.csv", []))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv does not exist; set source\.path=FILE"):
        load(str(tmp_path / "none.csv"))


@pytest.mark.parametrize("suffix", [".csv.gz", ".jsonl", ".jsonl.gz", ".parquet"])
def test_a_file_that_was_cut_short_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"log{suffix}"
    write(path, [(f"u{n * 7919 % 1009}", "hat", 1318896000 + n, "view", 1.0, None) for n in range(1000)])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 + 3])
    with pytest.raises(DataError, match=r"log.*damaged or cut short|log.*cannot be read"):
        load(str(path))


def test_parquet_that_is_packed_as_a_whole_is_refused(tmp_path: Path) -> None:
    whole = Path(write(tmp_path / "log.parquet", [("ann", "hat", 1318896000, "view", 1.0, None)])).read_bytes()
    (tmp_path / "log.parquet.gz").write_bytes(gzip.compress(whole))
    with pytest.raises(DataError, match=r"log\.parquet\.gz is Parquet inside gzip; unpack it first"):
        load(str(tmp_path / "log.parquet.gz"))


@pytest.mark.parametrize(
    "junk", [b"who,what,at\na\xc3\xa9,b\xff,1318896000\n", b'who,what,at\n"a,b,1318896000\n', b"\x00\x01\x02\x03"]
)
def test_junk_is_refused(tmp_path: Path, junk: bytes) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(junk)
    with pytest.raises(DataError, match=r"log\.csv"):
        load(str(path))


def test_an_item_column_must_not_be_called_item() -> None:
    with pytest.raises(ConfigError, match="must not name a column 'item'"):
        Table("log.csv", COLUMNS, item_columns=["item"])
