"""What the audit finds by itself in logs that nobody here wrote."""

import gzip
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from hydra import compose, initialize_config_module

from ltsi.engines.polars import Polars
from ltsi.preparation.audit import audit
from ltsi.preparation.encode import encode
from ltsi.store import open_store
from ltsi.workflows import prepare

Found = dict[str, dict[str, Any]]


def prepared(*overrides: str) -> Found:
    with initialize_config_module("ltsi.conf", version_base="1.3"):
        prepare.run(compose("prepare", [*overrides, "name=log"]))
    return {finding["finding"]: finding for finding in open_store("log").manifest["audit"]}


def sequences(items: Path, times: Path | None = None) -> Found:
    return prepared("source=sequences", f"source.path={items}", f"source.times={times or 'null'}")


@pytest.mark.parametrize(
    ("folder", "stem", "compared"),
    [("amazon-beauty", "Beauty", "1 of 11,464"), ("amazon-sports", "Sports_and_Outdoors", "0 of 14,613")],
)
def test_ties_follow_one_global_order(realdata: Path, folder: str, stem: str, compared: str) -> None:
    found = sequences(realdata / folder / f"{stem}.txt.gz", realdata / folder / f"{stem}_time.txt.gz")
    assert (found["tie_order"]["severity"], found["tie_order"]["value"]) == ("warn", "one global order of items")
    assert f"{compared} pairs of items" in found["tie_order"]["detail"]
    assert found["baskets"]["severity"] == "info"


@pytest.mark.parametrize(("folder", "stem"), [("amazon-beauty", "Beauty"), ("amazon-sports", "Sports")])
def test_the_other_edition_has_random_ties(realdata: Path, folder: str, stem: str) -> None:
    items, times = (realdata / folder / f"{stem}_{what}_org_rank.txt.gz" for what in ("item", "time"))
    found = sequences(items, times)
    assert (found["tie_order"]["severity"], found["tie_order"]["value"]) == ("info", "random")
    assert found["same_time_steps"]["severity"] == "warn"


def test_a_log_without_ties_and_without_faults(realdata: Path) -> None:
    found = sequences(realdata / "yelp/Yelp.txt.gz", realdata / "yelp/Yelp_time.txt.gz")
    assert {finding["severity"] for finding in found.values()} == {"info"}
    assert found["repeats"]["value"] == 11_830


def test_order_only(realdata: Path) -> None:
    assert sequences(realdata / "lastfm-s3rec/LastFM.txt.gz")["clock"]["severity"] == "warn"


def test_baskets(realdata: Path) -> None:
    found = prepared("source=online_retail", f"source.path={realdata}/uci-online-retail/online_retail.csv.gz")
    assert (found["baskets"]["severity"], found["baskets"]["value"]) == ("warn", 17_086)
    assert "23.2 on average, 99.7% of all events" in found["baskets"]["detail"]
    assert found["tie_order"]["value"] == "random"


def test_nine_days(realdata: Path) -> None:
    found = prepared(
        "source=table", f"source.path={realdata}/taobao-multibehavior/events.csv.gz", "source.columns.time=timestamp",
        "source.columns.behavior=behavior",
    )  # fmt: skip
    assert (found["short_span"]["severity"], found["short_span"]["value"]) == ("warn", 9)


def table(file: Path, folder: Path, **columns: pl.Expr) -> Found:
    """Audits a tab-separated file of days or seconds."""
    raw = pl.read_csv(gzip.decompress(file.read_bytes()), separator="\t", infer_schema=False)
    rows = raw.select(**columns, behavior=pl.lit("interaction"), row=pl.int_range(1, pl.len() + 1))
    encoded = encode(nw.from_native(rows.lazy()), Polars(folder))
    return {finding.finding: finding.as_dict() for finding in audit(encoded.events, encoded.row, clock=True)}


def test_impossible_years(realdata: Path, tmp_path: Path) -> None:
    day = pl.date(*(pl.col(name).cast(pl.Int32) for name in ("year", "month", "day")))
    found = table(
        realdata / "lastfm-hetrec/user_taggedartists.dat.gz", tmp_path,
        user=pl.col("userID"), item=pl.col("artistID"), time=day.cast(pl.Datetime("ms")).dt.epoch("s"),
    )  # fmt: skip
    errors = [name for name, finding in found.items() if finding["severity"] == "error"]
    assert errors == ["impossible_dates"]
    assert found["impossible_dates"]["value"] == 5
    assert "from 1956-06-01 00:00:00 on, the first in row 4,145" in found["impossible_dates"]["detail"]
    assert "clean.time_window.first=2005-08-01" in found["impossible_dates"]["detail"]


def test_histories_of_one_sitting(realdata: Path, tmp_path: Path) -> None:
    found = table(
        realdata / "ml-100k/ml-100k.inter.gz", tmp_path,
        user=pl.col("user_id:token"), item=pl.col("item_id:token"),
        time=pl.col("timestamp:float").cast(pl.Float64).cast(pl.Int64),
    )  # fmt: skip
    assert (found["sitting"]["severity"], found["tie_order"]["value"]) == ("warn", "random")
    assert "the median history takes 0.03 days" in found["sitting"]["detail"]
