from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import narwhals as nw
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltsi.sources.zones import Change, changes, is_doubtful, to_utc

ZONES = ["Europe/London", "America/New_York", "Asia/Tokyo", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"]


def epoch(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def test_a_summer_has_two_changes() -> None:
    start, found = changes(ZoneInfo("Europe/London"), epoch("2011-01-01"), epoch("2011-12-31"))
    assert start == 0
    assert found == [Change(epoch("2011-03-27 01:00:00"), 3_600), Change(epoch("2011-10-30 02:00:00"), -3_600)]
    spring, autumn = (change.doubtful for change in found)
    assert spring == (epoch("2011-03-27 01:00:00"), epoch("2011-03-27 02:00:00"))  # skipped
    assert autumn == (epoch("2011-10-30 01:00:00"), epoch("2011-10-30 02:00:00"))  # twice


@pytest.mark.parametrize("zone", ZONES)
@settings(max_examples=15)
@given(st.lists(st.datetimes(datetime(1990, 1, 1), datetime(2037, 1, 1)), min_size=1, max_size=5))
def test_it_agrees_with_the_standard_library(zone: str, moments: list[datetime]) -> None:
    wall = [int(moment.replace(tzinfo=UTC).timestamp()) for moment in moments]
    start, found = changes(ZoneInfo(zone), min(wall), max(wall))
    frame = nw.from_native(pl.LazyFrame({"wall": wall}))
    column = nw.col("wall")
    table = frame.with_columns(utc=to_utc(column, start, found), odd=is_doubtful(column, found)).collect()
    for moment, utc, odd in zip(moments, table["utc"].to_list(), table["odd"].to_list(), strict=True):
        first, second = (moment.replace(tzinfo=ZoneInfo(zone), fold=fold) for fold in (0, 1))
        assert odd == (first.utcoffset() != second.utcoffset())
        if not odd:
            assert utc == int(first.timestamp())
