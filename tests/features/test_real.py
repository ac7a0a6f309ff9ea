"""Features of logs that nobody here wrote."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from ltsi.errors import DataError
from ltsi.features.declarations import read_declarations
from ltsi.features.report import report
from ltsi.features.space import FeatureSpace
from ltsi.sequences.global_time import GlobalTime
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.sequences.split import Split
from ltsi.store import EncodedEvents, Store, store_path
from ltsi.store_writer import write_store


def write(name: str, events: pl.DataFrame, items: pl.DataFrame, users: pl.DataFrame) -> Store:
    """Encode the ids of `user, item, time` as the rows of the tables."""
    ids = {side: table.with_row_index(f"{side}_index").select(side, f"{side}_index")
           for side, table in (("item", items), ("user", users))}  # fmt: skip
    coded = events.with_row_index("row").join(ids["item"], on="item").join(ids["user"], on="user")
    coded = coded.sort("user_index", "time", "row")
    counts = np.bincount(coded["user_index"].to_numpy(), minlength=users.height)
    return write_store(
        store_path(name),
        EncodedEvents(
            offsets=np.concatenate([[0], np.cumsum(counts)]),
            item=coded["item_index"].to_numpy().astype(np.int32),
            time=coded["time"].to_numpy(),
            behavior=np.zeros(coded.height, dtype=np.uint8),
        ),
        items=items,
        users=users,
        manifest={"time": {"clock": True}},
    )


def atomic(file: Path) -> pl.DataFrame:
    """Read a file of RecBole as text, its columns without their types."""
    table = pl.read_csv(file, separator="\t", infer_schema=False, quote_char=None)
    return table.rename({name: name.partition(":")[0] for name in table.columns})


def fit(split: Split, config: dict[str, Any]) -> FeatureSpace:
    return FeatureSpace.fit(split, read_declarations(config, split.store))


@pytest.fixture
def movies(realdata: Path) -> Split:
    folder = realdata / "ml-100k"
    items = atomic(folder / "ml-100k.item.gz").rename({"item_id": "item", "class": "genres"})
    users = atomic(folder / "ml-100k.user.gz").rename({"user_id": "user"})
    events = atomic(folder / "ml-100k.inter.gz").rename({"user_id": "user", "item_id": "item"})
    events = events.with_columns(time=pl.col("timestamp").cast(pl.Float64).cast(pl.Int64))
    return LeaveOneOut()(write("movies", events, items, users))


def test_movies(movies: Split) -> None:
    config: dict[str, Any] = {
        "item": {
            "movie_title": "categorical",
            "release_year": {"kind": "numeric", "scale": "robust"},
            "genres": {"kind": "tags", "separator": " "},
        },
        "user": {
            "occupation": "categorical",
            "age": "numeric",
            "age_group": {"kind": "buckets", "column": "age", "edges": [18, 25, 35, 50]},
        },
        "event": {"hour": "hour_of_day", "weekday": "day_of_week"},
        "cross": [["user.occupation", "user.age_group"], ["user.occupation", "event.hour"]],
    }
    with pytest.raises(DataError, match="'unkonwn' in column 'release_year' of item '267' is not a number"):
        fit(movies, config)
    config["item"]["release_year"] = {"kind": "categorical", "min_count": 1_000}
    space = fit(movies, config)
    layout = space.layout
    # 19 genres, `unknown` among them; 21 occupations.
    assert layout.categorical["user.occupation"] == 2 + 21
    fitted = {feature["name"]: feature["fitted"] for feature in space.state()["item"] + space.state()["user"]}
    assert "Children's" in fitted["item.genres"]["labels"]
    assert len(fitted["item.genres"]["labels"]) == 19
    store = movies.store
    trained = movies.train_end - store.offsets[:-1]
    ages = store.users["age"].cast(pl.Float64).to_numpy()
    assert fitted["user.age"]["center"] == pytest.approx(np.average(ages, weights=trained))
    assert fitted["item.genres"]["labels"][0] == "Drama"
    features = space.encode(store)
    batch = features.events(*(torch.arange(100) for _ in range(3)))
    of_first_user = store.users.row(0, named=True)
    assert fitted["user.occupation"]["labels"][batch.categorical_BC[0, 0] - 2] == of_first_user["occupation"]
    rows: dict[Any, Any] = {row[0]: row for row in report(space, features, movies).rows}
    # Titles of the few items that nobody rated before their last two events.
    assert 0 < rows["item.movie_title"][7] < 0.01
    assert rows["user.age_group"][2] == 2 + 5


def test_movies_as_they_come(movies: Split) -> None:
    """All columns are text, so `auto` makes labels of them."""
    space = fit(movies, {"item": "auto", "user": "auto"})
    assert len(space.layout.categorical) == 3 + 4
    assert space.layout.categorical["user.gender"] == 2 + 2


@pytest.fixture
def shop(realdata: Path) -> Split:
    log = pl.read_csv(realdata / "uci-online-retail" / "online_retail.csv.gz", infer_schema=False)
    log = log.rename({"StockCode": "item", "CustomerID": "user"}).filter(pl.col("user").is_not_null())
    log = log.with_columns(
        time=pl.col("InvoiceDate").str.to_datetime("%Y-%m-%d %H:%M:%S").dt.epoch("s"),
        price=pl.col("UnitPrice").cast(pl.Float64),
    )
    log = log.filter(~pl.col("InvoiceNo").str.starts_with("C"), pl.col("price") > 0)
    items = log.group_by("item").agg(pl.col("price").median(), pl.col("Description").first()).sort("item")
    users = log.group_by("user").agg(pl.col("Country").first()).sort("user")
    return GlobalTime(valid="2011-09-01", test="2011-11-01")(write("shop", log, items, users))


def test_shop(shop: Split) -> None:
    config = {
        "item": {
            "price": {"kind": "numeric", "scale": "log1p"},
            "level": {"kind": "buckets", "column": "price", "buckets": 10},
        },
        "user": {"Country": {"kind": "categorical", "min_count": 100}},
        "event": {"weekday": "day_of_week"},
        "cross": [["user.Country", "item.level"]],
    }
    space = fit(shop, config)
    features = space.encode(shop.store)
    counts, prices = np.zeros(12, np.int64), []
    for block in shop.training_blocks():
        item = torch.from_numpy(block.item.astype(np.int64))
        level = features.items(item).categorical_BC[:, 0].numpy()
        counts += np.bincount(level, minlength=12)
        prices.append(shop.store.items["price"].to_numpy()[block.item])
    price = np.concatenate(prices)
    edges = space.state()["item"][1]["fitted"]["edges"]
    # The edges are the deciles of the events' prices, and between them lie the events that numpy counts there.
    assert edges == sorted(set(np.quantile(price, np.arange(1, 10) / 10, method="inverted_cdf")))
    assert counts[2:].tolist() == [
        int(((low < price) & (price <= high)).sum())
        for low, high in zip([-np.inf, *edges], [*edges, np.inf], strict=True)
    ] + [0] * (9 - len(edges))
    rows: dict[Any, Any] = {row[0]: row for row in report(space, features, shop).rows}
    assert rows["item.price"][3] == pytest.approx(np.log1p(price).mean())
    assert rows["item.price"][4] == pytest.approx(np.log1p(price).std())
    assert 2 < rows["user.Country"][2] < 2 + 37
