"""What a training leaves behind, what it refuses, and how it goes on."""

from __future__ import annotations

import errno
import json
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
import yaml
from torch import Tensor
from typer.testing import Result

import ltsi.conf
from ltsi.metrics import summary
from ltsi.runs.folder import RunFolder
from ltsi.store import open_store

Ltsi = Callable[..., Result]
Train = Callable[..., RunFolder]
Arguments = Callable[..., list[str]]


def files(folder: Path) -> set[str]:
    """Lists the files of a run, Hydra's own notes aside."""
    found = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    return {str(path) for path in found if path.parts[0] != ".hydra"}


def state(run: RunFolder, which: str = "best") -> dict[str, Tensor]:
    found: dict[str, Tensor] = torch.load(run.checkpoint(which), weights_only=True)["state_dict"]
    return found


def curve(run: RunFolder) -> list[dict[str, str]]:
    """Returns the rows of `metrics.csv` without what depends on the machine's mood."""
    return [
        {key: value for key, value in row.items() if not key.endswith(("seconds", "per_second"))}
        for row in run.epochs()
    ]


def assert_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [key for key in one if not torch.equal(one[key], other[key])] == []


COUNTED = {
    "config.yaml",
    "environment.json",
    "valid.json",
    "per_user/valid.parquet",
    "checkpoints/best.ckpt",
    "train.log",
}


def test_a_trained_run_is_the_folder_that_the_design_says(train: Train, shop: Path) -> None:
    run = train("lstm")
    assert files(run.path) == COUNTED | {"metrics.csv", "checkpoints/last.ckpt"}
    rows, store = run.epochs(), open_store(str(shop))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    n_targets = store.n_events - 2 * run.evaluation("valid").n_targets - store.n_users
    for row in rows:
        assert float(row["events_per_second"]) * float(row["epoch_seconds"]) == pytest.approx(n_targets, rel=0.01)
        assert {"loss", "ndcg@10", "hr@10", "mrr", "valid_seconds"} <= row.keys()
    facts = run.environment
    assert facts["fingerprint"] == store.fingerprint
    assert (facts["store_path"], facts["split"], facts["seen"]) == (str(shop), "leave_one_out", "keep")
    weights = sum(value.numel() for name, value in state(run).items() if not name.endswith("prior_I"))
    assert facts["n_parameters"] == weights
    assert facts["train_seconds"] > 0
    assert "epoch 2: loss" in (run.path / "train.log").read_text()


def test_a_counted_model_has_no_epochs(train: Train) -> None:
    run = train("popularity")
    assert files(run.path) == COUNTED
    assert run.environment["n_parameters"] == 0


def test_the_configuration_is_kept_resolved(train: Train) -> None:
    config = train("transformer", "seed=3").config
    assert (config["seed"], config["n_items"], config["model"]["max_length"]) == (3, 60, 50)
    assert "${" not in yaml.safe_dump(config)


def test_the_best_epoch_is_what_is_judged(train: Train) -> None:
    run = train("lstm", "trainer.max_epochs=4", "optimizer.lr=0.01")
    done, table = run.evaluation("valid"), run.per_user("valid")
    best = max(float(row["ndcg@10"]) for row in run.epochs())
    assert done.metrics["ndcg@10"] == pytest.approx(best, abs=1e-6)
    assert summary(table["rank"].to_numpy(), list(done.metrics)) == done.metrics
    assert table.height == done.n_targets


def test_the_test_part_is_read_only_on_request(train: Train) -> None:
    assert not train("transitions").has_evaluation("test")
    asked = train("transitions", "test=true", "hydra.run.dir=asked")
    assert asked.evaluation("test").n_targets == asked.per_user("test").height > 0
    assert "Reading the test part" in (asked.path / "train.log").read_text()


def test_the_weights_of_a_pool_stand_beside_each_rank(trained: Train) -> None:
    run = trained("hybrid")
    table = run.per_user("valid")
    weights = [column for column in table.columns if column.startswith("weight_")]
    assert len(weights) == len(run.config["model"]["components"])
    assert (table.select(weights).min_horizontal() > 0).all()
    assert table.select(weights).n_unique() > 1, "a gate tells users apart"


@pytest.mark.parametrize("model", ["lstm", "transformer", "lstm_transformer", "hybrid", "exp_decay"])
def test_the_same_command_gives_the_same_numbers(train: Train, trained: Train, model: str) -> None:
    one, other = trained(model), train(model, "hydra.run.dir=other")
    assert_equal(state(one), state(other))
    assert curve(one) == curve(other)
    assert one.per_user("valid").equals(other.per_user("valid"))


@pytest.mark.parametrize("model", ["lstm", "transformer", "hybrid"])
def test_a_resumed_run_equals_the_uninterrupted_one(train: Train, model: str) -> None:
    whole = train(model, "trainer.max_epochs=4", "hydra.run.dir=whole")
    train(model, "trainer.max_epochs=2", "test=true")
    resumed = train(model, "trainer.max_epochs=4", "resume=true")
    assert curve(resumed) == curve(whole)
    assert_equal(state(resumed, "last"), state(whole, "last"))
    assert_equal(state(resumed), state(whole))
    assert resumed.evaluation("valid").metrics == whole.evaluation("valid").metrics
    assert not resumed.has_evaluation("test"), "what was measured with the former model is void"
    both_stretches = sum(float(row["epoch_seconds"]) for row in resumed.epochs())
    assert resumed.environment["train_seconds"] > both_stretches


def test_a_resumed_run_is_augmented_as_the_uninterrupted_one(train: Train) -> None:
    steps = "augmentation=[shuffle_ties,crop,mask,reorder,item_drop]"
    whole = train("lstm", steps, "hydra.run.dir=whole")
    train("lstm", steps, "trainer.max_epochs=1")
    resumed = train("lstm", steps, "resume=true")
    assert curve(resumed) == curve(whole) != curve(train("lstm", "hydra.run.dir=plain"))
    assert_equal(state(resumed, "last"), state(whole, "last"))


def test_a_finished_run_may_be_resumed_to_no_effect(train: Train) -> None:
    run = train("lstm", "test=true")
    before = state(run), curve(run), run.evaluation("test")
    train("lstm", "resume=true")
    assert_equal(state(run), before[0])
    assert curve(run) == before[1]
    assert run.evaluation("test") == before[2]


def test_a_finished_counted_model_may_be_resumed_too(trained: Train, train: Train) -> None:
    before = state(trained("popularity"))
    assert_equal(state(train("popularity", "resume=true")), before)


def test_a_run_that_was_moved_is_resumed_as_if_it_had_stayed(train: Train) -> None:
    settings = ["optimizer.lr=1", "trainer.max_epochs=5"]
    whole = train("lstm", *settings, "hydra.run.dir=whole")
    train("lstm", *settings[:1], "trainer.max_epochs=4")
    shutil.move("run", "elsewhere")
    moved = train("lstm", *settings, "hydra.run.dir=elsewhere", "resume=true")
    assert_equal(state(moved), state(whole))
    best = [float(row["ndcg@10"]) for row in whole.epochs()]
    assert best.index(max(best)) < 4, "the best epoch lies before the move, or nothing is tested"


def test_a_stopped_sweep_is_finished_by_one_command(ltsi: Ltsi, arguments: Arguments) -> None:
    sweep = [*arguments("lstm", "hydra.sweep.dir=sweep"), "seed=1,2,3", "-m"]
    ltsi(*sweep)
    first, second, third = (Path("sweep") / str(job) for job in range(3))
    before = (first / "checkpoints" / "best.ckpt").read_bytes()
    shutil.rmtree(second / "checkpoints")  # killed in its first epoch
    shutil.rmtree(third)  # never begun
    said = ltsi("eval", "run=sweep", exit_code=1).output
    assert "sweep/1; finish them by the command of the sweep and resume=true" in " ".join(said.split())
    assert RunFolder(first).has_evaluation("test")
    ltsi(*sweep, "resume=true")
    assert (first / "checkpoints" / "best.ckpt").read_bytes() == before
    assert all("finished" in RunFolder(run).environment for run in (second, third))


def test_an_epoch_cut_short_is_no_epoch(ltsi: Ltsi, arguments: Arguments) -> None:
    assert "trainer.max_steps=1 ends before the first epoch" in refused(
        ltsi, arguments("lstm", "+trainer.max_steps=1"), 2
    )
    ltsi(*arguments("lstm", "+trainer.max_steps=6"))
    assert [row["epoch"] for row in RunFolder(Path("run")).epochs()] == ["1"], "the second is cut short"


def test_early_stopping_can_be_left_out(train: Train) -> None:
    assert len(train("lstm", "early_stopping=null", "trainer.max_epochs=3").epochs()) == 3


def test_a_training_that_early_stopping_ended_stays_ended(train: Train) -> None:
    settings = ["trainer.max_epochs=50", "optimizer.lr=0.05", "early_stopping.patience=1"]
    run = train("lstm", *settings)
    before = state(run, "last"), curve(run)
    assert 1 < len(before[1]) < 50
    train("lstm", *settings, "resume=true")
    assert_equal(state(run, "last"), before[0])
    assert curve(run) == before[1]
    assert "nothing is left to train" in (run.path / "train.log").read_text()


def test_a_killed_training_is_finished_by_resume(
    train: Train, start: Callable[..., subprocess.Popen[str]], arguments: Arguments
) -> None:
    process = start(*arguments("lstm", "trainer.max_epochs=100000", "early_stopping.patience=100000"))
    run, deadline = RunFolder(Path("run")), time.monotonic() + 60
    while len(run.epochs()) < 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "no epoch in a minute"
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (run.path / "valid.json").exists()
    done = len(run.epochs())
    train("lstm", f"trainer.max_epochs={done + 2}", "early_stopping.patience=100000", "resume=true")
    assert [int(row["epoch"]) for row in run.epochs()] == list(range(1, done + 3))
    whole = train("lstm", f"trainer.max_epochs={done + 2}", "early_stopping.patience=100000", "hydra.run.dir=whole")
    assert curve(run) == curve(whole)
    assert_equal(state(run, "last"), state(whole, "last"))
    assert not [name for name in files(run.path) if "partial" in name]


def refused(ltsi: Ltsi, command: list[str], exit_code: int) -> str:
    """Runs a command that must fail, and returns its one sentence."""
    result = ltsi(*command, exit_code=exit_code)
    sentences = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(sentences) == 1, result.stderr
    assert "Traceback" not in result.stderr
    assert "unexpected" not in result.stderr
    return sentences[0].removeprefix("Error: ")


@pytest.mark.parametrize(
    ("model", "override", "exit_code", "sentence"),
    [
        ("lstm", "trainer.max_epochs=0", 2, "trainer.max_epochs=0 trains nothing; it must be at least 1."),
        ("lstm", "trainer.max_epochs=-3", 2, "trainer=cpu cannot be built: .*You passed in -3"),
        ("lstm", "trainer.devices=0", 2, "trainer=cpu cannot be built: .*devices=0"),
        ("lstm", "trainer.precision=9", 2, "cpu cannot be built: Precision 9 is invalid"),
        ("lstm", "batch_size=0", 2, "batch_size=0 must be a whole number from 1."),
        ("popularity", "batch_size=0", 2, "batch_size=0 must be a whole number from 1."),
        ("lstm", "batch_size=abc", 2, "batch_size=abc must be a whole number from 1."),
        ("lstm", "max_length=0", 2, "max_length=0 must be a whole number from 1."),
        ("transformer", "max_length=-1", 2, "max_length=-1 must be a whole number from 1."),
        ("lstm", "seed=-1", 2, "seed=-1 must be a whole number from 0."),
        ("lstm", "seen=maybe", 2, "seen=maybe must be one of: auto, hide, keep."),
        ("transformer", "model.dim=9", 2, "transformer cannot be built: heads=2 must divide dim=9"),
        ("transformer", "model.dim=0", 2, "transformer cannot be built: "),
        ("lstm", "model.hidden=-1", 2, "lstm cannot be built: "),
        ("lstm", "model.dropout=1", 2, "lstm cannot be built: dropout=1 must be at least 0 and below 1"),
        ("lstm", "ablation=no_long", 2, "lstm has no setting 'without'; leave out what sets it"),
        ("lstm", "weight_average=1", 2, "weight_average=1 must be at least 0"),
        ("lstm", "loss.block=0", 2, "softmax cannot be built: block=0 must be at least 1"),
        ("lstm", "optimizer.lr=-1", 2, "The optimizer cannot be built: Invalid learning rate: -1"),
        ("lstm", "metrics=[ndgc@10]", 2, "There is no metric 'ndgc@10'; did you mean 'ndcg@10'"),
        ("popularity", "metrics=[hr]", 2, "Metric 'hr' needs a cut-off"),
        ("lstm", "model._target_=torch.nn.Identity", 2, "model._target_=torch.nn.Identity is not an ltsi model"),
        ("lstm", "split.min_events=1000", 1, "split=leave_one_out needs users with at least 1000 events"),
        ("lstm", "split=test", 2, "split=test is a part that `ltsi eval` reads"),
        ("lstm", "trainer=gpu", 2, "torch sees no GPU here; use trainer=cpu"),
        ("lstm", "trainer=ddp", 2, "torch sees no GPU here; use trainer=cpu"),
        (
            "lstm",
            "trainer=ddp_cpu trainer.devices=20",
            2,
            "trainer.devices=20 is more than the 15 histories in a batch",
        ),
        ("lstn", "seed=1", 2, "there is no model 'lstn': did you mean model=lstm?"),
        ("lstm", "data=nowhere", 1, r"There is no store 'nowhere'.*ltsi prepare source="),
        ("lstm", "+trainer.check_val_every_n_epoch=2", 2, "trainer.check_val_every_n_epoch leaves epochs without"),
        ("lstm", "+trainer.limit_val_batches=0", 2, "trainer.limit_val_batches=0 leaves epochs without validation"),
        ("lstm", "resume=true", 1, r"is not a run folder: it has no config.yaml and no environment.json"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence_and_leaves_nothing(
    ltsi: Ltsi, arguments: Arguments, model: str, override: str, exit_code: int, sentence: str
) -> None:
    if override in {"trainer=gpu", "trainer=ddp"} and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    found = refused(ltsi, arguments(model, *override.split()), exit_code)
    assert re.search(sentence, found), found
    assert not Path("run").exists()


def test_a_preset_reaches_every_network_and_the_optimiser(trained: Train) -> None:
    config = trained("hybrid", "experiment=long_histories", "trainer.max_epochs=1").config
    parts = config["model"]["components"]
    assert (parts["short"]["layers"], parts["short"]["dropout"], parts["long"]["embedding_dropout"]) == (2, 0.2, 0.2)
    assert (config["max_length"], config["optimizer"]["weight_decay"]) == (200, 0.05)


def test_a_trained_folder_is_not_trained_over(trained: Train, ltsi: Ltsi, arguments: Arguments) -> None:
    run = trained("popularity")
    before = {name: (run.path / name).read_bytes() for name in files(run.path) - {"train.log"}}
    sentence = refused(ltsi, arguments("transitions"), 1)
    assert "run holds a trained run already; go on with it by resume=true, or give another hydra.run.dir." in sentence
    assert {name: (run.path / name).read_bytes() for name in before} == before


@pytest.mark.parametrize(
    ("override", "exit_code", "sentence"),
    [
        ("seed=2", 2, "resume=true: 'seed' differs from "),
        ("model.dropout=0.1", 2, "resume=true: 'model' differs from "),
        ("batch_size=8", 2, "resume=true: 'batch_size' differs from "),
    ],
)
def test_resuming_goes_on_with_the_runs_own_settings(
    trained: Train, ltsi: Ltsi, arguments: Arguments, override: str, exit_code: int, sentence: str
) -> None:
    trained("lstm")
    assert sentence in refused(ltsi, arguments("lstm", "resume=true", override), exit_code)


def test_resuming_needs_the_same_store(trained: Train, ltsi: Ltsi, arguments: Arguments) -> None:
    run = trained("lstm")
    run.update_environment({"fingerprint": "another"})
    assert "the store has changed since run" in refused(ltsi, arguments("lstm", "resume=true"), 1)


def test_resuming_a_damaged_checkpoint_is_refused(trained: Train, ltsi: Ltsi, arguments: Arguments) -> None:
    run = trained("lstm")
    last = run.checkpoint("last")
    last.write_bytes(last.read_bytes()[:1000])
    best = run.checkpoint("best").read_bytes()
    assert "last.ckpt cannot be read as a checkpoint" in refused(ltsi, arguments("lstm", "resume=true"), 1)
    assert run.checkpoint("best").read_bytes() == best
    assert run.has_evaluation("valid")


def test_a_full_disk_keeps_the_checkpoint_before(
    ltsi: Ltsi, arguments: Arguments, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, saved = torch.save, list[Path]()

    def full(found: Any, path: Path, *args: Any, **options: Any) -> None:
        if len(saved) >= 2:
            Path(path).write_bytes(b"a piece")
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        save(found, path, *args, **options)
        saved.append(Path(path))

    monkeypatch.setattr(torch, "save", full)
    sentence = refused(ltsi, arguments("lstm", "trainer.max_epochs=5", "optimizer.lr=0.01"), 1)
    assert "No space left on device" in sentence
    assert "could not be written" in sentence
    run = RunFolder(Path("run"))
    assert torch.load(run.checkpoint("best"), weights_only=True)["epoch"] == 0
    assert not [name for name in files(run.path) if "partial" in name]


def test_a_sweep_trains_every_combination_and_compares(ltsi: Ltsi, arguments: Arguments, shop: Path) -> None:
    ltsi(
        "train", "-m", "model=lstm,transitions", "seed=1,2", f"data={shop}", "trainer.max_epochs=1",
        "hydra.sweep.dir=sweep", "test=true",
    )  # fmt: skip
    runs = [RunFolder(Path("sweep") / str(job)) for job in range(4)]
    found = [(run.config["model"]["name"], run.config["seed"]) for run in runs]
    assert found == list(product(["lstm", "transitions"], [1, 2]))
    table = json.loads(ltsi("compare", "sweep", "--format", "json").stdout)
    assert {"lstm", "transitions"} <= set(json.dumps(table).split('"'))


TRAINERS = sorted(path.stem for path in (Path(ltsi.conf.__file__).parent / "trainer").glob("*.yaml"))


@pytest.mark.parametrize("trainer", TRAINERS)
def test_every_trainer_composes(ltsi: Ltsi, trainer: str) -> None:
    settings = yaml.safe_load(ltsi("train", f"trainer={trainer}", "--cfg", "job").stdout)["trainer"]
    assert settings["name"] == trainer
    assert settings["use_distributed_sampler"] is False, "ltsi shares batches between devices itself"
    assert settings["logger"] is False


def test_what_the_split_counted_is_written_into_the_run(train: Train) -> None:
    run = train("popularity", "split=leave_n")
    report, table = run.environment["split_report"], run.per_user("valid")
    assert report["targets_valid"] == table.height == 2 * report["users_valid"]
    # Both targets of a user are asked for at once, from one history.
    per_user = table.group_by("user").agg(pl.n_unique("gap_seconds", "history_length"))
    assert per_user.drop("user").unique().rows() == [(1, 1)]


@pytest.mark.parametrize("model", ["lstm", "transformer", "hybrid"])
def test_half_precision_learns_much_the_same(train: Train, model: str) -> None:
    losses = []
    for precision in ("32-true", "bf16-mixed"):
        run = train(model, f"trainer.precision={precision}", f"hydra.run.dir={precision}")
        losses.append([float(row["loss"]) for row in run.epochs()])
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    assert losses[0] != losses[1]
