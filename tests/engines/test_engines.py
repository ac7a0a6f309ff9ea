"""Every engine prepares the same store from the same files, byte for byte."""

from __future__ import annotations

import gzip
import json
import random
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hydra import compose, initialize_config_module

from ltsi.errors import DataError
from ltsi.store import Store, open_store, store_path
from ltsi.workflows import prepare

ENGINES = ("pandas", "duckdb", "pyspark")
# Several parts, and nothing compiled: the logs are so small that compiling would take most of the time.
SPARK = (
    "{spark.sql.shuffle.partitions: '2', spark.sql.codegen.wholeStage: 'false', "
    "spark.sql.codegen.factoryMode: NO_CODEGEN, spark.driver.extraJavaOptions: '-XX:TieredStopAtLevel=1'}"
)


@pytest.fixture(scope="module", autouse=True)
def stopped_spark() -> Iterator[None]:
    """Stop the session that the tests of this file share."""
    yield
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        return
    if (session := SparkSession.getActiveSession()) is not None:
        session.stop()


def prepared(name: str, engine: str, *overrides: str) -> Store:
    settings = [f"engine={engine}", f"name={name}", *overrides]
    if engine == "pyspark":
        if shutil.which("java") is None:
            pytest.skip("there is no Java for Spark")
        settings += ["engine.master='local[2]'", f"engine.settings={SPARK}"]
    with initialize_config_module("ltsi.conf", version_base="1.3"):
        prepare.run(compose("prepare", settings))
    return open_store(name)


def content(store: Store) -> dict[str, bytes]:
    """Return the bytes of a store's files; the manifest without the names that differ."""
    found = {file.name: file.read_bytes() for file in store_path(store.name).iterdir()}
    manifest = json.loads(found.pop("manifest.json"))
    del manifest["name"], manifest["config"]["name"]
    return found | {"manifest": json.dumps(manifest, sort_keys=True).encode()}


def lines() -> list[str]:
    """Return rows of a log with quotes, blanks, missing values, ties, repeats and copies."""
    draw = random.Random(5)
    rows = []
    for _ in range(400):
        user, item = f"u{draw.randrange(30)}", draw.choice(["hat", '"cap, red"', '"a ""quoted"" one"', "Schäl"])
        time = 1_318_896_000 + draw.randrange(50) * 3_600
        price = draw.choice(["9.5", "", "3", "0"])
        rows.append(f"{user},{item},{time},{draw.choice(['view', 'buy'])},{price},{draw.choice(['A1', 'A2', ''])}")
    return [*rows, *rows[:20]]


COLUMNS = [
    "source=table",
    "source.columns={user: who, item: what, time: at, behavior: how, value: price}",
    "source.item_columns=[colour, price]",
    "source.filters=[{column: how, one_of: [view, buy]}, {column: price, not_equals: '0', reason: free}]",
    "clean=[duplicates,k_core]",
    "clean.k_core.user=3",
    "clean.k_core.item=3",
]


def write_log(folder: Path) -> Path:
    file = folder / "log.csv.gz"
    file.write_bytes(gzip.compress("\n".join(["who,what,at,how,price,colour", *lines(), ""]).encode()))
    return file


@pytest.mark.parametrize("engine", ENGINES)
def test_a_table_becomes_the_same_store(tmp_path: Path, engine: str) -> None:
    file = write_log(tmp_path)
    expected = prepared("expected", "polars", *COLUMNS, f"source.path={file}")
    assert 0 < expected.n_events < 420
    assert content(prepared("found", engine, *COLUMNS, f"source.path={file}")) == content(expected)


@pytest.mark.parametrize("engine", ENGINES)
def test_parquet_becomes_the_same_store(tmp_path: Path, engine: str) -> None:
    file = tmp_path / "log.parquet"
    rows = [(n % 7, n * 5 % 11, 1_318_896_000 + n // 3, float(n % 4)) for n in range(300)]
    pl.DataFrame(rows, schema=["user", "item", "time", "value"], orient="row").write_parquet(file, row_group_size=64)
    overrides = ["source=table", f"source.path={file}", "source.columns.value=value", "ties=shuffle"]
    assert content(prepared("found", engine, *overrides)) == content(prepared("expected", "polars", *overrides))


@pytest.mark.parametrize("engine", ["polars", *ENGINES])
@pytest.mark.parametrize(
    ("entry", "users"),
    [
        ("{column: ret, not_equals: true}", ["1", "4"]),
        ("{column: ret, equals: 'true'}", ["2"]),
        ("{column: cid, none_of: [17850, 3]}", ["3", "4"]),
        ("{column: cid, equals: '17850'}", ["1"]),
        ("{column: big, not_equals: 9007199254740993}", ["1", "3", "4"]),
    ],
)
def test_filters_know_a_value_however_it_is_stored(tmp_path: Path, engine: str, entry: str, users: list[str]) -> None:
    file = tmp_path / "log.parquet"
    ids = {"user": [1, 2, 3, 4], "item": ["x"] * 4, "time": [1_318_896_000 + n for n in range(4)]}
    flags = {"ret": [False, True, None, False], "cid": [17850.0, None, 2.0, 4.0]}
    pl.DataFrame({**ids, **flags, "big": [2**53, 2**53 + 1, 1, 1]}).write_parquet(file)
    store = prepared("found", engine, "source=table", f"source.path={file}", f"source.filters=[{entry}]")
    assert store.users["user"].to_list() == users


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_dates_written_as_decimals_become_the_same_store(tmp_path: Path, engine: str, suffix: str) -> None:
    file = tmp_path / f"log.{suffix}"
    table = pl.DataFrame(
        {"user": [1.0, 2.0, 1.0], "item": ["x", "y", "z"], "time": [20181104.0, 20181105.0, 20181106.0]}
    )
    table.write_csv(file) if suffix == "csv" else table.write_parquet(file)
    overrides = ["source=table", f"source.path={file}", "source.time_format='%Y%m%d'"]
    overrides.append("source.time_zone=America/Sao_Paulo")
    expected = prepared("expected", "polars", *overrides)
    assert expected.time[0] == 1_541_300_400  # the first moment of a day without a midnight
    assert content(prepared("found", engine, *overrides)) == content(expected)


@pytest.mark.parametrize("engine", ["polars", *ENGINES])
def test_categories_in_one_file_are_texts_in_another(tmp_path: Path, engine: str) -> None:
    rows = pl.DataFrame({"time": [1_318_896_000, 1_318_896_001], "item": ["x", "y"], "user": ["a", "b"]})
    (tmp_path / "logs").mkdir()
    for name, kind in (("1", pl.String), ("2", pl.Categorical), ("3", pl.String)):
        rows.with_columns(pl.col("user", "item").cast(kind)).write_parquet(tmp_path / "logs" / f"{name}.parquet")
    store = prepared("found", engine, "source=table", f"source.path={tmp_path}/logs")
    assert store.users["user"].to_list() == ["a", "b"]
    assert store.item.tolist() == [0] * 3 + [1] * 3


def test_files_follow_each_other_whatever_their_sizes(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    for name, n in (("a", 5), ("b", 4_000), ("c", 60)):
        rows = [(k % 7, k * 5 % 11, 1_318_896_000, name) for k in range(n)]
        pl.DataFrame(rows, schema=["user", "item", "time", "how"], orient="row").write_parquet(
            folder / f"{name}.parquet"
        )
    overrides = ["source=table", f"source.path={folder}", "source.columns.behavior=how"]
    expected = prepared("expected", "polars", *overrides)
    first = expected.behavior[expected.offsets[0] : expected.offsets[1]]
    assert first[:2].tolist() == [0, 1]  # one event of the first file, then those of the second
    for engine in ENGINES:
        assert content(prepared(engine, engine, *overrides)) == content(expected), engine


@pytest.mark.parametrize("engine", ["polars", *ENGINES])
def test_an_address_is_opened_by_the_engine(tmp_path: Path, engine: str) -> None:
    file = tmp_path / "log.parquet"
    rows = [(n % 7, n * 5 % 11, 1_318_896_000 + n) for n in range(100)]
    pl.DataFrame(rows, schema=["user", "item", "time"], orient="row").write_parquet(file)
    local = prepared("local", "polars", "source=table", f"source.path={file}")
    remote = prepared("remote", engine, "source=table", f"source.path=file://{file}")
    assert remote.fingerprint == local.fingerprint
    assert remote.manifest["inputs"] == []
    with pytest.raises(DataError, match=r"file://\S+/none\.parquet cannot be read as Parquet by engine="):
        prepared("none", engine, "source=table", f"source.path=file://{tmp_path}/none.parquet")
    with pytest.raises(DataError, match=r"has no column 'who'; it has: user, item, time"):
        prepared("none", engine, "source=table", f"source.path=file://{file}", "source.columns.user=who")


@pytest.mark.parametrize("engine", ENGINES)
def test_sequences_become_the_same_store(tmp_path: Path, engine: str) -> None:
    file = tmp_path / "log.txt"
    file.write_text("1 5 6 5\n2 6 7 8\n10 5\n")
    overrides = ["source=sequences", f"source.path={file}"]
    assert content(prepared("found", engine, *overrides)) == content(prepared("expected", "polars", *overrides))


def test_a_long_log_is_read_in_the_order_of_its_rows(tmp_path: Path) -> None:
    """Rows are numbered alike where an engine reads them in several threads or partitions."""
    file = tmp_path / "log.csv"
    rows = "".join(f"u{n % 9},i{n % 101},{1_318_896_000 + n % 2}\n" for n in range(60_000))
    file.write_text("user,item,time\n" + rows)
    overrides = ["source=table", f"source.path={file}"]
    expected = content(prepared("expected", "polars", *overrides))
    for engine in ENGINES:
        assert content(prepared(engine, engine, *overrides)) == expected, engine


START = 1_704_103_200  # 2024-01-01 10:00:00 UTC
LATE_FIRST = {"d": 900_000_000, "b": 120_000_000, "c": 125_000_000, "a": 5_000_000}
"""Items of one user and second by their nanoseconds, in an order of the file that is not that of time."""


def iso(written: str) -> list[str]:
    moments = [datetime.fromtimestamp(START, UTC) + timedelta(microseconds=n // 1_000) for n in LATE_FIRST.values()]
    return [moment.strftime(written) for moment in moments]


def numbers(per_second: int) -> list[int]:
    return [START * per_second + n * per_second // 10**9 for n in LATE_FIRST.values()]


def write(folder: Path, times: Sequence[Any], dtype: Any = None) -> Path:
    """Write a log whose last row is a second later, so that the events stay two seconds in the store."""
    table = pl.DataFrame({"user": "ann", "item": list(LATE_FIRST), "time": pl.Series(times, dtype=dtype)})
    is_text = table["time"].dtype == pl.String
    file = folder / ("log.csv" if is_text else "log.parquet")
    table.write_csv(file) if is_text else table.write_parquet(file)
    return file


def items_in_order(store: Store) -> str:
    return "".join(store.items["item"][int(item)] for item in store.item)


def told(store: Store) -> dict[str, tuple[Any, str]]:
    return {found["finding"]: (found["value"], found["detail"]) for found in store.manifest["audit"]}


WAYS = [
    pytest.param(numbers(10**3), pl.Int64, [], id="milliseconds"),
    pytest.param(numbers(10**6), pl.Int64, [], id="microseconds"),
    pytest.param(numbers(10**9), pl.Int64, [], id="nanoseconds"),
    pytest.param([START + n / 10**9 for n in LATE_FIRST.values()], pl.Float64, [], id="float seconds"),
    pytest.param([f"{START}.{n:09}".rstrip("0") for n in LATE_FIRST.values()], None, [], id="text seconds"),
    pytest.param([str(n) for n in numbers(10**3)], None, [], id="text milliseconds"),
    pytest.param(iso("%Y-%m-%dT%H:%M:%S.%f"), None, [], id="ISO 8601"),
    pytest.param(iso("%Y-%m-%d %H:%M:%S.%f+02:00"), None, [], id="ISO 8601 with a zone"),
    pytest.param(iso("%d.%m.%Y %H:%M:%S.%f"), None, ["source.time_format='%d.%m.%Y %H:%M:%S.%f'"], id="format"),
    pytest.param(
        [datetime.fromtimestamp(START) + timedelta(microseconds=n // 1_000) for n in LATE_FIRST.values()],
        pl.Datetime("us"),
        [],
        id="datetimes",
    ),
]


@pytest.mark.parametrize(
    ("times", "dtype", "settings", "engine"),
    [
        pytest.param(*way.values, engine, id=f"{way.id} on {engine}")
        for engine in ("polars", *ENGINES)
        for way in WAYS
        if engine != "pyspark" or way.id in {"milliseconds", "text seconds", "datetimes"}  # it takes seconds for each
    ],
)
def test_events_of_a_second_are_in_order_of_their_fractions(
    tmp_path: Path, times: Sequence[Any], dtype: Any, settings: list[str], engine: str
) -> None:
    store = prepared("found", engine, "source=table", f"source.path={write(tmp_path, times, dtype)}", *settings)
    assert items_in_order(store) == "abcd"
    assert len(set(store.time.tolist())) == 1
    assert told(store)["resolution"] == (
        "below a second",
        "Times have fractions of a second: used for the order, then dropped; the store keeps seconds.",
    )
    assert any("fractions of a second used for the order, then dropped" in note for note in store.manifest["notes"])


@pytest.mark.parametrize("engine", ENGINES)
def test_the_store_is_the_same_on_every_engine(tmp_path: Path, engine: str) -> None:
    rows = [(f"u{n % 3}", f"i{n * 7 % 11}", START * 1_000 + n * 377 % 2_500, float(n % 5)) for n in range(200)]
    file = tmp_path / "log.parquet"
    pl.DataFrame(rows, schema=["user", "item", "time", "price"], orient="row").write_parquet(file)
    overrides = ["source=table", f"source.path={file}", "source.columns.value=price", "source.item_columns=[price]"]
    overrides += ["clean=[duplicates,consecutive]", "ties=shuffle"]
    expected = prepared("expected", "polars", *overrides)
    assert expected.n_events < 200
    assert content(prepared("found", engine, *overrides)) == content(expected)


@pytest.mark.parametrize("engine", ["polars", *ENGINES])
def test_the_last_nanosecond_of_a_second_belongs_to_it(tmp_path: Path, engine: str) -> None:
    file = write(tmp_path, [START * 10**9 + n for n in (999_999_999, 0, 999_999_998, 10**9)], pl.Int64)
    store = prepared("found", engine, "source=table", f"source.path={file}")
    assert store.time.tolist() == [START, START, START, START + 1]
    assert items_in_order(store) == "bcda"
