from collections.abc import Callable
from typing import Any

import pytest

from ltsi.events import Events
from ltsi.findings import Finding
from ltsi.preparation.audit import audit
from ltsi.preparation.encode import encode

MakeEvents = Callable[..., Events]
DAY = 86_400
START = 15_000 * DAY


def findings(events: Events, *, clock: bool = True) -> dict[str, Finding]:
    encoded = encode(events)
    return {finding.finding: finding for finding in audit(encoded.events, encoded.row, clock=clock)}


@pytest.fixture
def log(event_table: MakeEvents) -> Events:
    return event_table([
        ("a", "x", START), ("a", "y", START), ("a", "x", START + DAY),
        ("b", "x", START + DAY), ("b", "z", START),  # the other way round in the file
        ("c", "x", START + 9 * DAY), ("c", "x", START + 9 * DAY), ("c", "x", START + 9 * DAY),
    ])  # fmt: skip


def test_what_is_in_a_log(log: Events) -> None:
    found = findings(log)
    assert (found["events"].value, found["users"].value, found["items"].value) == (8, 3, 3)
    assert (found["first_time"].value, found["last_time"].value) == ("2011-01-26 00:00:00", "2011-02-04 00:00:00")
    assert "9.0 days" in found["last_time"].detail
    assert found["resolution"].value == "day"


@pytest.mark.parametrize(
    ("name", "value", "severity"),
    [
        ("same_time_steps", 0.6, "warn"),  # one of two steps of a, none of b's one, both of c's two
        ("out_of_order", 1, "warn"),
        ("repeats", 3, "info"),  # one of a, two of c
        ("duplicates", 2, "warn"),
        ("short_users", 1, "warn"),
    ],
)
def test_what_changes_the_meaning_of_a_result(log: Events, name: str, value: float, severity: str) -> None:
    found = findings(log)[name]
    assert found.value == value
    assert found.severity == severity


def test_a_clean_log_has_nothing_to_warn_of(event_table: MakeEvents) -> None:
    found = findings(event_table([("a", item, START + n) for n, item in enumerate("xyz")]))
    assert {finding.severity for finding in found.values()} == {"info"}
    assert [found[name].value for name in ("same_time_steps", "out_of_order", "repeats", "duplicates")] == [0, 0, 0, 0]


@pytest.mark.parametrize(("step", "unit"), [(1, "second"), (60, "minute"), (7_200, "hour"), (3 * DAY, "day")])
def test_the_resolution_is_the_largest_unit_that_divides_every_time(
    event_table: MakeEvents, step: int, unit: str
) -> None:
    assert findings(event_table([("a", "x", START + n * step) for n in range(3)]))["resolution"].value == unit


def test_without_a_clock_nothing_is_said_about_times(event_table: MakeEvents) -> None:
    found = findings(event_table([("a", "x", 0), ("a", "y", 1), ("a", "x", 2)]), clock=False)
    assert found["clock"].severity == "warn"
    assert "no clock" in found["clock"].detail
    assert not found.keys() & {"first_time", "resolution", "same_time_steps", "out_of_order", "duplicates"}
    assert found["repeats"].value == 1


def test_a_log_of_short_users_only_is_an_error(event_table: MakeEvents) -> None:
    found = findings(event_table([("a", "x", START), ("b", "x", START)]))
    assert (found["short_users"].severity, found["short_users"].value) == ("error", 2)
    assert found["same_time_steps"].value == 0  # there is no step


def test_findings_are_plain_data(log: Events) -> None:
    def plain(value: Any) -> bool:
        return isinstance(value, (str, int, float))

    assert all(plain(value) for finding in findings(log).values() for value in finding.as_dict().values())
