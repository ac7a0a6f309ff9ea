"""Forecasts of intensity through the command line: training, evaluation, comparison, and what is refused."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import Result

from ltsi.metrics import Forecasts, value_summary
from ltsi.objectives.intensity import Intensity
from ltsi.runs.folder import RunFolder
from ltsi.store import open_store

Ltsi = Callable[..., Result]
Train = Callable[..., RunFolder]
Arguments = Callable[..., list[str]]

INTENSITY = [
    "objective=intensity",
    "objective.horizon=2",
    "objective.least_active=2",
    "split.valid=0.4",
    "split.test=0.7",
]


def summary(table: pl.DataFrame) -> dict[str, float]:
    columns = (table[name].to_numpy() for name in ("actual", "mean", "median", "low", "high", "scale"))
    return value_summary(Forecasts(*columns), Intensity.metrics)


def test_a_run_of_forecasts_is_a_run_folder(train: Train, ltsi: Ltsi, shop: Path) -> None:
    run = train("lstm", *INTENSITY, "trainer.max_epochs=2", "test=true")
    store = open_store(str(shop))
    for part in ("valid", "test"):
        done, table = run.evaluation(part), run.per_user(part)
        assert done.objective == "intensity"
        assert done.n_targets == table.height
        assert done.metrics == pytest.approx(summary(table), nan_ok=True)
        # What came is what the log says.
        row = table.row(table.height // 2, named=True)
        user = store.users["user"].to_list().index(row["user"])
        rows = slice(int(store.offsets[user]), int(store.offsets[user + 1]))
        begin = int(row["origin"].timestamp()) + (row["step"] - 1) * 7 * 86_400
        categories = store.items["category"].to_numpy()[store.item[rows]]
        inside = (store.time[rows] >= begin) & (store.time[rows] < begin + 7 * 86_400) & (categories == row["entity"])
        assert inside.sum() == row["actual"]
    test, valid = (run.per_user(part)["origin"].to_list() for part in ("test", "valid"))
    assert min(test) > max(valid)
    report = run.environment["split_report"]
    assert report["series"] == table.select("user", "entity").n_unique()
    assert report["thin_series"] > 0
    # The best epoch is the one of the least error.
    assert done.metrics.keys() == {*Intensity.metrics}
    assert run.evaluation("valid").metrics["mae"] == pytest.approx(min(float(r["mae"]) for r in run.epochs()), rel=1e-4)
    said = ltsi("eval", "run=run", "split=valid").stdout
    assert "series by category, 2 weeks ahead from every 1. week" in said
    assert "are zero throughout valid" in said


def test_the_plain_loss_is_learned_from_too(train: Train) -> None:
    run = train("lstm", *INTENSITY, "loss=log_squared", "trainer.max_epochs=5", "batch_size=4", "optimizer.lr=0.02")
    losses = [float(row["loss"]) for row in run.epochs()]
    assert losses[-1] < 0.9 * losses[0]


def test_a_window_shorter_than_the_part_answers_all_origins(train: Train) -> None:
    longer = train("last_value", *INTENSITY, "hydra.run.dir=a").per_user("valid")
    shorter = train("last_value", *INTENSITY, "max_length=3", "hydra.run.dir=b").per_user("valid")
    assert shorter.equals(longer)


def test_cleaning_steps_change_training_and_nothing_else(train: Train, ltsi: Ltsi) -> None:
    raw = train("arima", *INTENSITY, "hydra.run.dir=a")
    steps = ["clean@objective.clean=[moving_median]", "objective.clean.moving_median.by=[user,item]"]
    clean = train("arima", *INTENSITY, *steps, "hydra.run.dir=b")
    one, other = raw.per_user("valid"), clean.per_user("valid")
    answers = ("mean", "median", "low", "high", "scale")
    assert one.drop(*answers).equals(other.drop(*answers))
    assert not np.allclose(one["mean"], other["mean"])
    ltsi("eval", "run=b", "split=valid")


def test_models_are_compared_over_users(train: Train, ltsi: Ltsi) -> None:
    for name in ("exp_decay", "last_value", "seasonal_naive"):
        train(name, *INTENSITY, "test=true", f"hydra.run.dir=runs/{name}")
    said = ltsi("compare", "runs").stdout
    assert "series are zero throughout the part" in said
    assert "less mae than exp_decay on the same users" in said
    shown = ltsi("compare", "runs", "-m", "coverage", "--format", "markdown").stdout
    assert "**" not in shown, "the widest intervals are not the best"
    assert "No gains are shown for coverage because a higher value is not always better" in shown
    rows = list(csv.DictReader(ltsi("compare", "runs", "-m", "mse", "--format", "csv").stdout.splitlines()))
    assert [float(row["mse"]) for row in rows] == sorted(float(row["mse"]) for row in rows)
    assert {row["model"] for row in rows} == {"exp_decay", "last_value", "seasonal_naive"}
    for row in rows:
        assert float(row["mse low"]) <= float(row["mse"]) <= float(row["mse high"])
        metrics = RunFolder(Path("runs") / row["model"]).evaluation("test").metrics
        assert float(row["mse"]) == pytest.approx(metrics["mse"], abs=1e-4)


def test_folds_of_a_rolling_origin_are_compared_as_one(train: Train, ltsi: Ltsi) -> None:
    folds = [
        "objective=intensity",
        "objective.horizon=1",
        "objective.least_active=2",
        "split=rolling_origin",
        "split.folds=2",
        "split.start=0.2",
    ]
    for name in ("exp_decay", "last_value"):
        for fold in range(2):
            train(name, *folds, f"split.fold={fold}", "test=true", f"hydra.run.dir=runs/{name}-{fold}")
    said = ltsi("compare", "runs").stdout
    assert "test of rolling_origin (folds 0, 1)" in " ".join(said.split())
    rows = list(csv.DictReader(ltsi("compare", "runs", "-m", "mse", "--format", "csv").stdout.splitlines()))
    for row in rows:
        tables = [RunFolder(Path("runs") / f"{row['model']}-{fold}").per_user("test") for fold in range(2)]
        together = pl.concat(tables)
        assert float(row["mse"]) == pytest.approx(summary(together)["mse"], abs=1e-4)
        # The tests of the folds follow one another.
        assert tables[0]["origin"].max() < tables[1]["origin"].min()  # type: ignore[operator]
    assert len(rows) == 2


@pytest.mark.parametrize(
    ("model", "overrides", "sentence"),
    [
        ("lstm", ["split=leave_one_out"], "choose split=global_time or split=rolling_origin"),
        ("lstm", ["objective.horizon=30"], "objective.horizon=30 forecasts 30; take a shorter horizon"),
        (
            "lstm",
            ["objective.horizon=1", "split.test=0.9999"],
            "has 0 whole weeks, and objective.horizon=1 forecasts 1; take objective.bin=day or a longer log, or cut",
        ),
        (
            "lstm",
            ["objective.horizon=1", "objective.bin=day", "split.test=0.9999"],
            "has 0 whole days, and objective.horizon=1 forecasts 1; take a longer log, or cut earlier",
        ),
        ("lstm", ["objective.horizon=0"], "objective.horizon=0 must be a whole number from 1"),
        ("lstm", ["objective.least_active=99"], "99 active bins before the cut"),
        ("lstm", ["objective.entity=colour"], "have no column 'colour'"),
        ("lstm", ["objective.bin=month"], "bin=month must be one of: day, week"),
        ("lstm", ["objective.weights={bye: 1}"], "weights names 'bye'"),
        ("lstm", ["loss=softmax"], "objective=intensity takes loss=mean_and_median or loss=log_squared"),
        ("lstm", ["loss.median_weight=0"], "loss.median_weight=0 must be a number above 0"),
        ("lstm", ["metrics=[ndcg@10]"], "objective=intensity has forecasts"),
        ("lstm", ["augmentation=crop"], "augmentation changes windows of next items"),
        ("popularity", [], "objective=intensity cannot use Popularity"),
        ("arima", ["model.order=[1,2,1]"], "with d at most 1"),
        (
            "arima",
            ["clean@objective.clean=[moving_median]"],
            "clean=moving_median would run over several series at once",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(
    ltsi: Ltsi, arguments: Arguments, model: str, overrides: list[str], sentence: str
) -> None:
    kept = [one for one in INTENSITY if not one.startswith("split.") or "split=leave_one_out" not in overrides]
    exit_code = 1 if "active" in sentence or "colour" in sentence else 2
    result = ltsi(*arguments(model, *kept, *overrides), exit_code=exit_code)
    assert sentence in " ".join(result.stderr.split()), result.stderr
    assert "Traceback" not in result.stderr
    assert not Path("run").exists()


def test_forecasters_know_no_items(ltsi: Ltsi, arguments: Arguments) -> None:
    for objective in ("next_item", "click"):
        result = ltsi(*arguments("arima", f"objective={objective}"), exit_code=2)
        assert f"cannot score items, so objective={objective} cannot use it" in " ".join(result.stderr.split())
