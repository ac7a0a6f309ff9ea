import pytest

from ltsi.errors import ConfigError
from ltsi.moments import as_date, parse_moment


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2011-11-30", 1_322_611_200),
        ("20111130", 1_322_611_200),
        ("2011-11-30T01:00+01:00", 1_322_611_200),
        ("1322611200", 1_322_611_200),
        ("0", 0),
        ("86400000", 86_400_000),  # eight digits, but of no year of ours
        (" -86400 ", -86_400),
    ],
)
def test_a_moment_is_a_date_or_seconds(text: str, seconds: int) -> None:
    assert parse_moment(text, "now") == seconds
    assert parse_moment(as_date(seconds), "now") == seconds


@pytest.mark.parametrize("text", ["2011-11-30", "20111130"])
def test_a_date_may_stand_for_its_last_second(text: str) -> None:
    assert parse_moment(text, "last", end_of_day=True) == 1_322_611_200 + 86_399
    assert parse_moment("2011-11-30T00:00", "last", end_of_day=True) == 1_322_611_200


@pytest.mark.parametrize("text", ["yesterday", "", "2011-13-01", "20121301", "1.5"])
def test_what_is_no_moment_is_refused_by_the_name_of_its_setting(text: str) -> None:
    with pytest.raises(ConfigError, match=f"^now={text} is not a time; give ISO 8601, such as"):
        parse_moment(text, f"now={text}", end_of_day=True)


def test_milliseconds_are_not_taken_for_seconds() -> None:
    with pytest.raises(ConfigError, match=r"^--at 1318896000000 looks like milliseconds"):
        parse_moment("1318896000000", "--at 1318896000000")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1970-01-01 00:00:00"),
        (1_322_611_201, "2011-11-30 00:00:01"),
        (-62_135_596_801, "0000-12-31 23:59:59"),
        (300_000_000_000, "11476-08-15 05:20:00"),
    ],
)
def test_a_moment_of_any_year_is_written(seconds: int, text: str) -> None:
    assert as_date(seconds) == text
    assert as_date(seconds, "m") == text[:-3]
    assert as_date(seconds, "D") == text[:-9]
