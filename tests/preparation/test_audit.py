import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltsi.engines.polars import Polars
from ltsi.events import Events
from ltsi.findings import Finding
from ltsi.preparation.audit import audit
from ltsi.preparation.audit_ties import compare_ties
from ltsi.preparation.encode import encode
from ltsi.store import EncodedEvents

MakeEvents = Callable[..., Events]
Row = tuple[str, str, int]
DAY = 86_400
START = 15_000 * DAY  # 2011-01-26
NOW = START + 1_000 * DAY
TIED = [f"t{i}" for i in (3, 0, 5, 1, 4, 2)]  # an order that is not that of the ids


def findings(events: Events, *, clock: bool = True, block_events: int = 1_000_000) -> dict[str, Finding]:
    with TemporaryDirectory() as folder:
        encoded = encode(events, Polars(Path(folder)))
        found = audit(encoded.events, encoded.row, encoded.fraction, clock=clock, now=NOW, block_events=block_events)
    by_name = {finding.finding: finding for finding in found}
    assert len(by_name) == len(found)
    return by_name


def clean_rows() -> Iterator[Row]:
    """20 users come back every ten days for a hundred days, for 15 items in turn."""
    for user in range(20):
        for visit in range(10):
            item, time = (user * 7 + visit) % 15, visit * 10 * DAY + user * 3_607 + visit * 61
            yield f"u{user}", f"i{item}", START + time


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
    assert found["concentration"].value == 6 / 8  # x
    assert "the most active user 37.5%" in found["concentration"].detail


@pytest.mark.parametrize(
    ("name", "value", "severity"),
    [
        ("same_time_steps", 0.6, "warn"),  # one of two steps of a, none of b's one, both of c's two
        ("baskets", 2, "info"),  # one of a's two times, c's one
        ("tie_order", "unknown", "info"),  # x and y are tied once
        ("out_of_order", 1, "warn"),
        ("repeats", 3, "info"),  # one of a, two of c
        ("duplicates", 2, "warn"),
        ("short_users", 1, "warn"),
        ("short_span", 9, "warn"),
    ],
)
def test_what_changes_the_meaning_of_a_result(log: Events, name: str, value: float, severity: str) -> None:
    found = findings(log)[name]
    assert found.value == value
    assert found.severity == severity


def test_a_clean_log_has_nothing_to_warn_of(event_table: MakeEvents) -> None:
    found = findings(event_table(list(clean_rows())))
    assert {finding.severity for finding in found.values()} == {"info"}
    nothing = ("same_time_steps", "out_of_order", "repeats", "duplicates", "short_users", "drift", "sitting")
    assert [found[name].value for name in nothing] == [0] * len(nothing)
    assert not found.keys() & {"future_dates", "impossible_dates", "isolated_dates", "rate", "burst", "baskets"}


@pytest.mark.parametrize(("step", "unit"), [(1, "second"), (60, "minute"), (7_200, "hour"), (3 * DAY, "day")])
def test_the_resolution_is_the_largest_unit_that_divides_every_time(
    event_table: MakeEvents, step: int, unit: str
) -> None:
    assert findings(event_table([("a", "x", START + n * step) for n in range(3)]))["resolution"].value == unit


def test_fractions_of_a_second_order_what_whole_seconds_tie(event_table: MakeEvents) -> None:
    rows = [("a", item, START) for item in "xyzw"]
    found = findings(event_table(rows, fraction=[300, 100, 200, 200]))
    assert found["resolution"].value == "below a second"
    assert found["same_time_steps"].value == 1
    assert found["same_time_steps"].severity == "warn"  # nothing orders z and w
    assert "fractions of a second order 2 of them; that of the others is the file's." in found["same_time_steps"].detail
    assert found["out_of_order"].value == 1  # w, then x, which comes first in the file
    ordered = findings(event_table(rows, fraction=[100, 200, 300, 400]))["same_time_steps"]
    assert ordered.severity == "info"
    assert ordered.detail.endswith("stay at one time by whole seconds; fractions of a second order 3 of them.")


def test_without_a_clock_nothing_is_said_about_times(event_table: MakeEvents) -> None:
    found = findings(event_table([("a", "x", 0), ("a", "y", 1), ("a", "x", 2)]), clock=False)
    assert found["clock"].severity == "warn"
    assert "no clock" in found["clock"].detail
    assert found.keys() == {"events", "users", "items", "clock", "repeats", "short_users", "concentration"}
    assert found["repeats"].value == 1


def test_a_log_of_short_users_only_can_be_prepared(event_table: MakeEvents) -> None:
    found = findings(event_table([("a", "x", START), ("b", "x", START)]))
    assert (found["short_users"].severity, found["short_users"].value) == ("warn", 2)
    assert found["same_time_steps"].value == 0  # there is no step


def moved(seconds: int) -> list[Row]:
    return [(user, item, time + seconds) for user, item, time in clean_rows()]


def beside(*rows: Row) -> list[Row]:
    return [*clean_rows(), *rows]


def one_sitting() -> list[Row]:
    return [(user, item, START + int(user[1:]) * 5 * DAY + n * 60) for n, (user, item, _) in enumerate(clean_rows())]


def robot() -> list[Row]:
    return beside(*(("robot", f"i{n % 15}", START + n * 40) for n in range(2_000)))


def late_boom() -> list[Row]:
    return beside(*((f"late{n % 100}", f"i{n % 15}", START + 89 * DAY + n * 1_000) for n in range(300)))


def new_catalogue() -> list[Row]:
    return [(user, item if time < START + 45 * DAY else f"new {item}", time) for user, item, time in clean_rows()]


def float32(per_second: int) -> list[Row]:
    times = [int(np.float32(time * per_second)) // per_second for _, _, time in clean_rows()]
    return [(user, item, time) for (user, item, _), time in zip(clean_rows(), times, strict=True)]


@pytest.mark.parametrize(
    ("rows", "name", "severity", "value", "advice"),
    [
        (moved(-START), "unit_of_time", "warn", "1970-04-01 19:11:22", "set source.time_unit"),
        (moved(36_525 * DAY), "unit_of_time", "error", "2111-01-27 00:00:00", "set source.time_unit"),
        (beside(("z", "i1", NOW + DAY), ("z", "i2", NOW + DAY + 1), ("z", "i3", 2**40)), "future_dates", "error", 2,
         "up to 36812-02-20 00:36:16, the first in row 202; drop them with clean=time_window "
         "clean.time_window.last=2013-10-22 or"),
        (beside(("z", "i1", 0), ("z", "i2", -5_000 * DAY), ("z", "i3", START)), "impossible_dates", "error", 2,
         "which begin 2011-01-26 00:00:00), from 1956-04-24 00:00:00 on, the first in row 201; drop them with "
         "clean=time_window clean.time_window.first=2011-01-26 or"),
        (beside(*((f"z{n}", "i1", 0) for n in range(300))), "impossible_dates", "error", 300,
         "from 1970-01-01 00:00:00"),
        (beside(("z", "i1", START - 400 * DAY), ("z", "i2", START + 500 * DAY)), "isolated_dates", "warn", 2,
         "the first in row 201;"),
        (beside(("z", "i1", START + 500 * DAY)), "isolated_dates", "warn", 1,
         "with clean=time_window clean.time_window.last=2011-04-26 or"),
        (beside(("z", "i1", START - 400 * DAY)), "isolated_dates", "warn", 1,
         "with clean=time_window clean.time_window.first=2011-01-26 or"),
        (beside(("z", "i1", START - 400 * DAY), ("z", "i2", START + 500 * DAY)), "isolated_dates", "warn", 2,
         "clean.time_window.first=2011-01-26 clean.time_window.last=2011-04-26 or"),
        ([row for row in clean_rows() if row[2] < START + 13 * DAY], "short_span", "warn", 11,
         "half-lives of more than 5.4 days"),
        (float32(1), "precision_loss", "error", 128, "multiple of 128 s"),
        (float32(10**3), "precision_loss", "error", "ms", "32-bit float in ms"),
        (float32(10**9), "precision_loss", "error", "ns", "32-bit float in ns"),
        ([(user, item, time // 1_000 * 1_000) for user, item, time in clean_rows()], "precision_loss", "error", 1_000,
         "read the times again"),
        (late_boom(), "burst", "warn", 0.64, "in the last 10%"),  # 300 of them and the 20 of the last visit, of 500
        (new_catalogue(), "drift", "warn", 1.0, "mostly new items"),
        (one_sitting(), "sitting", "warn", 1.0, "not suited to decay in wall-clock time"),
        (robot(), "rate", "warn", 1, "clean=rate_limit clean.rate_limit.events=1000 clean.rate_limit.minutes=1440"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isidentifier() else "",
)  # fmt: skip
def test_what_is_wrong_is_named(
    event_table: MakeEvents, rows: list[Row], name: str, severity: str, value: Any, advice: str
) -> None:
    found = findings(event_table(rows))
    assert found[name].severity == severity
    assert found[name].value == value
    assert advice in found[name].detail
    errors = {finding for finding in found if found[finding].severity == "error"}
    assert errors == ({name} if severity == "error" else set())


def test_whole_days_of_another_zone_are_precise(event_table: MakeEvents) -> None:
    """Midnight in China is a multiple of 128 seconds, as all whole days are."""
    rows = [(user, item, time // DAY * DAY - 8 * 3_600) for user, item, time in clean_rows()]
    assert all(time % 128 == 0 for _, _, time in rows)
    assert "precision_loss" not in findings(event_table(rows))


def test_a_few_round_times_are_no_loss_of_precision(event_table: MakeEvents) -> None:
    rows = [("a", f"i{n}", START + 128 * n) for n in range(10)]
    assert "precision_loss" not in findings(event_table(rows))


def test_an_old_log_is_not_impossible(event_table: MakeEvents) -> None:
    """A library's loans from 1985 on have no pause."""
    rows = [("a", f"i{n}", 5_500 * DAY + n * 100 * DAY) for n in range(60)]
    assert not findings(event_table(rows)).keys() & {"impossible_dates", "isolated_dates", "unit_of_time"}


def ties(order: Callable[[int], list[str]], users: int = 40) -> list[Row]:
    return beside(*((f"t{user}", item, START + user * DAY) for user in range(users) for item in order(user)))


def shuffled(user: int) -> list[str]:
    return [TIED[i] for i in np.random.default_rng(user).permutation(len(TIED))]


@pytest.mark.parametrize(
    ("order", "value", "severity", "detail"),
    [
        (lambda user: TIED, "one global order of items", "warn", "0 of 15 pairs"),  # 6 · 5 / 2
        (lambda user: sorted(TIED), "one global order of items", "warn", "all 600 tied pairs"),  # 40 · 15
        (lambda user: TIED[::-1] if user == 7 else TIED, "random", "info", "15 of 15 pairs"),
        (shuffled, "random", "info", "15 of 15 pairs"),
        (lambda user: TIED if user % 2 else TIED[1:3] + TIED[:1] + TIED[3:], "partly one order", "info", "2 of 15"),
        (lambda user: TIED[:4] if user < 2 else [f"only {user}"], "unknown", "info", "0 of 6 pairs"),
    ],
)
def test_the_order_inside_ties(
    event_table: MakeEvents, order: Callable[[int], list[str]], value: str, severity: str, detail: str
) -> None:
    found = findings(event_table(ties(order)))["tie_order"]
    assert (found.value, found.severity) == (value, severity)
    assert detail in found.detail


def test_rare_ties_in_one_order_are_harmless(event_table: MakeEvents) -> None:
    """15 tied steps in 3,200."""
    many = [(f"v{user}", f"i{n}", START + n * DAY + user) for user in range(200) for n in range(15)]
    found = findings(event_table([*many, *ties(lambda user: TIED, users=3)]))
    assert found["same_time_steps"].value == pytest.approx(15 / (200 * 14 + 20 * 9 + 15), abs=1e-6)
    assert found["tie_order"].severity == "info"


def test_ties_of_a_huge_log_are_compared_in_a_sample_of_users(event_table: MakeEvents, tmp_path: Path) -> None:
    rows = [(f"{user:02}", item, START) for user in range(40) for item in TIED]
    events = encode(event_table(rows), Polars(tmp_path)).events
    whole, sample = compare_ties(events, 6, 10_000), compare_ties(events, 6, 60, block_events=60)
    assert (whole.total, whole.repeated, whole.where) == (600, 15, "")
    assert (sample.total, sample.repeated) == (150, 15)  # a block of ten users
    assert sample.where == " in a sample of 25.0% of the users"


def test_baskets_are_many_items_at_one_time(event_table: MakeEvents) -> None:
    rows = [(f"u{u}", f"i{n}", START + u * 60 + n // 6 * 20 * DAY) for u in range(10) for n in range(18)]
    found = findings(event_table(rows))["baskets"]
    assert (found.severity, found.value) == ("warn", 30)
    assert "6.0 on average, 100.0% of all events" in found.detail


def test_the_size_of_a_block_changes_nothing(event_table: MakeEvents) -> None:
    rows = [*robot(), *ties(shuffled), ("z", "i1", 0), ("z", "i2", 2**40), ("z", "i2", 2**40)]
    events = event_table(rows, behavior=["buy" if n % 3 else "view" for n in range(len(rows))])
    assert findings(events) == findings(events, block_events=1) == findings(events, block_events=100)


def test_memory_does_not_grow_with_the_log() -> None:
    users, length = 20_000, 100
    time = START + np.sort(np.random.default_rng(0).integers(0, 500 * DAY, (users, length)), axis=1).ravel()
    item = np.random.default_rng(1).integers(0, 500, users * length).astype(np.int32)
    events = EncodedEvents(np.arange(users + 1) * length, item, time, np.zeros(len(item), dtype=np.uint8))
    row = np.arange(len(item))
    tracemalloc.start()
    audit(events, row, clock=True, now=NOW, block_events=50_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Not even one of the four arrays of the log is ever held whole, in whatever type.
    assert peak < time.nbytes


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(-(2**63) + 1, 2**63 - 1) | st.integers(0, 2**32)),
        min_size=1,
    ),
    st.booleans(),
)
def test_any_log_is_audited(rows: list[tuple[int, int, int]], clock: bool) -> None:
    rows = sorted(rows, key=lambda row: (row[0], row[2]))
    user, item, time = np.array(rows, dtype=np.int64).T
    offsets = np.concatenate([[0], np.cumsum(np.unique(user, return_counts=True)[1])])
    events = EncodedEvents(offsets, item.astype(np.int32), time, np.zeros(len(item), dtype=np.uint8))
    found = audit(events, np.arange(len(item)) + 1, clock=clock, now=NOW)
    assert all(isinstance(value, (str, int, float)) for finding in found for value in finding.as_dict().values())
    assert found == audit(replace(events), np.arange(len(item)) + 1, clock=clock, now=NOW, block_events=1)
