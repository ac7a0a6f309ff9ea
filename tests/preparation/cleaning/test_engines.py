"""Each step does the same on every engine."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from ltsi.events import Events
from ltsi.preparation.clean import CleaningStep, IteratedStep, clean
from ltsi.preparation.cleaning.duplicates import DropConsecutive, DropDuplicates
from ltsi.preparation.cleaning.frequency import Frequency
from ltsi.preparation.cleaning.k_core import KCore
from ltsi.preparation.cleaning.learned import FillLearned
from ltsi.preparation.cleaning.missing import DropMissing, FillConstant, FillMean, FillMedian, Interpolate
from ltsi.preparation.cleaning.moving import MovingMean, MovingMedian
from ltsi.preparation.cleaning.outliers import InterquartileRange, ZScore
from ltsi.preparation.cleaning.positive import Positive
from ltsi.preparation.cleaning.rate_limit import RateLimit
from ltsi.preparation.cleaning.sessions import ShortSessions
from ltsi.preparation.cleaning.time_window import TimeWindow

Disagreement = Callable[..., str | None]

STEPS: list[CleaningStep] = [
    DropDuplicates(),
    DropConsecutive(),
    KCore(user=2, item=2),
    Frequency("user", least=2, most=9),
    Frequency("item", least=3),
    TimeWindow(first=20, last=200),
    Positive(2),
    ShortSessions(gap_minutes=1),
    RateLimit(events=2, minutes=0.5),
    DropMissing(),
    FillConstant(7),
    FillMean(),
    FillMedian(by=["user", "behavior"]),
    Interpolate(),
    MovingMean(window=3),
    MovingMedian(window=3, by=["user", "item"]),
    ZScore(deviations=1.3),
    InterquartileRange(by=["item"], action="clip", ranges=0.7),
]
COUNTED: dict[str, CleaningStep] = {"fill": FillMean(), "repeats": DropConsecutive(), "k_core": KCore(user=2, item=1)}
EVENT = st.tuples(
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from(["x", "y", "z", "ü"]),
    st.integers(0, 300),
    st.sampled_from(["view", "buy"]),
    st.none() | st.sampled_from([0.1, 1.0, 2.5, -3.0, 1e6]),
)


def event_table(events: list[tuple[Any, ...]]) -> pl.DataFrame:
    schema = {"user": pl.String, "item": pl.String, "time": pl.Int64, "behavior": pl.String, "value": pl.Float64}
    # Without any value some steps refuse, and a core without any event is one.
    always = [("a", "x", 100, "view", 1.0), ("a", "y", 101, "view", None)]
    table = pl.DataFrame([*events, *always], schema=schema, orient="row")
    return table.with_columns(row=pl.int_range(1, pl.len() + 1, dtype=pl.Int64))


@pytest.mark.parametrize("step", STEPS, ids=str)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(events=st.lists(EVENT, max_size=30))
def test_engines_agree_on_any_log(
    disagreement: Disagreement, step: CleaningStep, events: list[tuple[Any, ...]]
) -> None:
    assert disagreement(step, event_table(events)) is None


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(events=st.lists(EVENT, max_size=30))
def test_engines_agree_on_what_a_step_did(
    engines: Mapping[str, Callable[[pl.DataFrame], Events]], events: list[tuple[Any, ...]]
) -> None:
    reports = [clean(engine(event_table(events)), COUNTED)[1] for engine in engines.values()]
    assert all(report == reports[0] for report in reports)


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    """Start a local cluster of two cores, once."""
    sql = pytest.importorskip("pyspark.sql", reason="the extra `engines` is not installed")
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java, and there is none")
    builder = sql.SparkSession.builder.master("local[2]").appName("ltsi tests")
    options = {"sql.shuffle.partitions": "2", "ui.enabled": "false", "sql.adaptive.enabled": "false",
               "sql.codegen.wholeStage": "false", "sql.codegen.factoryMode": "NO_CODEGEN"}  # fmt: skip
    for name, value in options.items():
        builder = builder.config(f"spark.{name}", value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


@pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning")
def test_spark_agrees(spark: Any, disagreement: Disagreement) -> None:
    events = [
        (user, item, 7 * i * i % 310, ("view", "buy")[i % 2], None if i % 5 == 0 else float(i * i % 11))
        for i, (user, item) in enumerate([(user, item) for user in "abc" for item in "xyzü"] * 11)
    ]
    table = event_table(events)
    loaded = nw.from_native(spark.createDataFrame(table.to_arrow()).repartition(2).cache())
    local = nw.from_native(table.lazy())
    # One query of all steps is one job. The core takes several, and is staged below.
    steps = [*(step for step in STEPS if not isinstance(step, IteratedStep)), FillLearned()]

    def all_at_once(events: Events) -> pl.DataFrame:
        parts = [step(events).select("row", "value", step=nw.lit(i)) for i, step in enumerate(steps)]
        return nw.concat(parts).collect().to_polars().sort("step", "row")

    assert_frame_equal(all_at_once(loaded), all_at_once(local), check_dtypes=False)
    cleaned, report = clean(loaded, COUNTED, lambda frame: nw.from_native(frame.to_native().cache()))
    expected, expected_report = clean(local, COUNTED)
    assert report == expected_report
    assert cleaned.collect().to_polars().sort("row").equals(expected.sort("row").collect().to_polars())
