"""What the table source makes of columns beside user, item and time: parts, behaviours, descriptions."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest

from ltsi.engines import polars
from ltsi.engines.polars import Polars
from ltsi.errors import ConfigError, DataError, UserError
from ltsi.events import Behavior, RawData
from ltsi.sources import descriptions
from ltsi.sources.table import Table

WORK = TemporaryDirectory(prefix="ltsi-test-")
engine = Polars(Path(WORK.name))

COLUMNS = {"user": "user", "item": "item", "time": "time"}
LOG = """user,item,time,how,part,day,month,year,price,city
a,1,1318896000,view,train,18,10,2011,9.5,
a,2,1318896001,buy,valid,18,10,2011,3,Bonn
b,1,1318896002,buy,test,1,2,2012,8.5,Rome
a,1,1318896003,view,train,3,1,2012,,Kiel
"""
MOVIES = "movie,title,year,genres\n1,Heat,1995,Action | Crime\n2,Ran,1985,\n3,M,,Crime\n"


def write(path: Path, text: str = LOG) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def read(folder: Path, columns: Any = None, **settings: Any) -> RawData:
    return Table(write(folder / "log.csv"), COLUMNS | (columns or {}), **settings).load(engine)


def column(raw: RawData, name: str) -> list[Any]:
    return list(raw.events.sort("row").collect()[name].to_list())


def test_a_split_of_the_users_own(tmp_path: Path) -> None:
    assert column(read(tmp_path, {"part": "part"}), "part") == ["train", "valid", "test", "train"]


def test_a_part_that_is_none_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", LOG.replace("valid", "validation"))
    with pytest.raises(
        DataError,
        match=r"'part': the part 'validation' in row 2 is not one of: train, valid, test\. Did you mean 'valid'\?",
    ):
        Table(path, COLUMNS | {"part": "part"}).load(engine)


def test_several_columns_of_time_are_joined(tmp_path: Path) -> None:
    raw = read(tmp_path, {"time": ["day", "month", "year"]}, time_format="%d-%m-%Y")
    # 2011-10-18, 2012-02-01 and 2012-01-03 are days 15265, 15371 and 15342 since 1970.
    assert column(raw, "time") == [15265 * 86_400, 15265 * 86_400, 15371 * 86_400, 15342 * 86_400]
    path = write(tmp_path / "log.csv", LOG.replace("1,2,2012", ",2,2012"))
    with pytest.raises(
        DataError, match=r"column 'day' \(source\.columns\.time\): 1 rows have no value, the first is row 3"
    ):
        Table(path, COLUMNS | {"time": ["day", "month"]}, time_format="%d-%m").load(engine)
    with pytest.raises(ConfigError, match=r"several columns needs source\.time_format"):
        read(tmp_path, {"time": ["day", "month", "year"]})


def test_behaviors_get_weights_and_roles(tmp_path: Path) -> None:
    raw = read(tmp_path, {"behavior": "how"}, behaviors={"buy": {"weight": 4, "role": "target"}})
    assert raw.behaviors == {"buy": Behavior(4.0, "target"), "view": Behavior(1.0, "both")}
    assert read(tmp_path, {"behavior": "how"}).behaviors == {}


@pytest.mark.parametrize(
    ("behaviors", "error", "sentence"),
    [
        ({"vieuw": {}}, DataError, r"has no behaviour 'vieuw', which .* it has: buy, view\. Did you mean 'view'"),
        ({"buy": {"role": "input"}, "view": {"role": "input"}}, DataError, r"the role input: none is left to predict"),
        ({"buy": {"role": "targets"}}, ConfigError, r"buy\.role=targets must be one of: .*\. Did you mean 'target'"),
        ({"buy": {"weight": 0}}, ConfigError, r"behaviors\.buy\.weight=0 must be a number above 0"),
        ({"buy": {"wait": 2}}, ConfigError, r"behaviors\.buy has no setting 'wait'; it has weight and role"),
        ({"buy": 4}, ConfigError, r"behaviors\.buy reads \{weight: NUMBER, role: input\|target\|both\}, not '4'"),
    ],
)  # fmt: skip
def test_behaviors_that_cannot_be_meant_are_refused(
    tmp_path: Path, behaviors: Any, error: type[UserError], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        read(tmp_path, {"behavior": "how"}, behaviors=behaviors)


def test_columns_of_the_log_describe_users_and_items(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptions, "COMPACT_ROWS", 1)
    raw = read(tmp_path, item_columns=["price", "how"], user_columns=["city"])
    assert raw.items is not None
    assert raw.users is not None
    assert raw.items.rows(named=True) == [
        {"item": "1", "price": 8.5, "how": "view"},  # the last price that is there, the last behaviour
        {"item": "2", "price": 3.0, "how": "buy"},
    ]
    assert raw.users.rows() == [("a", "Kiel"), ("b", "Rome")]


@pytest.mark.parametrize("compact", [1, 2_000_000])
def test_the_last_value_is_that_of_the_latest_time(
    tmp_path: Path, compact: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(descriptions, "COMPACT_ROWS", compact)
    monkeypatch.setattr(polars, "BATCH_ROWS", compact)
    rows = "a,1,1318896300,30,x\na,1,1318896200,20,x\na,1,1318896100,10,\na,2,1318896000,,\na,2,1318896300,7,y\n"
    path = write(tmp_path / "log.csv", "user,item,time,price,kind\n" + rows)
    raw = Table(path, COLUMNS, item_columns=["price", "kind"]).load(engine)
    assert raw.items is not None
    assert raw.items.rows() == [("1", 30.0, "x"), ("2", 7.0, "y")]
    (finding,) = raw.findings
    assert (finding.severity, finding.finding, finding.value) == ("warn", "varying_description", 0.5)
    assert "several values of 'price'; each gets the last of the whole log, its test part too" in finding.detail
    raw = Table(path, COLUMNS | {"time": None}, item_columns=["price"]).load(engine)
    assert raw.items is not None
    assert raw.items.rows() == [("1", 10.0), ("2", 7.0)]


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_a_table_beside_the_log_describes_items(tmp_path: Path, suffix: str) -> None:
    path, table = (
        tmp_path / f"movies{suffix}",
        pl.read_csv(write(tmp_path / "movies.csv", MOVIES).encode() and tmp_path / "movies.csv"),
    )
    if suffix == ".parquet":
        table.write_parquet(path)
    elif suffix == ".jsonl":
        table.write_ndjson(path)
    raw = read(tmp_path, items={"path": str(path), "key": "movie", "tags": {"genres": "|"}})
    assert raw.items is not None
    assert raw.items.rows(named=True) == [
        {"item": "1", "title": "Heat", "year": 1995, "genres": ["Action", "Crime"]},
        {"item": "2", "title": "Ran", "year": 1985, "genres": None},
    ]
    assert any(note.endswith("describes 2 of 2 items.") for note in raw.notes)
    assert [file.name for file in raw.inputs] == ["log.csv", path.name]


def test_a_table_and_columns_of_the_log_stand_beside_each_other(tmp_path: Path) -> None:
    write(tmp_path / "people.csv", "id;age\na;31\n")
    raw = read(
        tmp_path, user_columns=["city"], users={"path": str(tmp_path / "people.csv"), "key": "id", "columns": ["age"]}
    )
    assert raw.users is not None
    assert raw.users.rows(named=True) == [
        {"user": "a", "city": "Kiel", "age": 31},
        {"user": "b", "city": "Rome", "age": None},
    ]


@pytest.mark.parametrize(
    ("text", "settings", "error", "sentence"),
    [
        (MOVIES, {"key": "film"}, DataError, r"no column 'film'; it has: .*; set source\.items\.key=COLUMN"),
        (MOVIES, {"columns": ["titel"]}, DataError, r"set source\.items\.columns\[0\]=COLUMN\. Did you mean 'title'"),
        (MOVIES, {"tags": {"genre": "|"}}, DataError, r"set source\.items\.tags=COLUMN\. Did you mean 'genres'"),
        (MOVIES, {"keys": "movie"}, ConfigError, r"source\.items has no setting 'keys'; .*Did you mean 'key'"),
        (MOVIES, {"key": None}, ConfigError, r"source\.items needs key; it reads"),
        (MOVIES + "2,Ran,,\n", {}, DataError, r"row 4 repeats the id '2'; source\.items holds one row an id"),
        (MOVIES + ",Ran,,\n", {}, DataError, r"column 'movie': row 4 has no id"),
        (MOVIES, {"key": "title", "columns": ["year"]}, DataError, r"none of the log's items; is source\.items\.key"),
        (MOVIES.replace("title", "item"), {}, ConfigError, r"must not take a column 'item' beside its key"),
        (MOVIES.replace("title", "price"), {}, ConfigError, r"both give the column 'price'; drop one"),
    ],
)  # fmt: skip
def test_a_table_beside_the_log_that_does_not_fit_is_refused(
    tmp_path: Path, text: str, settings: Any, error: type[UserError], sentence: str
) -> None:
    entry = {"path": write(tmp_path / "movies.csv", text), "key": "movie", **settings}
    with pytest.raises(error, match=sentence):
        read(tmp_path, items=entry, item_columns=["price"])


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"behaviour": "how"}, r"source\.columns\.behaviour is not a role; .*Did you mean 'behavior'"),
        ({"user": None}, r"source\.columns\.user=null: an event needs users"),
    ],
)
def test_roles_that_cannot_be_meant_are_refused(tmp_path: Path, columns: Any, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        read(tmp_path, columns)


def test_precision_loss_is_found(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    times = pl.Series([1318896000 + 1000 * n for n in range(30)], dtype=pl.Float32)
    pl.DataFrame({"user": ["a"] * 30, "item": ["x"] * 30, "time": times}).write_parquet(path)
    (finding,) = Table(str(path), COLUMNS).load(engine).findings
    assert (finding.severity, finding.finding) == ("error", "precision_loss")


@pytest.mark.parametrize("written", ["3,5", "1.000,5", "1,000.5", "1,000"])
def test_a_number_with_a_comma_says_how_to_write_it(tmp_path: Path, written: str) -> None:
    path = write(tmp_path / "log.csv", f"user;item;time;price\na;1;1318896000;2\na;2;1318896001;{written}\n")
    sentence = (
        rf"log\.csv, column 'price': '{written}' in row 2 is not a number .*; write decimals with a point, as in 3\.5"
    )
    with pytest.raises(DataError, match=sentence):
        Table(path, COLUMNS | {"value": "price"}).load(engine)
    with pytest.raises(DataError, match=sentence):
        Table(path, COLUMNS, filters=[{"column": "price", "at_least": 1}]).load(engine)
    (found,) = Table(path, COLUMNS, item_columns=["price"]).load(engine).findings
    assert (found.severity, found.finding, found.value) == ("warn", "number_with_comma", "price")
    assert f"such as '{written}'" in found.detail


def test_a_text_with_a_comma_is_a_text(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", "user;item;time;size\na;1;1318896000;3,5\na;2;1318896001;large, 3\n")
    assert Table(path, COLUMNS, item_columns=["size"]).load(engine).findings == []


def test_the_latest_time_is_told_by_fractions_of_a_second(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", "user,item,time,price\na,1,1318896000.9,2\na,1,1318896000.1,3\n")
    items = Table(path, COLUMNS, item_columns=["price"]).load(engine).items
    assert items is not None
    assert items["price"].to_list() == [2.0]
