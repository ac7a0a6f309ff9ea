"""What a training leaves behind, and what it refuses."""

from __future__ import annotations

import errno
import json
import re
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
Refused = Callable[..., str]
Curve = Callable[[RunFolder], list[dict[str, str]]]
State = Callable[..., dict[str, Tensor]]


def files(folder: Path) -> set[str]:
    """Lists the files of a run, Hydra's own notes aside."""
    found = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    return {str(path) for path in found if path.parts[0] != ".hydra"}


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


def test_a_trained_run_is_the_folder_that_the_design_says(state: State, train: Train, shop: Path) -> None:
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
def test_the_same_command_gives_the_same_numbers(
    curve: Curve, state: State, train: Train, trained: Train, model: str
) -> None:
    one, other = trained(model), train(model, "hydra.run.dir=other")
    assert_equal(state(one), state(other))
    assert curve(one) == curve(other)
    assert one.per_user("valid").equals(other.per_user("valid"))


@pytest.mark.parametrize("model", ["gru", "hybrid"])
def test_rows_that_wait_are_trained_as_if_they_did_not(train: Train, ltsi: Ltsi, model: str) -> None:
    # In some batches more items are drawn than there are, in others fewer: gradients are sparse in these only.
    drawn = ["loss=sampled_softmax", "loss.negatives=2", "batch_size=2", "trainer.max_epochs=3", "weight_average=0"]
    plain = train(model, *drawn, "hydra.run.dir=plain")
    lazy = train(model, *drawn, "optimizer=lazy_adamw")
    ltsi("eval", "run=run")
    assert lazy.has_evaluation("test")
    for one, other in zip(plain.epochs(), lazy.epochs(), strict=True):
        assert float(other["loss"]) == pytest.approx(float(one["loss"]), rel=1e-5)
        assert float(other["ndcg@10"]) == pytest.approx(float(one["ndcg@10"]), abs=0.01)


def test_an_epoch_cut_short_is_no_epoch(refused: Refused, ltsi: Ltsi, arguments: Arguments) -> None:
    assert "trainer.max_steps=1 stops before the end of the first epoch" in refused(
        *arguments("lstm", "+trainer.max_steps=1"), exit_code=2
    )
    ltsi(*arguments("lstm", "+trainer.max_steps=6"))
    assert [row["epoch"] for row in RunFolder(Path("run")).epochs()] == ["1"], "the second is cut short"


def test_early_stopping_can_be_left_out(train: Train) -> None:
    assert len(train("lstm", "early_stopping=null", "trainer.max_epochs=3").epochs()) == 3


@pytest.mark.parametrize(
    ("stopping", "at_once"), [("early_stopping.patience=1", False), ("+early_stopping.stopping_threshold=0", True)]
)
def test_a_training_that_early_stopping_ended_stays_ended(
    curve: Curve, state: State, train: Train, stopping: str, at_once: bool
) -> None:
    settings = ["trainer.max_epochs=50", "optimizer.lr=0.05", stopping]
    run = train("lstm", *settings, "test=true")
    before = state(run, "last"), curve(run)
    assert len(before[1]) < 50
    assert (len(before[1]) == 1) is at_once
    train("lstm", *settings, "resume=true")
    assert_equal(state(run, "last"), before[0])
    assert curve(run) == before[1]
    assert run.has_evaluation("test"), "what was measured with the same model holds"
    assert "nothing is left to train" in (run.path / "train.log").read_text()


@pytest.mark.parametrize(
    ("model", "override", "exit_code", "sentence"),
    [
        ("lstm", "trainer.max_epochs=0", 2, "trainer.max_epochs=0 trains nothing; it must be at least 1."),
        ("lstm", "trainer.max_epochs=-3", 2, "trainer=cpu cannot be built: .*You passed in -3"),
        ("lstm", "trainer.devices=0", 2, "trainer=cpu cannot be built: .*devices=0"),
        ("lstm", "trainer.precision=9", 2, r"trainer\.precision=9 must be 64 or 32 or 16 or "),
        ("lstm", "batch_size=0", 2, "batch_size=0 must be a whole number from 1."),
        ("popularity", "batch_size=0", 2, "batch_size=0 must be a whole number from 1."),
        ("lstm", "batch_size=abc", 2, "batch_size=abc must be a whole number."),
        ("lstm", "max_length=0", 2, "max_length=0 must be a whole number from 1."),
        ("transformer", "max_length=-1", 2, "max_length=-1 must be a whole number from 1."),
        ("lstm", "seed=-1", 2, "seed=-1 must be a whole number from 0."),
        ("lstm", "seen=maybe", 2, "seen=maybe must be one of: auto, hide, keep."),
        ("transformer", "model.dim=9", 2, "transformer cannot be built: heads=2 must divide dim=9"),
        ("transformer", "model.dim=0", 2, "model.items cannot be built: "),
        ("lstm", "model.hidden=-1", 2, "lstm cannot be built: "),
        ("lstm", "model.dropout=1", 2, "lstm cannot be built: dropout=1 must be at least 0 and below 1"),
        ("lstm", "ablation=no_long", 2, "lstm has no setting 'without'; remove the override or"),
        ("lstm", "weight_average=1", 2, "weight_average=1 must be at least 0"),
        ("lstm", "loss.block=0", 2, "softmax cannot be built: block=0 must be at least 1"),
        ("lstm", "optimizer.lr=-1", 2, "The optimizer cannot be built: Invalid learning rate: -1"),
        ("lstm", "metrics=[ndgc@10]", 2, "There is no metric 'ndgc@10'; did you mean 'ndcg@10'"),
        ("popularity", "metrics=[hr]", 2, "Metric 'hr' needs a cut-off"),
        ("lstm", "model._target_=torch.nn.Identity", 2, "model._target_=torch.nn.Identity is not an ltsi model"),
        ("lstm", "split.min_events=1000", 1, "split=leave_one_out needs users with at least 1000 events"),
        ("lstm", "split=test", 2, "split=test names a part, which only `ltsi eval` takes"),
        ("lstm", "trainer=gpu", 2, "torch sees no GPU here; use trainer=cpu"),
        ("lstm", "trainer=ddp", 2, "torch sees no GPU here; use trainer=cpu"),
        (
            "lstm",
            "trainer=ddp_cpu trainer.devices=20",
            2,
            "trainer.devices=20 is more than the 15 histories in a batch",
        ),
        (
            "lstm",
            "trainer=ddp_cpu optimizer=lazy_adamw",
            2,
            "optimizer=lazy_adamw updates item vectors only when they are used, and each of trainer.devices=2",
        ),
        (
            "lstm",
            "optimizer=lazy_adamw",
            2,
            "and loss=softmax uses all of them at every step; choose optimizer=adamw",
        ),
        *[
            ("lstm", f"loss=sampled_softmax optimizer=lazy_adamw {override}", 2, f"{reason}; choose optimizer=adamw")
            for override, reason in (
                ("model/items=free", "those of model/items=free and content cannot wait"),
                ("model/items=content", "those of model/items=free and content cannot wait"),
                ("+trainer.gradient_clip_algorithm=value", "it clips gradients by their norm, not by value"),
            )
        ],
        ("lstn", "seed=1", 2, "there is no model 'lstn': did you mean model=lstm?"),
        ("lstm", "augmentation=[crop,maks]", 2, "there is no augmentation 'maks': did you mean augmentation=mask?"),
        ("lstm", "data=nowhere", 1, r"There is no store 'nowhere'.*ltsi prepare source="),
        ("lstm", "+trainer.check_val_every_n_epoch=2", 2, "trainer.check_val_every_n_epoch would leave epochs"),
        ("lstm", "+trainer.val_check_interval=0.5", 2, "trainer.val_check_interval=0.5 would save checkpoints in the"),
        ("lstm", "trainer.precision=bf16-true", 2, "small steps vanish; use trainer.precision=bf16-mixed"),
        (
            "lstm",
            "compile=inductor",
            2,
            r"torch cannot compile what runs step by step \(LstmEncoder\); leave compile",
        ),
        *[
            (model, f"+trainer.{setting}", 2, rf"trainer.{setting} would leave out targets of a part.*; remove it")
            for model, setting in (
                ("lstm", "limit_val_batches=0"),
                ("popularity", "limit_val_batches=0.5"),
                ("lstm", "limit_test_batches=1"),
                ("lstm", "fast_dev_run=True"),
                ("lstm", "overfit_batches=1"),
            )
        ],
        ("lstm", "+early_stopping.monitor=hr@10", 2, "early_stopping.monitor=hr@10 cannot be chosen.*ndcg@10; remove"),
        ("lstm", "+early_stopping.mode=min", 2, "early_stopping.mode=min cannot be chosen"),
        (
            "lstm",
            "early_stopping=5",
            2,
            r"early_stopping=5 must be settings, such as early_stopping.patience=5, or null",
        ),
        ("lstm", "metrics=[1]", 2, "A metric is a name, such as ndcg@10, and 1 is none"),
        ("lstm", "metrics=[null]", 2, "A metric is a name, such as ndcg@10, and null is none"),
        ("lstm", "metrics=[]", 2, r"metrics=\[\] measures nothing; name one"),
        (
            "lstm",
            "trainer.precision=64-true",
            2,
            "trainer.precision=64-true is not taken; use trainer.precision=32-true",
        ),
        (
            "lstm",
            "optimizer._target_=torch.optim.LBFGS",
            2,
            "optimizer._target_=torch.optim.LBFGS has no setting 'weight_decay'",
        ),
        ("lstm", "resume=true", 1, r"is not a run folder: it has no config.yaml and no environment.json"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence_and_leaves_nothing(
    refused: Refused, arguments: Arguments, model: str, override: str, exit_code: int, sentence: str
) -> None:
    if override in {"trainer=gpu", "trainer=ddp"} and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    found = refused(*arguments(model, *override.split()), exit_code=exit_code)
    assert re.search(sentence, found), found
    assert not Path("run").exists()


def test_a_preset_reaches_every_network_and_the_optimiser(trained: Train) -> None:
    config = trained("hybrid", "experiment=long_histories", "trainer.max_epochs=1").config
    parts = config["model"]["components"]
    assert (parts["short"]["layers"], parts["short"]["dropout"], parts["long"]["embedding_dropout"]) == (2, 0.2, 0.2)
    assert (config["max_length"], config["optimizer"]["weight_decay"]) == (200, 0.05)


def test_a_trained_folder_is_not_trained_over(refused: Refused, trained: Train, arguments: Arguments) -> None:
    run = trained("popularity")
    before = {name: (run.path / name).read_bytes() for name in files(run.path) - {"train.log"}}
    sentence = refused(*arguments("transitions"))
    assert (
        "run already contains a trained run; continue it with resume=true or choose another hydra.run.dir." in sentence
    )
    assert {name: (run.path / name).read_bytes() for name in before} == before


def test_a_full_disk_keeps_the_checkpoint_before(
    refused: Refused, arguments: Arguments, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, saved = torch.save, list[Path]()

    def full(found: Any, path: Path, *args: Any, **options: Any) -> None:
        if len(saved) >= 2:
            Path(path).write_bytes(b"a piece")
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        save(found, path, *args, **options)
        saved.append(Path(path))

    monkeypatch.setattr(torch, "save", full)
    sentence = refused(*arguments("lstm", "trainer.max_epochs=5", "optimizer.lr=0.01"))
    assert "No space left on device" in sentence
    assert "cannot be written" in sentence
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


def test_a_single_metric_needs_no_brackets(train: Train) -> None:
    assert set(train("popularity", "metrics=mrr").evaluation("valid").metrics) >= {"mrr"}
