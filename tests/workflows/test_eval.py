"""Reading the test part of finished runs: right numbers, whoever computes them, and nothing on a refusal."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
import subprocess
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from omegaconf import OmegaConf
from typer.testing import Result

from ltsi.evaluation.ranking import MISSED
from ltsi.histories import Histories
from ltsi.models.interest import InterestModel
from ltsi.runs.folder import RunFolder
from ltsi.store import Store, open_store
from ltsi.training.checkpoints import load_model
from ltsi.training.module import InterestModule
from ltsi.workflows.experiment import build_model

Ltsi = Callable[..., Result]
Train = Callable[..., RunFolder]
Arguments = Callable[..., list[str]]
Start = Callable[..., subprocess.Popen[str]]
Refused = Callable[..., str]


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def model_of(run: RunFolder) -> InterestModel:
    config = OmegaConf.create(run.config)
    assert OmegaConf.is_dict(config)
    model = build_model(config)
    assert isinstance(model, InterestModel)
    load_model(model, run.checkpoint())
    return model.eval()


def naive_rank(model: InterestModel, store: Store, first: int, row: int, max_length: int, hide: bool) -> int:
    """Ranks one event from the events of its user before it, one item at a time."""
    shown = slice(max(first, row - max_length), row)
    item, time = (torch.tensor(np.array(array[shown], dtype=np.int64))[None] for array in (store.item, store.time))
    now = torch.cat([time[:, 1:], torch.tensor([[int(store.time[row])]])], dim=1)
    history = Histories(item, time, torch.tensor([item.shape[1]]), now)
    with torch.no_grad():
        score: list[float] = model(history)[0].tolist()
    target = int(store.item[row])
    hidden = set(store.item[first:row].tolist()) if hide else set()
    if target in hidden:
        return MISSED
    others = [score[i] for i in range(store.n_items) if i != target and i not in hidden]
    return 1 + sum(s > score[target] for s in others) + sum(s == score[target] for s in others) // 2


@pytest.mark.parametrize("seen", ["keep", "hide"])
@pytest.mark.parametrize("model", ["exp_decay", "popularity", "transitions", "lstm", "transformer", "hybrid"])
def test_ranks_and_metrics_are_those_of_a_naive_loop(train: Train, ltsi: Ltsi, model: str, seen: str) -> None:
    run = train(model, f"seen={seen}", "max_length=7", "trainer.max_epochs=1")
    ltsi("eval", "run=run")
    table, done = run.per_user("test"), run.evaluation("test")
    store, network, expected = open_store(run.environment["store_path"]), model_of(run), {}
    for user in range(store.n_users):
        first, end = (int(row) for row in store.offsets[user : user + 2])
        if end - first >= 3:
            expected[store.users["user"][user]] = naive_rank(network, store, first, end - 1, 7, seen == "hide")
    assert dict(zip(table["user"], table["rank"], strict=True)) == expected
    ranks = list(expected.values())
    assert done.seen == seen
    assert done.n_targets == len(ranks)
    assert done.metrics["hr@10"] == pytest.approx(sum(rank <= 10 for rank in ranks) / len(ranks))
    assert done.metrics["mrr"] == pytest.approx(sum(1 / rank for rank in ranks) / len(ranks))
    gain = sum(1 / math.log2(1 + rank) for rank in ranks if rank <= 10)
    assert done.metrics["ndcg@10"] == pytest.approx(gain / len(ranks))


def test_the_table_of_users_says_what_was_asked(trained: Train, ltsi: Ltsi, shop: Path) -> None:
    run, store = trained("popularity"), open_store(str(shop))
    ltsi("eval", "run=run")
    table = run.per_user("test")
    row = table.row(3, named=True)
    user = store.users["user"].to_list().index(row["user"])
    first, end = store.offsets[user : user + 2]
    assert row["target"] == store.items["item"][int(store.item[end - 1])]
    assert row["history_length"] == end - 1 - first
    assert row["gap_seconds"] == store.time[end - 1] - store.time[end - 2]


def test_only_the_test_part_is_added(trained: Train, ltsi: Ltsi) -> None:
    run = trained("lstm")
    before = snapshot(run.path)
    ltsi("eval", "run=run")
    after = snapshot(run.path)
    assert set(after) - set(before) == {"run/test.json", "run/per_user/test.parquet"}
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize("model", ["transitions", "lstm", "transformer"])
def test_ranks_do_not_depend_on_the_batch_size(
    trained: Train, ltsi: Ltsi, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    run = trained(model)
    ltsi("eval", "run=run")
    ranks = run.per_user("test")
    monkeypatch.setattr("ltsi.sequences.batches.SCORE_BUDGET", 7 * 60)
    monkeypatch.setattr("ltsi.sequences.batches.FEWEST_RANKED", 1)
    ltsi("eval", "run=run")
    assert run.per_user("test").equals(ranks)


def test_the_validation_part_reads_as_training_left_it(trained: Train, ltsi: Ltsi) -> None:
    run = trained("hybrid")
    table, metrics = run.per_user("valid"), run.evaluation("valid").metrics
    ltsi("eval", "run=run", "split=valid")
    assert run.evaluation("valid").metrics == metrics
    assert run.per_user("valid")["rank"].equals(table["rank"])
    assert not run.has_evaluation("test")


def test_other_metrics_on_request(trained: Train, ltsi: Ltsi) -> None:
    run = trained("popularity")
    shown = json.loads(ltsi("eval", "run=run", "metrics=[hr@1,mrr]", "--format", "json").stdout)
    assert set(run.evaluation("test").metrics) == {"hr@1", "mrr"}
    assert str(run.evaluation("test").metrics["mrr"])[:6] in json.dumps(shown)


def test_a_sweep_is_read_whole(train: Train, ltsi: Ltsi) -> None:
    for name in ("popularity", "transitions"):
        train(name, f"hydra.run.dir=runs/{name}")
    lines = list(csv.DictReader(ltsi("eval", "run=runs", "--format", "csv").stdout.splitlines()))
    assert [(line["run"], line["model"]) for line in lines] == [
        ("runs/popularity", "popularity"),
        ("runs/transitions", "transitions"),
    ]
    assert all(RunFolder(Path("runs") / line["model"]).has_evaluation("test") for line in lines)


def test_a_damaged_run_of_a_sweep_is_left_out(train: Train, ltsi: Ltsi) -> None:
    for name in ("1", "2", "3"):
        train("popularity", f"hydra.run.dir=runs/{name}")
    DAMAGE["a truncated checkpoint"][0](Path("runs/1"))
    DAMAGE["a store that is gone"][0](Path("runs/2"))
    done = ltsi("eval", "run=runs", "--format", "csv", exit_code=1)
    assert [line["run"] for line in csv.DictReader(done.stdout.splitlines())] == ["runs/3"]
    assert "runs/1 was not evaluated: runs/1/checkpoints/best.ckpt cannot be read as a checkpoint" in done.stderr
    assert "runs/2 was not evaluated: There is no store '/nowhere/shop'" in done.stderr
    assert RunFolder(Path("runs/3")).has_evaluation("test")


def test_a_store_that_was_moved_is_found_by_its_name(trained: Train, ltsi: Ltsi, shop: Path, data_root: Path) -> None:
    run = trained("popularity")
    ltsi("eval", "run=run")
    before = run.evaluation("test").metrics
    DAMAGE["a store that is gone"][0](run.path)
    moved = shutil.copytree(shop, data_root / "prepared" / "shop")
    said = ltsi("eval", "run=run").stderr
    assert f"The store of run is no longer at /nowhere/shop; reading the one at {moved}." in " ".join(said.split())
    assert run.evaluation("test").metrics == before


def test_another_store_of_the_same_name_is_not_taken_for_one_that_was_moved(
    trained: Train, refused: Refused, shop: Path, data_root: Path
) -> None:
    run = trained("popularity")
    DAMAGE["a store that is gone"][0](run.path)
    moved = shutil.copytree(shop, data_root / "prepared" / "shop")
    set_in(moved / "manifest.json", lambda found: found.update(fingerprint="f00d"))
    assert f"was trained on another version of store 'shop' than the one at {moved}" in refused("eval", "run=run")


def test_a_run_that_was_killed_before_its_first_epoch_has_no_best_one(trained: Train, ltsi: Ltsi) -> None:
    run = trained("popularity")
    shutil.rmtree(run.path / "checkpoints")
    run.write_environment({name: fact for name, fact in run.environment.items() if name != "finished"})
    assert "this is its best epoch so far" not in ltsi("eval", "run=run", exit_code=1).stderr


def test_what_no_run_can_be_asked_is_said_once(train: Train, refused: Refused) -> None:
    for name in ("1", "2"):
        train("popularity", f"hydra.run.dir=runs/{name}")
    assert refused("eval", "run=runs", "metrics=[ndgc@10]", exit_code=2).count("ndcg@10") == 1


def test_a_folder_that_is_not_a_run_is_refused(refused: Refused) -> None:
    Path("empty").mkdir()
    assert "There is no run in empty" in refused("eval", "run=empty")
    assert "There is no folder nowhere" in refused("eval", "run=nowhere")
    assert "run is not set" in refused("eval", exit_code=2)
    for command in ("eval", "decay-fit"):
        assert "run= names no folder, as of a shell variable" in refused(command, "run=", exit_code=2)
    assert list(Path("empty").iterdir()) == []
    assert not Path("nowhere").exists()


def test_a_part_that_is_not_one_is_refused(refused: Refused, trained: Train) -> None:
    trained("popularity")
    assert "there is no split 'train'" in refused("eval", "run=run", "split=train", exit_code=2)
    sentence = refused("eval", "run=run", "split=leave_one_out", exit_code=2)
    assert (
        "split=leave_one_out is a way to split; eval expects a part of the run's own split: split=valid or split=test."
    ) in sentence
    assert "did you mean 'ndcg@10'" in refused("eval", "run=run", "metrics=[ndgc@10]", exit_code=2)
    assert "metrics=[] measures nothing" in refused("eval", "run=run", "metrics=[]", exit_code=2)


MADE_LATER = "${oc.create:{name: x, _target_: pandas.read_pickle, _args_: ['evil.pkl']}}"
"""No target until it is resolved."""


def set_in(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    found = yaml.safe_load(path.read_text())
    change(found)
    path.write_text(json.dumps(found))


EVIL = "ltsi.store.os.mkdir"
DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "another store": (
        lambda run: set_in(run / "environment.json", lambda found: found.update(fingerprint="f00d")),
        r"Run run was trained on another version of store 'shop'",
    ),
    "a store that is gone": (
        lambda run: set_in(run / "environment.json", lambda found: found.update(store_path="/nowhere/shop")),
        r"There is no store '/nowhere/shop', which run run was trained on, nor is it at \S+/prepared/shop; if it "
        r"was moved, set LTSI_DATA to the folder that has it as prepared/shop",
    ),
    "an environment without its store": (
        lambda run: set_in(run / "environment.json", lambda found: found.pop("store_path")),
        r"environment.json has no 'store_path'; the run is damaged",
    ),
    "foreign code": (
        lambda run: set_in(run / "config.yaml", lambda found: found["model"].update(_target_="os.mkdir", path="evil")),
        r"config.yaml: model._target_=os.mkdir is not a class of ltsi, torch or Lightning, so it is not run",
    ),
    "foreign code by interpolation": (
        lambda run: set_in(run / "config.yaml", lambda found: found.update(split=MADE_LATER)),
        r"config.yaml: split=.* is an interpolation, which ltsi does not write into a run",
    ),
    "foreign code by way of ours": (
        lambda run: set_in(run / "config.yaml", lambda found: found["loss"].update(_target_=EVIL, path="evil")),
        r"config.yaml: loss._target_=ltsi.store.os.mkdir is not a class of ltsi",
    ),
    "foreign code in a list": (
        lambda run: set_in(run / "config.yaml", lambda found: found.update(x=[{"_target_": "os.mkdir"}])),
        r"config.yaml: x._target_=os.mkdir is not a class of ltsi",
    ),
    "a class that is not there": (
        lambda run: set_in(run / "config.yaml", lambda found: found["model"].update(_target_="ltsi.models.lstm.Gru")),
        r"model._target_=ltsi.models.lstm.Gru is not a class of ltsi",
    ),
    "another size": (
        lambda run: set_in(run / "config.yaml", lambda found: found["model"].update(dim=16)),
        r"best.ckpt does not fit the model in the run's config.yaml: size mismatch for \S+: ",
    ),
    "a truncated checkpoint": (
        lambda run: (run / "checkpoints/best.ckpt").write_bytes((run / "checkpoints/best.ckpt").read_bytes()[:999]),
        r"best.ckpt cannot be read as a checkpoint \(.*\); train again",
    ),
    "a checkpoint that is text": (
        lambda run: (run / "checkpoints/best.ckpt").write_text("weights"),
        r"best.ckpt holds something else than tensors and plain data; train again",
    ),
    "a checkpoint of something else": (
        lambda run: torch.save({"weights": torch.zeros(1)}, run / "checkpoints/best.ckpt"),
        r"best.ckpt is not a checkpoint of ltsi; train again",
    ),
    "no checkpoint": (
        lambda run: shutil.rmtree(run / "checkpoints"),
        r"Run run has no checkpoints/best.ckpt: its training did not finish",
    ),
    "a configuration that is no YAML": (
        lambda run: (run / "config.yaml").write_text("{["),
        r"config.yaml cannot be read",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_run_is_refused_and_left_alone(refused: Refused, trained: Train, damage: str) -> None:
    run = trained("lstm")
    break_it, sentence = DAMAGE[damage]
    break_it(run.path)
    before = snapshot(run.path)
    found = refused("eval", "run=run")
    assert re.search(sentence, found), found
    assert snapshot(run.path) == before
    assert not Path("evil").exists()


@pytest.mark.parametrize("setting", ["limit_test_batches=0", "limit_test_batches=1", "limit_val_batches=0.5"])
def test_no_part_of_the_targets_stands_for_all(refused: Refused, trained: Train, setting: str) -> None:
    run = trained("popularity")
    found = refused("eval", "run=run", f"+trainer.{setting}", exit_code=2)
    assert found.startswith(f"trainer.{setting} would leave out targets of a part")
    assert not run.has_evaluation("test")


def test_a_hybrid_that_was_stopped_before_its_weights_were_chosen_is_none_yet(refused: Refused, trained: Train) -> None:
    run = trained("hybrid")
    set_in(run.path / "environment.json", lambda found: found.pop("finished"))
    found = refused("eval", "run=run")
    assert "was stopped before what mixes its parts was chosen" in found
    assert "resume=true" in found
    assert not run.has_evaluation("test")


def test_a_run_is_evaluated_in_the_precision_that_chose_it(
    train: Train, ltsi: Ltsi, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed = set()

    def watched(step: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(step)
        def asked(*given: Any) -> Any:
            mixed.add((step.__name__, torch.is_autocast_enabled("cpu")))
            return step(*given)

        return asked

    for step in (InterestModule.training_step, InterestModule.validation_step, InterestModule.test_step):
        monkeypatch.setattr(InterestModule, step.__name__, watched(step))
    train("transformer", "trainer.precision=bf16-mixed", "hydra.run.dir=run")
    ltsi("eval", "run=run")
    assert mixed == {(f"{step}_step", True) for step in ("training", "validation", "test")}
    mixed.clear()
    ltsi("eval", "run=run", "trainer.precision=32-true")
    assert mixed == {("test_step", False)}


def test_a_column_says_targets_where_users_have_several(train: Train, ltsi: Ltsi) -> None:
    train("popularity", "hydra.run.dir=one")
    assert "users" in ltsi("eval", "run=one", "--format", "csv").stdout
    train("popularity", "split=ratio", "split.target=all", "hydra.run.dir=several")
    table = ltsi("eval", "run=several", "--format", "csv").stdout
    assert "targets" in table
    assert "users" not in table


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert "Warning" not in err
    assert "sync_dist" not in err
    return out


def test_two_processes_train_and_rank_as_one(train: Train, ltsi: Ltsi, arguments: Arguments, start: Start) -> None:
    calm = ["model.dropout=0", "model.embedding_dropout=0", "optimizer.lr=0.01"]
    alone = train("lstm", *calm, "hydra.run.dir=runs/alone")
    counted = train("transitions", "hydra.run.dir=runs/counted")
    finish(start(*arguments("lstm", *calm, "trainer=ddp_cpu", "trainer.devices=2", "hydra.run.dir=runs/pair")))
    pair = RunFolder(Path("runs/pair"))
    losses = [[float(row["loss"]) for row in run.epochs()] for run in (alone, pair)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert [row["epoch"] for row in pair.epochs()] == ["1", "2"]
    assert pair.evaluation("valid").n_targets == alone.evaluation("valid").n_targets
    assert {path.name for path in pair.path.iterdir()} >= {path.name for path in alone.path.iterdir()}

    one: dict[str, Any] = {}
    ltsi("eval", "run=runs")
    for run in (alone, counted, pair):
        one[str(run.path)] = run.evaluation("test").metrics, run.per_user("test")
    finish(start("eval", "run=runs", "trainer=ddp_cpu", "trainer.devices=2"))
    for run in (alone, counted, pair):
        metrics, table = one[str(run.path)]
        assert run.evaluation("test").metrics == metrics
        assert run.per_user("test").equals(table)
