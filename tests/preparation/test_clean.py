from collections.abc import Callable
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from hydra import compose, initialize_config_module

import ltsi.conf
from ltsi.errors import DataError
from ltsi.events import Events, Step
from ltsi.preparation.clean import CleaningStep, clean
from ltsi.preparation.cleaning.duplicates import DropDuplicates
from ltsi.preparation.cleaning.k_core import KCore
from ltsi.preparation.cleaning.missing import DropMissing, FillConstant
from ltsi.preparation.cleaning.moving import MovingMedian
from ltsi.preparation.cleaning.rate_limit import RateLimit
from ltsi.preparation.cleaning.sessions import ShortSessions
from ltsi.preparation.cleaning.time_window import TimeWindow
from ltsi.workflows.build import build

MakeEvents = Callable[..., Events]
SHIPPED = sorted(path.stem for path in (Path(ltsi.conf.__file__).parent / "clean").glob("*.yaml"))


def rows(events: Events) -> list[Any]:
    return events.sort("row").collect()["row"].to_list()


def steps_of(*overrides: str) -> dict[str, Any]:
    with initialize_config_module("ltsi.conf", version_base="1.3"):
        steps: dict[str, Any] = build(compose("prepare", list(overrides)).clean)
    return steps


def test_steps_run_in_order_and_are_counted(event_table: MakeEvents) -> None:
    events = event_table([("a", "x", 1), ("a", "x", 1), ("b", "x", 1), ("b", "y", 2)])
    cleaned, report = clean(events, {"duplicates": DropDuplicates(), "k_core": KCore(user=1, item=2)})
    assert rows(cleaned) == [1, 3]
    assert report == [Step("duplicates", dropped=1, left=3), Step("k_core", dropped=1, left=2)]


def test_changed_values_are_counted_among_the_events_that_are_left(event_table: MakeEvents) -> None:
    events = event_table([("a", "x", time) for time in range(5)], value=[1.0, 9.0, 1.0, None, None])
    steps: dict[str, CleaningStep] = {
        "median": MovingMedian(window=3),
        "drop": DropMissing(),
        "constant": FillConstant(),
    }
    cleaned, report = clean(events, steps)
    # Medians of (1), (1, 9), (1, 9, 1): the second is another value.
    assert report == [Step("median", 0, 5, changed=1), Step("drop", 2, 3, changed=0), Step("constant", 0, 3, changed=0)]
    assert cleaned.sort("row").collect()["value"].to_list() == [1, 5, 1]
    assert cleaned.collect_schema().names() == events.collect_schema().names()


def test_filled_values_are_changes(event_table: MakeEvents) -> None:
    _, report = clean(event_table([("a", "x", 1), ("a", "x", 2)], value=[None, 0.0]), {"constant": FillConstant()})
    assert report == [Step("constant", dropped=0, left=2, changed=1)]


def test_no_steps_keep_everything(event_table: MakeEvents) -> None:
    cleaned, report = clean(event_table([("a", "x", 1)]), {})
    assert rows(cleaned) == [1]
    assert report == []


def test_a_step_that_leaves_nothing_is_refused(event_table: MakeEvents) -> None:
    with pytest.raises(DataError, match=r"'k_core' \(KCore\(user=3, item=5\)\) leaves none of 2 events"):
        clean(event_table([("a", "x", 1), ("a", "y", 1)]), {"k_core": KCore(user=3)})


@pytest.mark.parametrize("step", [DropDuplicates(), RateLimit(), ShortSessions(), TimeWindow(first=0)], ids=str)
def test_steps_that_need_times_refuse_a_log_without_a_clock(event_table: MakeEvents, step: CleaningStep) -> None:
    with pytest.raises(DataError, match=r"clean=mine needs times, and this log has an order but no clock; leave it"):
        clean(event_table([("a", "x", 0)]), {"k_core": KCore(1, 1), "mine": step}, clock=False)


def test_other_steps_need_no_clock(event_table: MakeEvents) -> None:
    assert clean(event_table([("a", "x", 0)]), {"k_core": KCore(1, 1)}, clock=False)[1] == [Step("k_core", 0, 1)]


def test_each_step_is_staged_once_and_an_iterated_one_in_its_rounds_too(event_table: MakeEvents) -> None:
    staged: list[list[str]] = []

    def stage(frame: Events) -> Events:
        table = frame.collect()
        staged.append(table.columns)
        return table.lazy()

    events = event_table([("a", "x", 1), ("a", "x", 1), ("a", "x", 2)])
    cleaned, _ = clean(events, {"duplicates": DropDuplicates(), "k_core": KCore(1, 1)}, stage)
    whole = ["user", "item", "time", "behavior", "row"]
    assert staged == [whole, ["user"], ["item"], ["user"], ["item"], whole]
    assert rows(cleaned) == [1, 3]


# a buys x twice at one time: as duplicates these are one event, so that only one order leaves a in the core.
ORDERED = [("a", "x", 1), ("a", "x", 1), ("b", "x", 1), ("b", "x", 2)]


@pytest.mark.parametrize(
    ("chosen", "report"),
    [
        ("[duplicates,k_core]", [Step("duplicates", 1, 3), Step("k_core", 1, 2)]),
        ("[k_core,duplicates]", [Step("k_core", 0, 4), Step("duplicates", 1, 3)]),
    ],
)
def test_the_order_of_steps_is_the_users(event_table: MakeEvents, chosen: str, report: list[Step]) -> None:
    # Keys are set in yet another order.
    steps = steps_of("clean.k_core.item=2", f"clean={chosen}", "clean.k_core.user=2")
    assert clean(event_table(ORDERED), steps)[1] == report


def test_every_step_in_any_order() -> None:
    names = [name for name in SHIPPED if name not in {"none", "time_window"}]
    for chosen in (names, names[::-1], names[1::2] + names[::2]):
        assert list(steps_of(f"clean=[{','.join(chosen)}]")) == chosen


def test_none_is_no_step() -> None:
    assert steps_of("clean=none") == {}
    assert list(steps_of("clean=[none,duplicates]")) == ["duplicates"]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_step_runs_under_its_own_name(name: str) -> None:
    steps = steps_of(f"clean={name}", *(["clean.time_window.first=1970-01-02"] if name == "time_window" else []))
    assert list(steps) == ([] if name == "none" else [name])
    # 20 users take the same 10 items twice, ten seconds apart, on ten days; values are missing, and one is far out.
    table = pl.DataFrame(
        [
            (f"u{user}", f"i{item}", day * 86_400 + item * 10, "view", 1e6 if user == item == day else float(item % 4))
            for user in range(20)
            for day in range(10)
            for item in range(10)
        ],
        schema=["user", "item", "time", "behavior", "value"],
        orient="row",
    )
    value = pl.when(pl.int_range(pl.len()) % 9 > 0).then("value")
    events = table.with_columns(value, row=pl.int_range(1, pl.len() + 1, dtype=pl.Int64))
    cleaned, report = clean(nw.from_native(events.lazy()), steps)
    assert [step.step for step in report] == list(steps)
    assert cleaned.collect_schema() == nw.from_native(events).schema
    assert 0 < len(rows(cleaned)) == (report[0].left if report else len(events))
    if name.startswith(("missing_", "moving_")) and name != "missing_drop":
        assert report[0].changed > 0 == report[0].dropped


def test_online_retail_has_its_duplicates(realdata: Path) -> None:
    raw = pl.read_csv(realdata / "uci-online-retail/online_retail.csv.gz", infer_schema=False)
    # The other columns are compared as if they were the behavior: the file has 5,268 exact copies of rows.
    behavior = pl.concat_str(pl.exclude("CustomerID", "StockCode", "InvoiceDate"), ignore_nulls=True)
    time = pl.col("InvoiceDate").str.to_datetime("%Y-%m-%d %H:%M:%S").dt.epoch("s")
    user, row = pl.col("CustomerID").fill_null("nobody"), pl.int_range(1, pl.len() + 1, dtype=pl.Int64)
    events = raw.select(user=user, item="StockCode", time=time, behavior=behavior, row=row)
    _, report = clean(nw.from_native(events.lazy()), {"duplicates": DropDuplicates()})
    assert report == [Step("duplicates", 5268, 541_909 - 5268)]
