"""Malformed files at both sources: always an event table that can be stored, or one clear error, never another."""

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ltsi.engines.polars import Polars
from ltsi.errors import UserError
from ltsi.events import RawData, validate_events
from ltsi.sources.sequences import Sequences
from ltsi.sources.table import Table

WORK = TemporaryDirectory(prefix="ltsi-test-")
engine = Polars(Path(WORK.name))

COLUMNS = {"user": "user", "item": "item", "time": "time", "value": "value"}
HEADER = ["user", "item", "time", "value"]
EXTREMES = [0, -1, 2**31, 2**63 - 1, -(2**63), 2**64, 10**30, 1318896000, 1318896000000]
TIMES = st.sampled_from(
    ["1318896000", "1318896001", "1318896000.5", "1318896000000", "1293937445", "-1", "2011-01-02", "2011-02-30",
     "2011-10-30T01:30:00", "NaN", "1e9", "2011-01-02T03:04:05+14:59", "0000-01-01", "9999-12-31", "12/31/2011",
     "02/01/2011", "19970101", "20110102030405", "0511", "2011", "40544", "14976", "43831.75", "\u0661\u0662\u0663",
     "9223372036854775807", "9300000000000000000"]
)  # fmt: skip
TEXTS = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=4),
    st.sampled_from(["", " ", "nan", "NULL", "1.0", "-0", '"', "a\nb", "a\r\nb", ",", "ü", "\ufeff", "\u2028"]),
    st.sampled_from(EXTREMES).map(str),
)
CELLS = st.one_of(TEXTS, TIMES)
FLAGS, LISTS = st.booleans(), st.lists(st.integers(0, 1), max_size=1)
VALUES = st.one_of(st.none(), FLAGS, st.sampled_from(EXTREMES), st.floats(), TEXTS, TIMES, LISTS)
INTEGERS = st.sampled_from([number for number in EXTREMES if -(2**63) <= number < 2**63])
KINDS: list[tuple[Any, Any]] = [
    (pl.Int64, INTEGERS),
    (pl.UInt64, st.sampled_from([0, 2**64 - 1])),
    (pl.Int8, st.integers(0, 9)),
    (pl.Float64, st.floats()),
    (pl.Float32, st.floats(width=32)),
    (pl.Decimal(10, 2), st.sampled_from([1, 2])),
    (pl.String, CELLS),
    (pl.Categorical(), st.sampled_from("ab")),
    (pl.Binary, st.binary(max_size=2)),
    (pl.Boolean, FLAGS),
    (pl.Date, st.dates()),
    (pl.Datetime("us"), st.datetimes()),
    (pl.Datetime("ns"), st.just(0)),
    (pl.Duration("us"), st.just(1)),
    (pl.List(pl.Int64), LISTS),
    (pl.Null, st.none()),
]
SETTINGS = st.sampled_from(
    [
        {},
        {"time_unit": "s"},
        {"time_unit": "day"},
        {"time_unit": "excel"},
        {"time_format": "%Y-%m-%d"},
        {"time_format": "%Y"},
        {"time_format": "%d/%m/%Y"},
        {"time_zone": "Europe/London"},
        {"filters": [{"column": "value", "at_least": 1}]},
        {"filters": [{"column": "time", "not_null": True}, {"column": "user", "not_equals": "nan"}]},
        {"item_columns": ["value"], "user_columns": ["item"]},
        {"encoding": "utf-16"},
        {"delimiter": "whitespace"},
        {"delimiter": "::"},
        {"header": HEADER},
    ]
)


def check(read: Callable[[], RawData], *named: str) -> None:
    """Read; what comes out is an event table without holes, or one sentence that names a file."""
    error, raw = None, None
    try:
        raw = read()
        events = validate_events(raw.events, "log").collect().to_polars()
    except UserError as caught:
        error = str(caught)
    if error is not None or raw is None:
        assert any(name in str(error) for name in named), error
        assert "\n" not in str(error)
        return
    assert events.height > 0
    assert events.drop("value", strict=False).null_count().sum_horizontal().item() == 0
    assert events["row"].is_unique().all()
    for table, column in ((raw.items, "item"), (raw.users, "user")):
        if table is not None:
            assert sorted(table[column].to_list()) == sorted(events[column].unique().to_list())


@given(
    rows=st.lists(st.tuples(TEXTS.filter(bool), TEXTS.filter(bool), st.integers(0, 9)), min_size=1, max_size=8),
    time=TIMES,
    odd=st.none() | st.tuples(st.integers(0, 7), st.integers(0, 3), CELLS),
    settings=SETTINGS,
)
def test_a_table_in_which_one_cell_is_odd(
    tmp_path_factory: pytest.TempPathFactory, rows: Any, time: str, odd: Any, settings: Any
) -> None:
    table: list[list[Any]] = [[user, item, time, value] for user, item, value in rows]
    if odd is not None:
        table[odd[0] % len(table)][odd[1]] = odd[2]
    path = tmp_path_factory.mktemp("log") / "log.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([HEADER, *table])
    check(lambda: Table(str(path), COLUMNS, **settings).load(engine), "log.csv")


@given(
    rows=st.lists(st.lists(CELLS, min_size=3, max_size=5), max_size=6),
    header=st.sampled_from([HEADER, [*HEADER, "time"], ["user", "item"], ["\ufeffuser", *HEADER[1:]], []]),
    end=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"]),
    zipped=st.booleans(),
)
def test_any_delimited_text(
    tmp_path_factory: pytest.TempPathFactory, rows: Any, header: Any, end: str, encoding: str, zipped: bool
) -> None:
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator=end).writerows([header, *rows])
    data = stream.getvalue().encode(encoding, errors="replace")
    path = tmp_path_factory.mktemp("log") / "log.csv"
    path.write_bytes(gzip.compress(data) if zipped else data)
    check(lambda: Table(str(path), COLUMNS).load(engine), "log.csv")


@given(
    data=st.binary(max_size=60),
    head=st.sampled_from([b"", b"user,item,time,value\n", b"user\titem\ttime\tvalue\na\tb\t1318896000\t1\n"]),
)
@example(data=b'a,b,1318896000,"1\n', head=b"user,item,time,value\n")
@example(data=b"a,b\x00,1318896000,1\n", head=b"user,item,time,value\n")
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, data: bytes, head: bytes) -> None:
    path = tmp_path_factory.mktemp("log") / "log.csv"
    path.write_bytes(head + data)
    check(lambda: Table(str(path), COLUMNS).load(engine), "log.csv")


@given(
    rows=st.lists(st.dictionaries(st.sampled_from(HEADER), VALUES, min_size=3), max_size=5),
    junk=st.sampled_from(["", "[1]\n", "{", "{}\n", "\n"]),
)
def test_any_json_lines(tmp_path_factory: pytest.TempPathFactory, rows: Any, junk: str) -> None:
    path = tmp_path_factory.mktemp("log") / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + junk, encoding="utf-8")
    check(lambda: Table(str(path), COLUMNS).load(engine), "log.jsonl")


@given(data=st.data(), n=st.integers(0, 5))
def test_any_parquet(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, n: int) -> None:
    columns = {}
    for name in HEADER:
        dtype, values = data.draw(st.sampled_from(KINDS))
        columns[name] = pl.Series(
            data.draw(st.lists(st.none() | values, min_size=n, max_size=n)), dtype=dtype, strict=False
        )
    path = tmp_path_factory.mktemp("log") / "log.parquet"
    pl.DataFrame(columns).write_parquet(path)
    check(lambda: Table(str(path), COLUMNS).load(engine), "log.parquet")


@given(
    lines=st.lists(st.lists(st.one_of(st.integers(0, 5).map(str), CELLS), max_size=4), max_size=5),
    times=st.none() | st.lists(st.lists(TIMES, max_size=4), max_size=5),
    blank=st.sampled_from([" ", "\t", "\x1c", "\u3000"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"]),
)
def test_any_sequences(
    tmp_path_factory: pytest.TempPathFactory, lines: Any, times: Any, blank: str, encoding: str
) -> None:
    folder = tmp_path_factory.mktemp("log")
    (folder / "log.txt").write_bytes("\n".join(map(blank.join, lines)).encode(encoding, errors="replace"))
    if times is not None:
        (folder / "time.txt").write_bytes("\n".join(map(blank.join, times)).encode(encoding, errors="replace"))
    second = None if times is None else str(folder / "time.txt")
    check(lambda: Sequences(str(folder / "log.txt"), second).load(engine), "log.txt", "time.txt")


@given(data=st.binary(max_size=40))
def test_any_bytes_as_sequences(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("log") / "log.txt"
    path.write_bytes(data)
    check(lambda: Sequences(str(path)).load(engine), "log.txt")
