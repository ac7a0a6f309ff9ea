"""Real logs as they were published: the counts that their README states."""

from pathlib import Path
from typing import Any

import pytest

from ltsi.engines.polars import Polars
from ltsi.events import RawData
from ltsi.sources.sequences import Sequences
from ltsi.sources.table import Table


def facts(raw: RawData) -> tuple[int, int, int]:
    """Return how many users, items and events there are."""
    events = raw.events.collect()
    return events["user"].n_unique(), events["item"].n_unique(), len(events)


def engine(folder: Path) -> Polars:
    return Polars(folder)


def test_online_retail(realdata: Path, tmp_path: Path) -> None:
    filters: list[dict[str, Any]] = [
        {"column": "CustomerID", "not_null": True},
        {"column": "Quantity", "greater_than": 0},
        {"column": "UnitPrice", "greater_than": 0},
    ]
    columns = {"user": "CustomerID", "item": "StockCode", "time": "InvoiceDate", "value": "Quantity"}
    path = str(realdata / "uci-online-retail" / "online_retail.csv.gz")
    raw = Table(path, columns, filters=filters, time_zone="Europe/London").load(engine(tmp_path))
    assert facts(raw) == (4_338, 3_665, 397_884)
    assert raw.steps[0].dropped == 135_080


def test_time_from_three_columns(realdata: Path, tmp_path: Path) -> None:
    path = str(realdata / "lastfm-hetrec" / "user_taggedartists.dat.gz")
    columns = {"user": "userID", "item": "artistID", "time": ["day", "month", "year"]}
    filters = [{"column": "year", "at_least": 2005, "reason": "impossible year"}]
    raw = Table(path, columns, filters=filters, time_format="%d-%m-%Y").load(engine(tmp_path))
    assert facts(raw) == (1_892, 12_523, 186_479 - 5)
    assert raw.steps[0].dropped == 5


def test_columns_between_blanks(realdata: Path, tmp_path: Path) -> None:
    path = str(realdata / "cdnow" / "CDNOW_master.txt.gz")
    columns = {"user": "customer_id", "item": "number_of_cds", "time": "date", "value": "dollar_value"}
    raw = Table(path, columns, delimiter="whitespace", time_format="%Y%m%d").load(engine(tmp_path))
    assert (facts(raw)[0], facts(raw)[2]) == (23_570, 69_659)
    assert "from 1997-01-01 00:00:00 to 1998-06-30 00:00:00 UTC" in raw.notes[0]


def test_movies_beside_ratings(realdata: Path, tmp_path: Path) -> None:
    folder = realdata / "ml-latest-small"
    columns = {"user": "userId", "item": "movieId", "time": "timestamp", "value": "rating"}
    movies = {"path": str(folder / "movies.csv.gz"), "key": "movieId", "tags": {"genres": "|"}}
    raw = Table(str(folder / "ratings.csv.gz"), columns, items=movies).load(engine(tmp_path))
    assert facts(raw) == (671, 9_066, 100_004)
    assert raw.items is not None
    heat = next(row for row in raw.items.rows(named=True) if row["item"] == "6")
    assert heat == {"item": "6", "title": "Heat (1995)", "genres": ["Action", "Crime", "Thriller"]}


def test_several_behaviors(realdata: Path, tmp_path: Path) -> None:
    path = str(realdata / "taobao-multibehavior" / "events.csv.gz")
    columns = {"user": "user", "item": "item", "time": "timestamp", "behavior": "behavior"}
    raw = Table(path, columns, behaviors={"buy": {"weight": 4, "role": "target"}}).load(engine(tmp_path))
    assert facts(raw) == (31_882, 30_985, 357_412)
    assert {name: each.role for name, each in raw.behaviors.items()} == {"buy": "target", "cart": "both", "fav": "both"}


@pytest.mark.parametrize(
    ("folder", "name", "expected"),
    [
        ("amazon-beauty", "Beauty", (22_363, 12_101, 198_502)),
        ("amazon-sports", "Sports_and_Outdoors", (35_598, 18_357, 296_337)),
        ("yelp", "Yelp", (30_431, 20_033, 316_354)),
    ],
)
def test_sequences(realdata: Path, tmp_path: Path, folder: str, name: str, expected: tuple[int, int, int]) -> None:
    files = (str(realdata / folder / f"{name}{kind}.txt.gz") for kind in ("", "_time"))
    raw = Sequences(*files).load(engine(tmp_path))
    assert facts(raw) == expected
