"""How a training that was stopped, killed or moved goes on."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from typer.testing import Result

from ltsi.runs.folder import RunFolder

Ltsi = Callable[..., Result]
Train = Callable[..., RunFolder]
Arguments = Callable[..., list[str]]
Refused = Callable[..., str]
Curve = Callable[[RunFolder], list[dict[str, str]]]
State = Callable[..., dict[str, Tensor]]


def assert_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [key for key in one if not torch.equal(one[key], other[key])] == []


LAZY = ("optimizer=lazy_adamw", "loss=sampled_softmax", "loss.negatives=2", "batch_size=2")


@pytest.mark.parametrize(("model", "how"), [("lstm", ()), ("transformer", ()), ("hybrid", ()), ("gru", LAZY)])
def test_a_resumed_run_equals_the_uninterrupted_one(
    curve: Curve, state: State, train: Train, model: str, how: tuple[str, ...]
) -> None:
    whole = train(model, *how, "trainer.max_epochs=4", "hydra.run.dir=whole")
    train(model, *how, "trainer.max_epochs=2", "test=true")
    resumed = train(model, *how, "trainer.max_epochs=4", "resume=true")
    assert curve(resumed) == curve(whole)
    assert_equal(state(resumed, "last"), state(whole, "last"))
    assert_equal(state(resumed), state(whole))
    assert resumed.evaluation("valid").metrics == whole.evaluation("valid").metrics
    assert not resumed.has_evaluation("test"), "what was measured with the former model is void"
    both_stretches = sum(float(row["epoch_seconds"]) for row in resumed.epochs())
    assert resumed.environment["train_seconds"] > both_stretches


def test_a_resumed_run_is_augmented_as_the_uninterrupted_one(curve: Curve, state: State, train: Train) -> None:
    steps = "augmentation=[shuffle_ties,crop,mask,reorder,item_drop]"
    whole = train("lstm", steps, "hydra.run.dir=whole")
    train("lstm", steps, "trainer.max_epochs=1")
    resumed = train("lstm", steps, "resume=true")
    assert curve(resumed) == curve(whole) != curve(train("lstm", "hydra.run.dir=plain"))
    assert_equal(state(resumed, "last"), state(whole, "last"))


def test_a_finished_run_may_be_resumed_to_no_effect(curve: Curve, state: State, train: Train) -> None:
    run = train("lstm", "test=true")
    before = state(run), curve(run), run.evaluation("test")
    train("lstm", "resume=true")
    assert_equal(state(run), before[0])
    assert curve(run) == before[1]
    assert run.evaluation("test") == before[2]


def test_a_finished_counted_model_may_be_resumed_too(state: State, trained: Train, train: Train) -> None:
    before = state(trained("popularity"))
    assert_equal(state(train("popularity", "resume=true")), before)


def test_a_run_that_was_moved_keeps_its_best_epoch(state: State, train: Train) -> None:
    rough = "optimizer.lr=1"
    whole = train("lstm", rough, "trainer.max_epochs=10", "hydra.run.dir=whole")
    values = [float(row["ndcg@10"]) for row in whole.epochs()]
    # The first epoch that is no better than one before it comes after the move.
    before = next(n for n in range(1, len(values)) if values[n] <= max(values[:n]))
    best = state(train("lstm", rough, f"trainer.max_epochs={before}"))
    shutil.move("run", "elsewhere")
    moved = train("lstm", rough, f"trainer.max_epochs={before + 1}", "hydra.run.dir=elsewhere", "resume=true")
    assert_equal(state(moved), best)
    assert [float(row["ndcg@10"]) for row in moved.epochs()] == values[: before + 1]


def test_a_stopped_sweep_is_finished_by_one_command(ltsi: Ltsi, arguments: Arguments) -> None:
    sweep = [*arguments("lstm", "hydra.sweep.dir=sweep"), "seed=1,2,3", "-m"]
    ltsi(*sweep)
    first, second, third = (Path("sweep") / str(job) for job in range(3))
    before = (first / "checkpoints" / "best.ckpt").read_bytes()
    shutil.rmtree(second / "checkpoints")  # killed in its first epoch
    shutil.rmtree(third)  # never begun
    said = ltsi("eval", "run=sweep", exit_code=1).output
    assert "sweep/1; finish them with the command of the sweep and resume=true" in " ".join(said.split())
    assert RunFolder(first).has_evaluation("test")
    ltsi(*sweep, "resume=true")
    assert (first / "checkpoints" / "best.ckpt").read_bytes() == before
    assert all("finished" in RunFolder(run).environment for run in (second, third))


def test_a_killed_training_is_finished_by_resume(
    curve: Curve, state: State, train: Train, start: Callable[..., subprocess.Popen[str]], arguments: Arguments
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
    assert (run.path / ".lock").exists(), "which nobody holds any more"
    done = len(run.epochs())
    train("lstm", f"trainer.max_epochs={done + 2}", "early_stopping.patience=100000", "resume=true")
    assert [int(row["epoch"]) for row in run.epochs()] == list(range(1, done + 3))
    whole = train("lstm", f"trainer.max_epochs={done + 2}", "early_stopping.patience=100000", "hydra.run.dir=whole")
    assert curve(run) == curve(whole)
    assert_equal(state(run, "last"), state(whole, "last"))
    assert not [*run.path.rglob("*partial*"), *run.path.rglob(".lock")]


@pytest.mark.parametrize("resume", ["resume=false", "resume=true"])
@pytest.mark.parametrize("kept", [["best.ckpt"], []])
def test_a_training_killed_before_its_first_epoch_was_kept_begins_anew(
    curve: Curve, state: State, train: Train, kept: list[str], resume: str
) -> None:
    """A killed process may have saved the best epoch and not yet the last, which are the same one."""
    whole = train("lstm", "hydra.run.dir=whole")
    run = train("lstm", "trainer.max_epochs=1", "optimizer.lr=0.1")
    for path in run.path.glob("checkpoints/*"):
        if path.name not in kept:
            path.unlink()
    run.write_environment({name: fact for name, fact in run.environment.items() if name != "finished"})
    train("lstm", resume)
    assert curve(run) == curve(whole)
    assert_equal(state(run), state(whole))
    said = (run.path / "train.log").read_text()
    assert "The training in run was stopped before its first epoch was complete; it begins anew." in said.replace(
        str(Path.cwd()) + "/", ""
    )
    assert "exists and is not empty" not in said


@pytest.mark.parametrize(
    ("override", "exit_code", "sentence"),
    [
        ("seed=2", 2, "resume=true: 'seed' differs from "),
        ("model.dropout=0.1", 2, "resume=true: 'model' differs from "),
        ("batch_size=8", 2, "resume=true: 'batch_size' differs from "),
    ],
)
def test_resuming_goes_on_with_the_runs_own_settings(
    refused: Refused, trained: Train, arguments: Arguments, override: str, exit_code: int, sentence: str
) -> None:
    trained("lstm")
    assert sentence in refused(*arguments("lstm", "resume=true", override), exit_code=exit_code)


def test_a_store_may_be_called_otherwise_when_its_run_is_resumed(
    state: State, trained: Train, train: Train, shop: Path
) -> None:
    before = state(trained("popularity"))
    assert_equal(state(train("popularity", f"data={shop.parent}/../prepared/shop", "resume=true")), before)


def test_resuming_needs_the_same_store(refused: Refused, trained: Train, arguments: Arguments) -> None:
    run = trained("lstm")
    run.update_environment({"fingerprint": "another"})
    assert "is another store, or the store has changed since run" in refused(*arguments("lstm", "resume=true"))


def test_resuming_a_damaged_checkpoint_is_refused(refused: Refused, trained: Train, arguments: Arguments) -> None:
    run = trained("lstm")
    last = run.checkpoint("last")
    last.write_bytes(last.read_bytes()[:1000])
    best = run.checkpoint("best").read_bytes()
    assert "last.ckpt cannot be read as a checkpoint" in refused(*arguments("lstm", "resume=true"))
    assert run.checkpoint("best").read_bytes() == best
    assert run.has_evaluation("valid")


def test_resuming_beside_damaged_figures_is_refused(refused: Refused, trained: Train, arguments: Arguments) -> None:
    run = trained("lstm")
    (run.path / "metrics.csv").write_text("epoch,loss\n1,2.5\n", encoding="utf-8")
    sentence = refused(*arguments("lstm", "resume=true"))
    assert "metrics.csv is damaged: it lacks the seconds of an epoch; put it back" in sentence


def test_resuming_a_checkpoint_of_another_model_is_refused(
    refused: Refused, trained: Train, arguments: Arguments
) -> None:
    """As one of an earlier version of ltsi, whose model had other parts."""
    run = trained("lstm")
    checkpoint = torch.load(run.checkpoint("last"), weights_only=True)
    checkpoint["state_dict"]["model.former"] = checkpoint["state_dict"].pop("model.items.embedding.weight")
    torch.save(checkpoint, run.checkpoint("last"))
    assert re.search(
        r"last.ckpt does not fit the model in the run's config.yaml: .*version of ltsi wrote them; train again",
        refused(*arguments("lstm", "resume=true")),
    )
    assert run.has_evaluation("valid")
