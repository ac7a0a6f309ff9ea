import tracemalloc
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltsi.errors import ConfigError, DataError
from ltsi.findings import Finding
from ltsi.sources import time_errors
from ltsi.sources.time_formats import UNITS
from ltsi.sources.times import TimeColumn, parse_times

MOMENTS = st.datetimes(min_value=datetime(1974, 1, 1), max_value=datetime(2100, 1, 1))


def parse(values: list[Any], dtype: Any = None, **settings: Any) -> tuple[list[int], str]:
    table = pl.DataFrame({"time": pl.Series(values, dtype=dtype), "row": range(1, len(values) + 1)})
    events, note, _ = parse_times(nw.from_native(table.lazy()), TimeColumn("time", "log.csv, column 'at'", **settings))
    return events.collect()["time"].to_list(), note


def epoch(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@given(st.lists(MOMENTS, min_size=1), st.sampled_from(sorted(UNITS)), st.booleans())
def test_numbers_of_any_unit_are_told_by_their_size(moments: list[datetime], unit: str, as_text: bool) -> None:
    seconds = [int(moment.replace(tzinfo=UTC).timestamp()) for moment in moments]
    # The fraction of a second is lost, downwards.
    numbers = [second * UNITS[unit] + UNITS[unit] - 1 for second in seconds]
    found, note = parse([str(number) for number in numbers] if as_text else numbers)
    assert found == seconds
    assert f"numbers in {unit} since 1970 (detected" in note


@given(
    st.lists(MOMENTS, min_size=1), st.sampled_from([" ", "T"]), st.sampled_from(["minutes", "seconds", "milliseconds"])
)
def test_iso_text_is_utc(moments: list[datetime], separator: str, precision: str) -> None:
    texts = [moment.isoformat(separator, timespec=precision) for moment in moments]
    assert parse(texts)[0] == [epoch(text[:19]) for text in texts]


@given(st.lists(st.tuples(MOMENTS, st.integers(-14 * 60, 14 * 60)), min_size=1))
def test_iso_text_with_an_offset_is_converted(moments: list[tuple[datetime, int]]) -> None:
    zoned = [moment.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=minutes))) for moment, minutes in moments]
    assert parse([moment.isoformat() for moment in zoned])[0] == [int(moment.timestamp()) for moment in zoned]


@given(st.lists(st.dates(min_value=datetime(1974, 1, 1).date()), min_size=1))
def test_dates_are_midnight(dates: list[Any]) -> None:
    assert parse([date.isoformat() for date in dates])[0] == [epoch(date.isoformat()) for date in dates]


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        (["2011-01-02T03:04:05Z", "2011-01-02 03:04:05+00:00"], pl.String, [1293937445, 1293937445]),
        (["2011-01-02T03:04:05.9"], pl.String, [1293937445]),
        (["1293937445.0", "1293937446.75"], pl.String, [1293937445, 1293937446]),
        ([1293937445.0], pl.Float64, [1293937445]),
        ([" 1293937445 "], pl.String, [1293937445]),
        ([datetime(2011, 1, 2, 3, 4, 5)], pl.Datetime("ns"), [1293937445]),
        ([datetime(2011, 1, 2).date()], pl.Date, [1293926400]),
        ([-1293937445, -1293937446], pl.Int64, [-1293937445, -1293937446]),
        (["2012-02-29"], pl.String, [1330473600]),
        (["2011-01-02 03:04"], pl.String, [1293937440]),
        (["2011-01-02T03:04+0100"], pl.String, [1293937440 - 3600]),
    ],
)
def test_what_files_hold(values: list[Any], dtype: Any, expected: list[int]) -> None:
    assert parse(values, dtype)[0] == expected


def test_a_typed_time_with_a_zone_is_converted() -> None:
    table = pl.Series([datetime(2011, 7, 1, 12)]).dt.replace_time_zone("Europe/London")
    assert parse(table.to_list(), pl.Datetime("us", "Europe/London"), zone="Asia/Tokyo")[0] == [
        epoch("2011-07-01 11:00:00")
    ]


def test_a_zone_for_times_without_one() -> None:
    found, note = parse(["2011-01-02 12:00:00", "2011-07-02 12:00:00"], zone="Europe/London")
    assert found == [epoch("2011-01-02 12:00:00"), epoch("2011-07-02 11:00:00")]
    assert "in zone Europe/London" in note


def test_a_format() -> None:
    assert parse(["02/01/2011 03:04"], format="%d/%m/%Y %H:%M")[0] == [epoch("2011-01-02 03:04:00")]
    assert parse(["19970102"], format="%Y%m%d")[0] == [epoch("1997-01-02")]


@pytest.mark.parametrize(
    ("values", "written", "expected"),
    [
        ([19970102], "%Y%m%d", "1997-01-02 00:00:00"),
        ([19970102.0], "%Y%m%d", "1997-01-02 00:00:00"),
        (["19970102.0"], "%Y%m%d", "1997-01-02 00:00:00"),
        (["02/01/2011 03:04:05.0"], "%d/%m/%Y %H:%M:%S.0", "2011-01-02 03:04:05"),
        ([1997], "%Y", "1997-01-01 00:00:00"),
        (["1997-03"], "%Y-%m", "1997-03-01 00:00:00"),
        (["1997-03-02 05"], "%Y-%m-%d %H", "1997-03-02 05:00:00"),
        (["02/01/2011 03:04 PM"], "%d/%m/%Y %I:%M %p", "2011-01-02 15:04:00"),
    ],
)
def test_a_format_may_leave_out_what_is_small(values: list[Any], written: str, expected: str) -> None:
    assert parse(values, format=written)[0] == [epoch(expected)]


def test_days_are_counted_from_1970_or_as_in_spreadsheets() -> None:
    assert parse([14976, 14977], unit="day")[0] == [14976 * 86_400, 14977 * 86_400]
    assert parse(["14976.75"], unit="day")[0] == [14976 * 86_400 + 18 * 3_600]
    # 2011-01-01 06:00 is day 40544.25 of a spreadsheet.
    assert parse([40544.25], unit="excel")[0] == [epoch("2011-01-01 06:00:00")]


def test_fractions_of_a_second_are_left_out_and_it_is_said() -> None:
    late = ["1293937446.0"] * 300  # more than the sample that the way of writing is guessed from
    for values in ([1293937445.75, 1293937446.0], ["1293937445.75", "1293937446.0"], [*late, "1293937447.5"]):
        found, note = parse(values)
        assert found == [int(float(value)) for value in values]
        assert "fractions of a second used for the order, then dropped" in note
    assert "fractions" not in parse(["1293937445.000", "1293937446"])[1]


@pytest.mark.parametrize("written", ["%Y-%m-%d %H:%M:%S.%f", "%H:%M:%S,%f", "%d.%m.%Y %I:%M:%S.%f %p", "%H:%M:%S:%f"])
def test_a_format_with_fractions(written: str) -> None:
    written = written if "%Y" in written else f"%Y%m%d {written}"
    moments = [datetime(2011, 1, 2, 3, 4, 5, micros) for micros in (900_000, 123_456, 0)]
    table = pl.DataFrame({"time": [moment.strftime(written) for moment in moments], "row": [1, 2, 3]})
    column = TimeColumn("time", "log.csv", format=written)
    found = parse_times(nw.from_native(table.lazy()), column)[0].collect()
    assert found["fraction"].to_list() == [900_000_000, 123_456_000, 0]


def test_fractions_before_1970_add_up_to_the_time() -> None:
    for value in ("-1000000000.25", -1000000000.25, -1000000000250, datetime(1938, 4, 24, 22, 13, 19, 750_000)):
        table = pl.DataFrame({"time": [value], "row": [1]})
        found = parse_times(nw.from_native(table.lazy()), TimeColumn("time", "log.csv"))[0].collect()
        assert found["time"].item() * 10**9 + found["fraction"].item() == -1_000_000_000_250_000_000


def findings(values: Any, dtype: Any) -> list[Finding]:
    table = pl.DataFrame({"time": pl.Series(values, dtype=dtype), "row": range(1, len(values) + 1)})
    return parse_times(nw.from_native(table.lazy()), TimeColumn("time", "log.csv, column 'at'"))[2]


def test_times_that_32_bits_have_rounded_are_found() -> None:
    times = [1293937445 + 1000 * n for n in range(50)]
    (stored,) = findings(times, pl.Float32)
    assert (stored.severity, stored.finding, stored.value) == ("error", "precision_loss", "128 s")
    rounded = pl.Series(times, dtype=pl.Float32).cast(pl.Int64).to_list()
    for values, dtype in ((rounded, pl.Int64), (rounded, pl.Float64), (list(map(str, rounded)), pl.String)):
        (guessed,) = findings(values, dtype)
        assert (guessed.severity, guessed.finding, guessed.value) == ("warn", "precision_loss", "128 s")


@pytest.mark.parametrize(
    ("first", "unit", "grid"),
    [
        (1_293_937_445, "s", "128 s"),
        (1_000_000_000, "s", "64 s"),
        (1_073_700_000, "s", "64 s"),  # across 2**30, where the grid becomes coarser
        (1_293_937_445, "ms", "131.072 s"),
        (1_293_937_445, "us", "134.218 s"),
        (1_293_937_445, "ns", "137.439 s"),
    ],
)
def test_the_grid_that_is_told_is_the_one_of_the_times(first: int, unit: str, grid: str) -> None:
    times = [(first + 1009 * n) * UNITS[unit] for n in range(100)]
    (found,) = findings(pl.Series(times, dtype=pl.Float32).cast(pl.Int64).to_list(), pl.Int64)
    assert (found.severity, found.value) == ("warn", grid)
    assert found.detail.endswith(f"all times lie on a grid of {grid}, as if 32-bit floats had rounded them.")


def test_round_times_on_the_grid_of_another_age_are_precise() -> None:
    # Of times since 2004 every second multiple of 64 seconds is no 32-bit float.
    assert findings([1_293_937_408 + 64 * n for n in range(50)], pl.Int64) == []


def test_whole_times_and_whole_days_are_precise() -> None:
    assert findings([1293937445 + 1000 * n for n in range(50)], pl.Int64) == []
    assert findings([86_400 * (14976 + n) for n in range(50)], pl.Int64) == []  # a day is 675 times 128 seconds
    assert findings([1672531200 + 8 * 3600 * n for n in range(50)], pl.Int64) == []  # so are 8 hours, 225 times
    assert findings([1672531200 + 32 * 60 * n for n in range(50)], pl.Int64) == []
    assert findings([1293937408], pl.Int64) == []  # one multiple of 128 is no grid


def test_a_unit_that_is_set_is_believed() -> None:
    found, note = parse([5, 1_293_937_445], unit="ms")
    assert found == [0, 1_293_937]
    assert "as set by source.time_unit" in note


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            [19970101000000, 20110102030405],
            r"look like dates written YYYYMMDDHHMMSS; set source\.time_format='%Y%m%d%H%M%S'",
        ),
        ([201101020304], r"look like dates written YYYYMMDDHHMM; set source\.time_format"),
        ([511, 1111, 1230], r"months and days without a year \(MMDD\); write the year before them"),
        (["0511", "1111"], r"months and days without a year \(MMDD\)"),
        ([1999, 2011], r"look like years; set source\.time_format='%Y'"),
        ([14976, 14977], r"look like days since 1970; set source\.time_unit=day"),
        ([40544.5, 40545.0], r"days as spreadsheets count them; set source\.time_unit=excel"),
        ([2**63 - 1, 2**63 - 1], r"such as 9223372036854775807 \(row 1\) cannot be told from their size"),
        ([-(2**63)], r"such as -9223372036854775808 \(row 1\) cannot be told from their size"),
        ([1293937445, -1], r"mixes.*'-1' in row 2"),
        (["02/01/2011", "03/01/2011"], r"set source\.time_format='%d/%m/%Y' or '%m/%d/%Y', whichever is meant"),
        (["02/01/2011", "31/01/2011"], r"'02/01/2011' in row 1 .*; set source\.time_format='%d/%m/%Y', or drop"),
        (["02/01/2011 10:00"], r"set source\.time_format='%d/%m/%Y %H:%M' or '%m/%d/%Y %H:%M'"),
        (["2011/01/02"], r"set source\.time_format='%Y/%m/%d'"),
        (["Jan 02, 2011"], r"set source\.time_format='%b %d, %Y'"),
        (["2011-01-02 24:00:00"], r"'2011-01-02 24:00:00' in row 1 is neither an ISO 8601 time nor"),
        # Seconds and milliseconds: both would be read without complaint, one of them 50,000 years off.
        (
            [1293937445, 1293937445000, 1293937446],
            r"mixes units.* 1 number that looks like ms .* in row 2., 2 numbers that look like s .*in row 1",
        ),
        ([1293937445, 0, 1293937446], r"mixes units.* 1 number that looks too small .first '0' in row 2"),
        (["1293937445", "2011-01-02", "1293937446"], r"mixes.* 1 date .first '2011-01-02' in row 2., 2 number .first"),
        (["2011-01-02", "2011-01-02 10:00:00"], r"mixes units or formats of time"),
        (["2011-01-02 10:00:00", "2011-01-02 10:00:00Z"], r"mixes units or formats of time"),
        ([1293937445, 12939], r"mixes.*'12939' in row 2"),  # a line that was cut
        (["1293937445", "yesterday"], r"log\.csv, column 'at': the time 'yesterday' in row 2 .* set source\.time_f"),
        (
            ["2011-01-02 10:00:00", "2011-02-30 10:00:00"],
            r"'2011-02-30 10:00:00' in row 2 is neither an ISO 8601 time nor",
        ),
        (["1293937445", None], r"row 2 has no time"),
        (["1293937445", "1e9"], r"the time '1e9' in row 2"),
        ([1, 2, 3], r"the unit of times such as 1 \(row 1\) cannot be told from their size; set source\.time_unit=s"),
        ([19970101, 19970102], r"such as 19970101 .*source\.time_format='%Y%m%d'"),
        ([True, False], r"holds Boolean, which is not a time"),
    ],
)
def test_times_that_cannot_be_read_or_differ_are_refused(values: list[Any], sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        parse(values)


def test_a_format_that_does_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match=r"the time '2011-01-02' in row 2 is not a %d/%m/%Y time"):
        parse(["02/01/2011", "2011-01-02"], format="%d/%m/%Y")
    with pytest.raises(DataError, match=r"the time '19970102\.5' in row 2 is not a %Y%m%d time"):
        parse([19970102.0, 19970102.5], format="%Y%m%d")


def test_the_first_row_that_a_format_does_not_fit_is_found_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_errors, "BLOCK_ROWS", 1_000)
    texts = [*["02/01/2011"] * 4_500, "soon", *["02/01/2011"] * 45_500, "later"]
    table = pl.DataFrame({"time": texts, "row": range(1, len(texts) + 1)}).reverse()
    column = TimeColumn("time", "log.csv", format="%d/%m/%Y")
    tracemalloc.start()
    with pytest.raises(DataError, match="the time 'soon' in row 4501"):
        parse_times(nw.from_native(table.lazy()), column)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_a_time_that_the_clocks_change_skips_is_refused() -> None:
    with pytest.raises(
        DataError, match=r"'2011-10-30 01:30:00' in row 2 is not an ISO 8601 time in zone Europe/London"
    ):
        parse(["2011-10-30 00:30:00", "2011-10-30 01:30:00"], zone="Europe/London")


@pytest.mark.parametrize(
    ("date", "zone", "begins"),
    [
        ("2018-11-04", "America/Sao_Paulo", "2018-11-04 03:00:00"),  # from 00:00 to 01:00, now two hours behind
        ("2018-11-04", "America/Havana", "2018-11-04 04:00:00"),  # from 01:00 to 00:00: the first of two midnights
    ],
)
def test_a_date_begins_where_the_clocks_change_at_midnight(date: str, zone: str, begins: str) -> None:
    day = datetime.fromisoformat(date).date()
    assert parse([date], zone=zone)[0] == parse([day], zone=zone)[0] == [epoch(begins)]
    assert parse([f"{day:%d.%m.%Y}"], format="%d.%m.%Y", zone=zone)[0] == [epoch(begins)]
    with pytest.raises(DataError, match="the clocks skip or repeat it"):
        parse([f"{date} 00:00"], zone=zone)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"unit": "h"}, r"source\.time_unit=h must be one of: s, ms, us, ns"),
        ({"zone": "Atlantis"}, r"source\.time_zone=Atlantis is not a time zone"),
        ({"unit": "s", "format": "%Y"}, r"exclude each other"),
        ({"format": "%Q"}, r"source\.time_format='%Q' is not a strptime format"),
        ({"format": "%Y-%m-%d %H:%M %Z"}, r"names of zones \(%Z\) are not read.*; write offsets and use %z, or"),
        ({"format": "yesterday"}, r"source\.time_format='yesterday' names no part of a time"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: dict[str, str], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        TimeColumn("time", "log.csv", **settings)  # type: ignore[arg-type]
