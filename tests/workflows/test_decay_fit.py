import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner
from typer.testing import Result as Outcome

from ltsi.cli.main import app
from ltsi.store import EncodedEvents, store_path
from ltsi.store_writer import write_store

DAY = 86_400


@pytest.fixture
def decay_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> Outcome:
        return CliRunner().invoke(app, ["decay-fit", *arguments], prog_name="ltsi")

    return run


def write_log(
    *,
    clock: bool = True,
    category: bool = True,
    items: int = 4,
    repeats: bool = True,
    times: int = 1,
    labels: Sequence[str] = ("c0", "c1"),
) -> None:
    """A store `log` of 60 users who come back at random; `times` stretches its clock and starts it in 2009."""
    generator = np.random.default_rng(0)
    events = 30
    item = generator.integers(0, items, (60, events)) if repeats else np.tile(np.arange(events), (60, 1))
    time = np.sort(generator.exponential(20, (60, events)).cumsum(axis=1) * DAY // 10, axis=1)
    names = pl.DataFrame({"item": [f"i{i}" for i in range(int(item.max()) + 1)]})
    write_store(
        store_path("log"),
        EncodedEvents(
            offsets=np.arange(61) * events,
            item=item.ravel().astype(np.int32),
            time=(time.ravel().astype(np.int64) + 40 * 365 * DAY * (times > 1)) * times,
            behavior=np.zeros(item.size, dtype=np.uint8),
        ),
        items=names.with_columns(category=pl.Series([labels[i % 2] for i in range(names.height)]))
        if category
        else names,
        users=pl.DataFrame({"user": [str(u) for u in range(60)], "segment": [f"s{u % 3}" for u in range(60)]}),
        manifest={"time": {"clock": clock}},
    )


def table_of(outcome: Outcome) -> list[dict[str, object]]:
    assert outcome.exit_code == 0, outcome.output
    rows: list[dict[str, object]] = json.loads(outcome.stdout)["tables"][0]["rows"]
    return rows


def test_the_shop_gives_its_planted_half_lives_back(decay_fit: Callable[..., Outcome], tmp_path: Path) -> None:
    outcome = decay_fit("data=shop", "hydra.run.dir=out", "--format", "json")
    rows = table_of(outcome)
    assert rows[0]["category"] == "(all)"
    assert sum(row["covered"] is True for row in rows) >= 9
    assert "covers the planted half-life of" in json.loads(outcome.stdout)["messages"][0]
    saved = pl.read_parquet(tmp_path / "out/decay.parquet")
    assert saved.height == 11
    assert saved.select(pl.selectors.float().is_nan().any()).row(0) == (False,) * len(
        saved.select(pl.selectors.float()).columns
    )
    assert (tmp_path / "out/decay.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("arguments", [("form=simple", "replicates=0"), ("form=power", "replicates=20")])
def test_without_intervals_nothing_is_said_to_be_covered_or_not(
    decay_fit: Callable[..., Outcome], arguments: tuple[str, ...]
) -> None:
    outcome = decay_fit("data=shop", *arguments, "hydra.run.dir=out", "--format", "json")
    assert {row["covered"] for row in table_of(outcome)} == {None}
    assert "planted half-life" not in " ".join(json.loads(outcome.stdout)["messages"])


def test_what_is_planted_per_day_is_not_held_against_trials(decay_fit: Callable[..., Outcome], tmp_path: Path) -> None:
    options = ("exposure=active_days", "form=exponential", "replicates=20", "report=true", "hydra.run.dir=out")
    outcome = decay_fit("data=shop", *options, "--format", "json")
    assert not any({"planted_days", "covered"} & set(row) for row in table_of(outcome))
    assert "planted half-life" not in " ".join(json.loads(outcome.stdout)["messages"])
    told = "not per active day; set exposure=days"
    assert told in (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert any(told in note for note in json.loads(outcome.stdout)["tables"][0]["notes"])


def test_terminal_shows_table_curve_and_files(decay_fit: Callable[..., Outcome], tmp_path: Path) -> None:
    write_log()
    outcome = decay_fit("data=log", "replicates=20", "hydra.run.dir=out")
    assert outcome.exit_code == 0, outcome.output
    assert "Interest decay in 'log' by category" in outcome.stdout
    assert f"Wrote {tmp_path / 'out/decay.parquet'}" in outcome.stdout.replace("\n", "")
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.suffix in {".parquet", ".png"}) == [
        "decay.parquet",
        "decay.png",
    ]


@pytest.mark.parametrize(
    ("log", "entity", "column", "count"),
    [
        ({}, "auto", "category", 2),
        ({"category": False}, "auto", "item", 4),
        ({"category": False, "repeats": False}, "auto", "all", 1),
        ({}, "item", "item", 4),
        ({}, "all", "all", 1),
    ],
)
def test_what_an_entity_is(
    decay_fit: Callable[..., Outcome], log: dict[str, Any], entity: str, column: str, count: int
) -> None:
    write_log(**log)
    rows = table_of(decay_fit("data=log", f"entity={entity}", "form=simple", "replicates=0", "--format", "json"))
    assert next(iter(rows[0])) == column
    # Several entities have all of them together before them.
    assert len(rows) == count + (count > 1)


def label_items(*category: str | None) -> None:
    path = store_path("log") / "items.parquet"
    pl.read_parquet(path).with_columns(category=pl.Series(category, dtype=pl.String)).write_parquet(path)


def test_items_without_a_label_are_no_entity(decay_fit: Callable[..., Outcome], tmp_path: Path) -> None:
    write_log()
    label_items("c0", None, "c1", None)
    options = ("form=simple", "replicates=0", "hydra.run.dir=out", "--format", "json")
    outcome = decay_fit("data=log", "excitation=true", "report=true", *options)
    items = {row["item"]: row for row in table_of(decay_fit("data=log", "entity=item", *options))}
    rows = {row["category"]: row for row in table_of(outcome)}
    assert rows.keys() == {"(all)", "c0", "c1"}
    assert [rows[f"c{i // 2}"]["returns"] for i in (0, 2)] == [items[f"i{i}"]["returns"] for i in (0, 2)]
    assert int(str(rows["(all)"]["visits"])) == sum(int(str(items[name]["visits"])) for name in ("i0", "i2"))
    told = "Items without a value in 'category': 2 of 4. They are left out"
    assert any(note.startswith(told) for note in json.loads(outcome.stdout)["tables"][0]["notes"])
    page = decay_fit("data=log", "report=true", *options)
    assert page.exit_code == 0, page.output
    assert "(none)" not in (tmp_path / "out/report.html").read_text(encoding="utf-8")
    # Of one category alone a later event need not be a return.
    label_items("c0", None, "c0", None)
    assert table_of(decay_fit("data=log", "exposure=events", *options))


def test_a_column_without_any_label_is_not_taken(decay_fit: Callable[..., Outcome]) -> None:
    write_log()
    label_items(None, None, None, None)
    options = ("data=log", "form=simple", "replicates=0")
    assert len(table_of(decay_fit(*options, "--format", "json"))) == 5  # all together, and four items
    outcome = decay_fit(*options, "entity=category")
    assert outcome.exit_code == 1
    assert outcome.stderr.startswith("Error: No item of store 'log' has a value in column 'category', so it tells no ")


def test_training_part_has_fewer_visits(decay_fit: Callable[..., Outcome]) -> None:
    write_log()
    options = ("data=log", "entity=all", "form=simple", "replicates=0", "--format", "json")
    whole, train = table_of(decay_fit(*options)), table_of(decay_fit(*options, "part=train"))
    cut = table_of(decay_fit(*options, "part=train", "split=global_time"))
    assert int(str(cut[0]["visits"])) < int(str(train[0]["visits"])) < int(str(whole[0]["visits"]))


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["data=lgo"], 1, "Did you mean 'log'?"),
        (["data=log", "entity=brand"], 1, "have no column 'brand'"),
        (["data=log", "part=test"], 2, "part=test must be one of: all, train"),
        (["data=log", "form=pwer"], 2, "Did you mean 'power'?"),
        (["data=log", "replicates=many"], 2, "replicates"),
        (["data=log", "confidnce=0.9"], 2, "confidence"),
        (["data=log", "pool=category"], 2, "needs entity=item or entity=user"),
        (["data=log", "entity=user", "pool=segmnt"], 1, "have no column 'segmnt'"),
        (["data=log", "session_gap_days=1000"], 1, "so no return can be seen; lower session_gap_days, or prepare a"),
        (["data=log", "estimator=binomial"], 2, "needs trials"),
        (
            ["data=log", "entity=all", "exposure=events", "form=simple"],
            2,
            "With entity=all every later event is a return",
        ),
        (["data=log", "entity=user", "exposure=active_days"], 2, "With entity=user every later event is a return"),
        (["data=log", "excitation=true", "exposure=events"], 2, "excitation=true needs exposure=days"),
        (["data=log", "excitation=perhaps"], 2, "excitation"),
        (["run=anywhere", "excitation=true"], 2, "excitation=true works on a log, not on a trained model"),
        (["run=anywhere", "report=true"], 2, "report=true works on a log, not on a trained model"),
        (["run=anywhere", "pool=segment"], 2, "pool=segment works on a log, not on a trained model"),
    ],
)
def test_mistakes_are_one_sentence_and_write_nothing(
    decay_fit: Callable[..., Outcome], tmp_path: Path, arguments: list[str], code: int, sentence: str
) -> None:
    write_log()
    outcome = decay_fit(*arguments, "hydra.run.dir=out")
    assert outcome.exit_code == code, outcome.output
    assert sentence in outcome.stderr
    assert "Traceback" not in outcome.output
    assert not list(tmp_path.glob("out/*.p*"))


def test_a_log_without_a_clock_is_refused(decay_fit: Callable[..., Outcome], tmp_path: Path) -> None:
    write_log(clock=False)
    outcome = decay_fit("data=log", "hydra.run.dir=out")
    assert outcome.exit_code == 1
    assert "decay-fit needs times" in outcome.stderr
    assert not (tmp_path / "out").exists()


def test_a_log_that_ends_after_today_is_refused(decay_fit: Callable[..., Outcome], tmp_path: Path) -> None:
    # Milliseconds taken for seconds.
    write_log(times=1_000)
    outcome = decay_fit("data=log", "hydra.run.dir=out")
    assert outcome.exit_code == 1
    assert "days after today" in outcome.stderr
    assert "source.time_unit" in outcome.stderr
    assert not list(tmp_path.glob("out/*.p*"))


def test_an_entity_that_is_called_as_all_are_is_refused(decay_fit: Callable[..., Outcome], tmp_path: Path) -> None:
    write_log(labels=["c0", "(all)"])
    outcome = decay_fit("data=log", "form=simple", "replicates=0", "hydra.run.dir=out")
    assert outcome.exit_code == 1
    assert "an entity of entity=category is called '(all)'" in outcome.stderr
    assert decay_fit("data=log", "entity=all", "form=simple", "replicates=0", "hydra.run.dir=out").exit_code == 0


def test_a_fit_in_the_folder_of_another_leaves_nothing_of_it(decay_fit: Callable[..., Outcome], tmp_path: Path) -> None:
    write_log()
    quick = ("data=log", "form=simple", "replicates=0", "hydra.run.dir=out")
    first = decay_fit(*quick, "report=true", "excitation=true")
    assert "Replaced" not in first.stdout
    assert (tmp_path / "out/report.html").exists()
    said = " ".join(decay_fit(*quick, "entity=all").stdout.split())
    assert "Replaced the fit that was in" in said
    assert "report.html, which was of an earlier fit" in said
    left = {path.name for path in (tmp_path / "out").iterdir() if path.is_file()}
    assert left == {"decay.json", "decay.parquet", "decay.png"}


def test_a_table_written_in_parts_is_the_same(
    decay_fit: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_log(items=7)
    options = ("data=log", "entity=item", "form=simple", "replicates=20", "min_returns=200")
    decay_fit(*options, "hydra.run.dir=whole")
    monkeypatch.setattr("ltsi.workflows.decay_fit.RECORDS_AT_ONCE", 3)
    decay_fit(*options, "hydra.run.dir=parts")
    whole, parts = (pl.read_parquet(tmp_path / name / "decay.parquet") for name in ("whole", "parts"))
    assert whole.height == 8
    assert parts.equals(whole)
    assert parts.schema == whole.schema


def test_the_contest_is_shown_and_written(decay_fit: Callable[..., Outcome], tmp_path: Path) -> None:
    write_log()
    outcome = decay_fit(
        "data=log", "entity=item", "pool=category", "replicates=20", "hydra.run.dir=out", "--format", "json"
    )
    assert outcome.exit_code == 0, outcome.output
    forms = json.loads(outcome.stdout)["tables"][1]["rows"]
    assert len(forms) == 14
    saved = pl.read_parquet(tmp_path / "out/decay.parquet")
    wanted = {"rate_per_day", "exponent", "dispersion", "fit_p", "heldout_gain", "pooled_half_life_days", "aic_power"}
    assert wanted <= set(saved.columns)
    assert not saved.select(pl.selectors.float().is_nan().any()).row(0).count(True)


def test_whether_earlier_visits_add_up_is_shown_and_written(decay_fit: Callable[..., Outcome], tmp_path: Path) -> None:
    write_log()
    options = ("data=log", "entity=item", "form=exponential", "replicates=20", "hydra.run.dir=out")
    outcome = decay_fit(*options, "excitation=true", "--format", "json")
    assert outcome.exit_code == 0, outcome.output
    printed = json.loads(outcome.stdout)["tables"][1]
    assert printed["title"] == "Do earlier visits add up?"
    saved = pl.read_parquet(tmp_path / "out/excitation.parquet")
    assert {row["kernel"] + row["memory"] for row in printed["rows"]} == set(saved["kernel"] + saved["memory"])
    assert {row["aic"] for row in printed["rows"]} == set(saved["aic"])
    assert not any(saved.select(pl.selectors.float().is_nan().any()).row(0))
    thin = decay_fit(*options, "excitation=true", "min_returns=100000")
    assert "fewer than min_returns=100000" in thin.stdout
    assert pl.read_parquet(tmp_path / "out/excitation.parquet")["aic"].to_list() == [None] * 4


def test_every_user_has_a_rate_by_borrowing_from_the_segment(decay_fit: Callable[..., Outcome]) -> None:
    write_log()
    options = ("entity=user", "pool=segment", "form=exponential_floor", "min_returns=20", "replicates=20")
    rows = table_of(decay_fit("data=log", *options, "--format", "json"))[1:]
    assert len(rows) == 30  # the table shows the thirty with the most returns
    assert {row["low"] for row in rows} == {None}  # one user cannot be resampled
    borrowing = [row for row in rows if row["pooled_days"] is not None]
    assert len(borrowing) > len(rows) / 2
    # Only what was found not to fade, or to fade too fast to be seen, borrows nothing.
    assert all(row["half_life_days"] is None and row["note"] for row in rows if row not in borrowing)


@pytest.mark.parametrize(
    "arguments",
    [
        ("exposure=active_days", "estimator=binomial", "form=simple"),
        ("exposure=events", "form=exponential"),
        ("estimator=negative_binomial", "form=exponential_floor"),
        ("estimator=log_ratio", "form=exponential"),
    ],
)
def test_every_estimator_and_exposure_runs(decay_fit: Callable[..., Outcome], arguments: tuple[str, ...]) -> None:
    write_log()
    rows = table_of(decay_fit("data=log", *arguments, "replicates=20", "hydra.run.dir=out", "--format", "json"))
    assert len(rows) == 3


def test_interest_in_a_shops_items_halves_in_two_to_four_months(
    decay_fit: Callable[..., Outcome], realdata: Path
) -> None:
    source = realdata / "uci-online-retail" / "online_retail.csv.gz"
    prepared = CliRunner().invoke(app, ["prepare", "source=online_retail", f"source.path={source}"], prog_name="ltsi")
    assert prepared.exit_code == 0, prepared.output
    # Only all items together: single items are many and not asked for here.
    (row, *_) = table_of(
        decay_fit("data=online_retail", "form=simple", "min_returns=1000", "replicates=40", "--format", "json")
    )
    assert row["form"] == "exponential_floor"
    assert row["returns"] == 118_590
    # An exact likelihood of every single interval, in a separate script, gives 67.98 days.
    assert row["half_life_days"] == pytest.approx(67.98, rel=0.01)
