from collections.abc import Callable

import pytest

from ltsi.errors import ConfigError
from ltsi.preparation.cleaning.time_window import TimeWindow

Apply = Callable[..., dict[int, float | None]]
DAY = 86_400
NEW_YEAR = 15_340 * DAY  # 2012-01-01
ROWS = [("a", "x", NEW_YEAR - 1), ("a", "x", NEW_YEAR), ("b", "y", NEW_YEAR + DAY - 1), ("b", "y", NEW_YEAR + DAY)]


@pytest.mark.parametrize(
    ("first", "last", "left"),
    [
        ("2012-01-01", None, [2, 3, 4]),
        (None, "2012-01-01", [1, 2, 3]),  # A day ends with its last second.
        (None, "2012-01-01 00:00:00", [1, 2]),
        ("2012-01-01T01:00:00+01:00", None, [2, 3, 4]),
        ("2012-01-01", "2012-01-01", [2, 3]),
        (20120101, 20120101, [2, 3]),
        (NEW_YEAR, NEW_YEAR + DAY - 1, [2, 3]),
        (str(NEW_YEAR + DAY), None, [4]),
    ],
)
def test_events_of_the_window_are_kept(
    apply: Apply, first: str | int | None, last: str | int | None, left: list[int]
) -> None:
    assert list(apply(TimeWindow(first, last), ROWS)) == left


@pytest.mark.parametrize(
    ("first", "last", "sentence"),
    [
        (None, None, r"keeps everything; set clean\.time_window\.first or \.last"),
        ("2012-01-02", "2012-01-01", r"first=2012-01-02 must not come after \.last=2012-01-01"),
        ("soon", None, r"clean\.time_window\.first=soon is not a time; give ISO 8601"),
        (None, "2012-13-01", r"clean\.time_window\.last=2012-13-01 is not a time"),
        (20121301, None, r"clean\.time_window\.first=20121301 is not a time"),
        (None, "9999-12-31 24:59", r"is not a time"),
    ],
)
def test_bounds_that_cannot_be_meant_are_refused(
    first: str | int | None, last: str | int | None, sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        TimeWindow(first, last)
