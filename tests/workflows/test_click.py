"""Clicks through the command line: training, evaluation, comparison, and what is refused."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import torch
from torch import Tensor
from typer.testing import Result

from ltsi.metrics import label_summary
from ltsi.objectives.click import Click
from ltsi.runs.folder import RunFolder
from ltsi.store import open_store

Ltsi = Callable[..., Result]
Train = Callable[..., RunFolder]
Arguments = Callable[..., list[str]]
Refused = Callable[..., str]
Curve = Callable[[RunFolder], list[dict[str, str]]]
State = Callable[..., dict[str, Tensor]]

CLICK = "objective=click"
FEATURES = ["features=auto", "features.event={hour: hour_of_day}", "features.cross=[[item.category,event.hour]]"]
BEHAVIOR = ["objective/labels=behavior", "objective.labels.positive=[buy]", "split=ratio", "split.target=all"]


def test_a_run_of_clicks_is_a_run_folder(train: Train, ltsi: Ltsi, shop: Path) -> None:
    run = train("lstm", CLICK, *FEATURES, "optimizer.lr=0.01", "trainer.max_epochs=3")
    store, done, table = open_store(str(shop)), run.evaluation("valid"), run.per_user("valid")
    assert done.objective == run.config["objective"]["name"] == "click"
    assert list(done.metrics) == run.config["metrics"] == list(Click.metrics)
    assert run.config["loss"]["name"] == "two_class"
    # One positive and four negatives of each user, none of which is in the user's history.
    assert table.height == done.n_targets == 5 * table["user"].n_unique()
    assert table.group_by("user").agg(pl.col("label").sum())["label"].to_list() == [1] * table["user"].n_unique()
    first = table.head(5)
    end = int(store.offsets[1])
    assert first["user"].unique().to_list() == [store.users["user"][0]]
    assert first["item"][0] == store.items["item"][int(store.item[end - 2])]
    taken = {store.items["item"][int(i)] for i in store.item[: end - 1]}
    assert not taken & set(first["item"][1:])
    assert first["history_length"].unique().to_list() == [end - 2]
    assert first["gap_seconds"].unique().to_list() == [int(store.time[end - 2] - store.time[end - 3])]
    # The numbers are those of the table, and of the best epoch.
    label, probability = table["label"].to_numpy() > 0, table["probability"].to_numpy()
    user = table["user"].rank("dense").cast(int).to_numpy()
    assert done.metrics == pytest.approx(label_summary(label, probability, user, Click.metrics), nan_ok=True)
    assert done.metrics["auc"] == pytest.approx(max(float(row["auc"]) for row in run.epochs()), abs=1e-6)
    assert re.search(r"epoch 3: loss .*, valid auc 0\.", (run.path / "train.log").read_text())
    # eval puts model and features together again, and fixes the negatives.
    assert {"item", "user", "event", "cross"} == json.loads(run.features_path.read_text()).keys()
    ltsi("eval", "run=run", "split=valid")
    assert run.evaluation("valid").metrics == pytest.approx(done.metrics, nan_ok=True)
    assert run.per_user("valid").equals(table)


def test_a_run_without_its_features_is_refused(train: Train, ltsi: Ltsi) -> None:
    train("lstm", CLICK, "features=auto", "trainer.max_epochs=1").features_path.unlink()
    result = ltsi("eval", "run=run", exit_code=1)
    assert "features.json cannot be read as fitted features" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_resumed_run_equals_the_uninterrupted_one(curve: Curve, state: State, train: Train) -> None:
    whole = train("lstm", CLICK, "features=auto", "trainer.max_epochs=3", "hydra.run.dir=whole")
    train("lstm", CLICK, "features=auto", "trainer.max_epochs=1")
    resumed = train("lstm", CLICK, "features=auto", "trainer.max_epochs=3", "resume=true")
    assert curve(resumed) == curve(whole)
    one, other = state(resumed, "last"), state(whole, "last")
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert resumed.per_user("valid").equals(whole.per_user("valid"))


@pytest.mark.parametrize("model", ["transformer", "lstm_transformer"])
def test_any_network_takes_it(train: Train, model: str) -> None:
    assert set(train(model, CLICK, "trainer.max_epochs=1").evaluation("valid").metrics) == set(Click.metrics)


@pytest.mark.parametrize("model", ["popularity", "exp_decay", "transitions"])
def test_counted_models_are_its_baselines(train: Train, ltsi: Ltsi, model: str) -> None:
    run = train(model, CLICK)
    done = run.evaluation("valid")
    # Calibrated: no further from the labels than the share of positives, whose entropy this is.
    assert done.metrics["log_loss"] < 0.5005
    assert not run.epochs()
    ltsi("eval", "run=run", "split=valid")
    assert run.evaluation("valid").metrics == pytest.approx(done.metrics, nan_ok=True)


def test_behaviours_are_labels(train: Train, ltsi: Ltsi, shop: Path) -> None:
    run = train("exp_decay", CLICK, *BEHAVIOR, "split.input_behaviors=[view,cart]", "test=true")
    table, store = run.per_user("test"), open_store(str(shop))
    assert 0 < table["label"].sum() < table.height
    # Examples of a user are asked for one after another, and what happened until then is known.
    lengths = table.filter(table["user"] == table["user"][0])["history_length"].to_list()
    assert lengths == sorted(lengths)
    assert lengths[-1] > lengths[0]
    first = store.item[: int(store.offsets[1])]
    mine = table.filter(table["user"] == store.users["user"][0])
    assert mine["item"].to_list() == [store.items["item"][int(i)] for i in first[len(first) - mine.height :]]


def test_what_came_of_it_is_a_label(train: Train, ltsi: Ltsi) -> None:
    outcome = ["objective/labels=outcome", "objective.labels.positive=[cart]", "split.target_behaviors=[view]"]
    run = train("lstm", CLICK, *outcome, "split=ratio", "split.target=all", "trainer.max_epochs=1", "test=true")
    table = run.per_user("test")
    assert 0 < table["label"].sum() < table.height
    ltsi("eval", "run=run", "split=test")
    assert run.per_user("test").equals(table)


def test_selection_follows_the_objective(train: Train) -> None:
    settings = ["trainer.max_epochs=30", "optimizer.lr=0.05", "early_stopping.patience=1"]
    rows = train("lstm", CLICK, *settings).epochs()
    scores = [float(row["auc"]) for row in rows]
    assert len(rows) < 30
    assert scores[-1] <= max(scores[:-1])
    assert scores[:-1] == sorted(scores[:-1])


@pytest.mark.parametrize(
    ("model", "overrides", "exit_code", "sentence"),
    [
        ("lstm", [CLICK, "metrics=[ndcg@10]"], 2, "Metric 'ndcg@10' does not fit: objective=click has labels"),
        ("lstm", ["metrics=[auc]"], 2, "Metric 'auc' does not fit: objective=next_item has the ranks"),
        (
            "lstm",
            [CLICK, "loss=softmax"],
            2,
            "does not fit objective=click, a two-class problem; choose loss=two_class",
        ),
        ("lstm", ["loss=two_class"], 2, "objective=next_item ranks items; choose loss=softmax"),
        ("lstm", [CLICK, "augmentation=crop"], 2, "augmentation changes windows of next items, not examples"),
        ("hybrid", [CLICK], 2, "objective=click cannot use Hybrid: it takes one network"),
        ("lstm", ["features=auto"], 2, "objective=next_item does not use features, but some are declared"),
        ("lstm", ["objective=clicks"], 2, "there is no objective 'clicks': did you mean objective=click?"),
        ("lstm", [CLICK, "objective/labels=samples"], 2, "did you mean objective/labels=sampled?"),
        ("lstm", [CLICK, "objective.labels.negatives=0"], 2, "objective.labels.negatives=0 must be a whole number"),
        (
            "lstm",
            [CLICK, "objective/labels=behavior"],
            2,
            r"labels.positive=\[\] must be some.*: buy, cart, view;",
        ),
        ("lstm", [CLICK, *BEHAVIOR[:1], "objective.labels.positive=[bye]"], 2, "Did you mean 'buy'"),
        ("lstm", [CLICK, "objective.hidden=[0]"], 2, r"objective.hidden=\[0\] .* must be whole numbers from 1"),
        ("lstm", [CLICK, "seen=hide"], 2, "seen=hide: objective=click ranks no items, .*leave it out"),
        ("lstm", [CLICK, "objective.dropout=1"], 2, "objective.dropout=1 must be at least 0 and below 1"),
        ("lstm", [CLICK, "features.item={colour: categorical}"], 2, "have no column 'colour'"),
        ("lstm", ["objective._target_=torch.nn.Identity"], 2, "objective._target_=torch.nn.Identity is not an ltsi"),
        ("lstm", [CLICK, "trainer=ddp_cpu", "trainer.devices=20"], 2, "trainer.devices=20 is more than"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence_and_leaves_nothing(
    refused: Refused, arguments: Arguments, model: str, overrides: list[str], exit_code: int, sentence: str
) -> None:
    found = refused(*arguments(model, *overrides), exit_code=exit_code)
    assert re.search(sentence, found), found
    assert not Path("run").exists()


def test_runs_are_compared_on_users_and_objectives_kept_apart(refused: Refused, train: Train, ltsi: Ltsi) -> None:
    for name, overrides in (
        ("exp_decay", [CLICK]),
        ("popularity", [CLICK]),
        ("popularity", [CLICK, "objective.labels.negatives=2"]),
        ("popularity", []),
    ):
        train(name, *overrides, "test=true", f"hydra.run.dir=runs{len(overrides)}/{name}")
    rows = list(csv.DictReader(ltsi("compare", "runs1", "--format", "csv").stdout.splitlines()))
    assert [row["model"] for row in rows] == ["exp_decay", "popularity"]
    best, other = rows
    assert float(best["gauc low"]) < float(best["gauc"]) < float(best["gauc high"])
    assert best["auc low"] == ""
    assert float(other["gain %"]) == pytest.approx(100 * (float(other["gauc"]) / float(best["gauc"]) - 1), abs=0.1)
    assert float(other["p"]) < 0.05
    # What is lower is better: sorted, and told as a gain.
    by_loss = ltsi("compare", "runs1", "-m", "log_loss", "-m", "precision", "--baseline", "popularity")
    assert "less log_loss than popularity" in by_loss.stdout
    assert by_loss.stdout.index("exp_decay") < by_loss.stdout.index("popularity  ")
    for wrong, said in (
        (
            ["runs1", "runs0"],
            "objective is click (drawn=popularity, name=sampled, negatives=4) in the first and next_item",
        ),
        (["runs1", "runs2"], "negatives=4) in the first and click (drawn=popularity, name=sampled, negatives=2)"),
    ):
        assert said in refused("compare", *wrong)
    assert "Metric 'mrr' does not fit: objective=click" in refused("compare", "runs1", "-m", "mrr", exit_code=2)
    # A sweep over objectives is read whole, in a table each.
    both = json.loads(ltsi("eval", "run=.", "--format", "json").stdout)["tables"]
    assert [len(table["rows"]) for table in both] == [1, 2, 1]
