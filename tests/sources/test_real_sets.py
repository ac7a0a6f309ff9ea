"""The real logs that are at hand are read whole: counts are those of the page beside them."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_module

from ltsi.engines.polars import Polars
from ltsi.events import RawData, validate_events
from ltsi.workflows.build import build


def load(work: Path, *overrides: str) -> RawData:
    with initialize_config_module("ltsi.conf", version_base="1.3"):
        raw: RawData = build(compose("prepare", list(overrides)).source).load(Polars(work))
    return raw


@pytest.mark.parametrize(
    ("overrides", "users", "items", "events", "clock"),
    [
        (["recbole", "ml-100k"], 943, 1_682, 100_000, True),
        (["movielens_latest_small", "ml-latest-small"], 671, 9_066, 100_004, True),
        (["amazon_beauty", "amazon-beauty"], 22_363, 12_101, 198_502, True),
        (["amazon_beauty_org_rank", "amazon-beauty"], 22_363, 12_101, 198_502, True),
        (["amazon_sports", "amazon-sports"], 35_598, 18_357, 296_337, True),
        (["amazon_sports_org_rank", "amazon-sports"], 35_598, 18_357, 296_337, True),
        (["yelp_s3rec", "yelp"], 30_431, 20_033, 316_354, True),
        (["lastfm_s3rec", "lastfm-s3rec"], 1_090, 3_646, 52_551, False),
        (["sequences", "ml-1m/ml-1m_sasrec_sequences.txt.gz"], 6_040, 3_416, 999_611, False),
        # Five rows of 186,479 have impossible years.
        (["lastfm", "lastfm-hetrec"], 1_892, 12_523, 186_474, True),
        (["cdnow", "cdnow"], 23_570, 1, 69_659, True),
        (["online_retail", "uci-online-retail"], 4_338, 3_665, 397_884, True),
        (
            ["table", "taobao-multibehavior/events.csv.gz", "columns.time=timestamp", "columns.behavior=behavior"],
            31_882, 30_985, 357_412, True,
        ),
        (
            ["table", "amazon-grocery-rechorus/train.csv.gz", "columns.user=user_id", "columns.item=item_id"],
            14_681, 8_687, 121_892, True,
        ),
    ],
)  # fmt: skip
def test_real_logs_are_read_whole(
    overrides: list[str], users: int, items: int, events: int, clock: bool, tmp_path: Path, realdata: Path
) -> None:
    name, path, *settings = overrides
    raw = load(tmp_path, f"source={name}", f"source.path={realdata / path}", *(f"source.{each}" for each in settings))
    log = validate_events(raw.events, name).collect()
    assert (log["user"].n_unique(), log["item"].n_unique(), len(log)) == (users, items, events)
    assert raw.clock == clock


def test_item_tables_of_real_logs(tmp_path: Path, realdata: Path) -> None:
    raw = load(tmp_path, "source=amazon_beauty", f"source.path={realdata}/amazon-beauty")
    assert raw.items is not None
    attributes = raw.items.to_polars()["attributes"]
    assert len(attributes) == 12_101
    assert attributes.explode().n_unique() == 637
    assert round(attributes.list.len().mean(), 2) == 3.72  # type: ignore[arg-type]
    # The two editions hold the same log.
    other = load(tmp_path, "source=amazon_beauty_org_rank", f"source.path={realdata}/amazon-beauty").events.collect()
    own = raw.events.collect()
    assert sorted(own["time"].to_list()) == sorted(other["time"].to_list())
