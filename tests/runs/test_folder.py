"""A run folder keeps what is written, refuses what is not a run, and survives being killed."""

import json
import math
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ltsi.errors import RunError, UnwritableError
from ltsi.runs.folder import Evaluation, RunFolder, find_runs

TABLE = pl.DataFrame(
    {"user": ["u1", "u2"], "target": [7, 8], "rank": [1, 30], "history_length": [4, 5], "gap_seconds": [None, 60]}
)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    folder.write_config({"model": {"name": "lstm"}, "seed": 1})
    folder.write_environment({"seed": 1, "store": "shop"})
    return folder


def leftovers(folder: RunFolder) -> list[str]:
    return [path.name for path in folder.path.rglob("*.partial")]


# Control characters are left out: PyYAML itself folds U+0085 into a space.
words = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]))
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | words
trees = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(words, inner), max_leaves=10)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(words, trees, min_size=1))
def test_configuration_is_read_back(run: RunFolder, config: dict[str, Any]) -> None:
    run.write_config(config)
    assert run.config == config


def test_environment_is_added_to(run: RunFolder) -> None:
    run.update_environment({"train_seconds": 1.5, "seed": 2})
    assert run.environment == {"seed": 2, "store": "shop", "train_seconds": 1.5}


def test_evaluation_is_read_back_and_its_metrics_stand_at_the_top(run: RunFolder) -> None:
    evaluation = Evaluation(10, "leave_one_out", "hide", 0.25, {"ndcg@10": 0.5, "auc": math.nan})
    run.write_evaluation("test", evaluation)
    assert run.has_evaluation("test")
    assert not run.has_evaluation("valid")
    raw = json.loads((run.path / "test.json").read_text())
    assert (raw["ndcg@10"], raw["auc"], raw["n_targets"], raw["seen"]) == (0.5, None, 10, "hide")
    found = run.evaluation("test")
    assert math.isnan(found.metrics.pop("auc"))
    assert (found.n_targets, found.split, found.seen, found.eval_seconds) == (10, "leave_one_out", "hide", 0.25)
    assert found.metrics == {"ndcg@10": 0.5}


def test_per_user_table_is_read_back_with_its_extra_columns(run: RunFolder) -> None:
    table = TABLE.with_columns(gate_long=pl.Series([0.1, 0.9]))
    run.write_per_user("test", table)
    assert run.per_user("test").equals(table)
    assert run.per_user("test", ["rank"]).columns == ["rank"]


def test_per_user_table_without_ranks_is_refused(run: RunFolder) -> None:
    with pytest.raises(ValueError, match="lacks \\['rank'\\]"):
        run.write_per_user("test", TABLE.drop("rank"))
    assert not (run.path / "per_user").exists()


def test_epochs_may_gain_columns(run: RunFolder) -> None:
    assert run.epochs() == []
    run.append_epoch({"epoch": 0, "loss": 2.5})
    run.append_epoch({"epoch": 1, "loss": 2.0, "ndcg@10": 0.25})
    assert (run.path / "metrics.csv").read_text() == "epoch,loss,ndcg@10\n0,2.5,\n1,2.0,0.25\n"
    assert run.epochs() == [
        {"epoch": "0", "loss": "2.5", "ndcg@10": ""},
        {"epoch": "1", "loss": "2.0", "ndcg@10": "0.25"},
    ]


def test_an_epoch_done_again_after_a_kill_replaces_its_row(run: RunFolder) -> None:
    for epoch, loss in [(0, 3.0), (1, 2.0), (2, 1.0), (1, 2.0), (2, 1.5)]:
        run.append_epoch({"epoch": epoch, "loss": loss})
    assert [(row["epoch"], row["loss"]) for row in run.epochs()] == [("0", "3.0"), ("1", "2.0"), ("2", "1.5")]


WRITERS: dict[str, Callable[[RunFolder], None]] = {
    "config.yaml": lambda run: run.write_config({"model": {"name": "new"}}),
    "environment.json": lambda run: run.write_environment({"seed": 9}),
    "metrics.csv": lambda run: run.append_epoch({"epoch": 1, "loss": 0.0}),
    "test.json": lambda run: run.write_evaluation("test", Evaluation(1, "s", "keep", 0.0, {"mrr": 1.0})),
    "per_user/test.parquet": lambda run: run.write_per_user("test", TABLE.head(1)),
}


@pytest.mark.parametrize("name", WRITERS)
def test_failed_write_leaves_the_old_file(run: RunFolder, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run.append_epoch({"epoch": 0, "loss": 1.0})
    run.write_evaluation("test", Evaluation(2, "s", "hide", 1.0, {"mrr": 0.5}))
    run.write_per_user("test", TABLE)
    before = (run.path / name).read_bytes()

    def full_disk(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device", str(target))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full_disk)
        with pytest.raises(UnwritableError, match=r"cannot be written \(No space left on device\); make its folder"):
            WRITERS[name](run)
    assert (run.path / name).read_bytes() == before
    assert leftovers(run) == []
    WRITERS[name](run)
    assert (run.path / name).read_bytes() != before


def test_killed_append_leaves_whole_rows(run: RunFolder) -> None:
    code = f"""
import os, signal, csv
from pathlib import Path
from ltsi.runs.folder import RunFolder
run = RunFolder(Path({str(run.path)!r}))
for epoch in range(3):
    run.append_epoch({{"epoch": epoch, "loss": 1.0}})
rows = csv.DictWriter.writerows
def killed(self, all_rows):
    rows(self, list(all_rows)[:2])
    os.kill(os.getpid(), signal.SIGKILL)
csv.DictWriter.writerows = killed
run.append_epoch({{"epoch": 3, "loss": 1.0}})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert [row["epoch"] for row in run.epochs()] == ["0", "1", "2"]
    run.append_epoch({"epoch": 3, "loss": 1.0})
    assert [row["epoch"] for row in run.epochs()] == ["0", "1", "2", "3"]
    assert leftovers(run) == []


def test_missing_folder_and_folder_that_is_no_run_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"There is no folder .*nowhere; give the folder of a run"):
        RunFolder(tmp_path / "nowhere").require()
    with pytest.raises(RunError, match=r"is not a run folder: it has no config.yaml and no environment.json"):
        RunFolder(tmp_path).require()
    (tmp_path / "config.yaml").write_text("model: {}\n")
    with pytest.raises(RunError, match=r"is not a run folder: it has no environment.json"):
        RunFolder(tmp_path).require()


@pytest.mark.parametrize(
    "read",
    [
        lambda run: run.config,
        lambda run: run.environment,
        lambda run: run.evaluation("test"),
        lambda run: run.per_user("test"),
        lambda run: run.checkpoint(),
    ],
)
def test_reading_from_what_is_no_run_says_so(tmp_path: Path, read: Callable[[RunFolder], object]) -> None:
    with pytest.raises(RunError, match="is not a run folder"):
        read(RunFolder(tmp_path))


def test_what_was_not_evaluated_says_how_to(run: RunFolder) -> None:
    with pytest.raises(RunError, match=r"has no test.json; run `ltsi eval run=\S+run` first"):
        run.evaluation("test")
    with pytest.raises(RunError, match=r"has no per_user/valid.parquet; run `ltsi eval run=\S+run split=valid` first"):
        run.per_user("valid")


def test_missing_checkpoint_is_told(run: RunFolder) -> None:
    with pytest.raises(RunError, match=r"no checkpoints/best.ckpt: its training did not finish"):
        run.checkpoint()
    path = run.checkpoint_path("last")
    path.parent.mkdir()
    path.touch()
    assert run.checkpoint("last") == run.path / "checkpoints" / "last.ckpt"


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", '{"n_targets": 1', "\udcff"])
def test_damaged_json_is_refused(run: RunFolder, text: str) -> None:
    for name in ("environment.json", "test.json"):
        (run.path / name).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(RunError, match=r"environment\.json .*; the run is damaged, train or evaluate it again"):
        _ = run.environment
    with pytest.raises(RunError, match=r"test\.json .*; the run is damaged, train or evaluate it again"):
        run.evaluation("test")


def test_evaluation_without_its_protocol_is_refused(run: RunFolder) -> None:
    (run.path / "test.json").write_text('{"ndcg@10": 0.5, "n_targets": 3, "split": "x", "eval_seconds": 1}')
    with pytest.raises(RunError, match=r"test.json has no 'seen'; run `ltsi eval"):
        run.evaluation("test")


@pytest.mark.parametrize("text", ["", "- 1\n", "a: [", "\udcff"])
def test_damaged_configuration_is_refused(run: RunFolder, text: str) -> None:
    (run.path / "config.yaml").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(RunError, match=r"config.yaml .*the run is damaged, train"):
        _ = run.config


def test_configuration_that_would_run_code_is_refused(run: RunFolder) -> None:
    (run.path / "config.yaml").write_text("model: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(RunError, match="cannot be read"):
        _ = run.config


@pytest.mark.parametrize("content", [b"", b"PAR1 but no more", None])
def test_damaged_per_user_table_is_refused(run: RunFolder, content: bytes | None) -> None:
    run.write_per_user("test", TABLE)
    path = run.path / "per_user" / "test.parquet"
    if content is None:
        content = path.read_bytes()[:-20]
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"test\.parquet cannot be read .*run `ltsi eval run="):
        run.per_user("test")


def test_runs_are_found_in_numeric_order_and_nothing_else(tmp_path: Path) -> None:
    for name in ("sweep/10", "sweep/2", "sweep/0", "other/deep/run"):
        run = RunFolder(tmp_path / name)
        run.write_config({"seed": 1})
        run.write_environment({"seed": 1})
    (tmp_path / "sweep" / "3").mkdir()
    (tmp_path / "sweep" / "3" / "config.yaml").touch()
    (tmp_path / "sweep" / "multirun.yaml").touch()
    found = [str(run.path.relative_to(tmp_path)) for run in find_runs(tmp_path)]
    assert found == ["other/deep/run", "sweep/0", "sweep/2", "sweep/10"]
    assert [run.path for run in find_runs(tmp_path / "sweep" / "2")] == [tmp_path / "sweep" / "2"]


def test_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"There is no run in .*: no folder there has both"):
        find_runs(tmp_path)
    with pytest.raises(RunError, match=r"There is no folder .*nowhere"):
        find_runs(tmp_path / "nowhere")


EXAMPLES = pl.DataFrame(
    {"user": ["a"], "item": ["x"], "label": [1], "probability": [0.5], "history_length": [3], "gap_seconds": [60]}
)


def test_examples_are_kept_like_targets(run: RunFolder) -> None:
    run.write_per_user("test", EXAMPLES)
    assert run.per_user("test").equals(EXAMPLES)
    with pytest.raises(ValueError, match=r"lacks.*label"):
        run.write_per_user("valid", EXAMPLES.drop("label"))


def test_an_evaluation_of_before_there_was_a_choice_is_of_next_items(run: RunFolder) -> None:
    run.write_evaluation("test", Evaluation(3, "leave_one_out", "hide", 0.5, {"auc": 0.5}, "click"))
    assert run.evaluation("test").objective == "click"
    path = run.path / "test.json"
    path.write_text(
        json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key != "objective"})
    )
    assert run.evaluation("test").objective == "next_item"
    assert run.evaluation("test").metrics == {"auc": 0.5}
