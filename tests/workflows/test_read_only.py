"""Folders that cannot be written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from ltsi.runs.folder import RunFolder
from ltsi.store import open_store

Ltsi = Callable[..., Result]
Train = Callable[..., RunFolder]
Refused = Callable[..., str]
ReadOnly = Callable[[Path], None]


@pytest.fixture
def run(trained: Train, read_only: ReadOnly) -> RunFolder:
    """Return a trained run that cannot be written."""
    found = trained("exp_decay")
    read_only(found.path)
    return found


def test_what_eval_cannot_keep_is_shown_and_said(run: RunFolder, ltsi: Ltsi) -> None:
    shown = ltsi("eval", "run=run", "--format", "json", exit_code=1)
    (row,) = json.loads(shown.stdout)["tables"][0]["rows"]
    assert 0 < row["ndcg@10"] < 1
    (sentence,) = [line for line in shown.stderr.splitlines() if line.startswith("Error: ")]
    assert sentence.startswith(
        "Error: Shown, but not kept for `ltsi compare`: run/per_user/test.parquet cannot be writ"
    )
    assert sentence.endswith("; make its folder writable, or free some room.")
    assert not run.has_evaluation("test")


def test_recommending_needs_no_writing(run: RunFolder, ltsi: Ltsi, refused: Refused) -> None:
    user = open_store(run.environment["store_path"]).users["user"][0]
    assert "Answered in" in ltsi("recommend", "run", "--user", user).stdout
    assert "Wrote all.csv" in ltsi("recommend", "run", "--all", "--output", "all.csv").stdout
    sentence = refused("recommend", "run", "--all")
    assert sentence.startswith("run/recommendations.parquet cannot be written (")
    assert sentence.endswith("; give another place with --output FILE.")


def test_a_run_folder_that_cannot_be_written_is_refused(run: RunFolder, ltsi: Ltsi, shop: Path) -> None:
    command = ("train", f"data={shop}", "model=exp_decay", "hydra.run.dir=run/here")
    said = ltsi(*command, exit_code=1).stderr
    assert "cannot use run/here: " in said
    assert "unexpected" not in said


def test_audit_writes_nothing(
    ltsi: Ltsi, refused: Refused, shop: Path, read_only: ReadOnly, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = Path("empty").absolute()
    empty.mkdir()
    with monkeypatch.context() as patch:
        patch.chdir(empty)
        ltsi("audit", f"data={shop}", "split=leave_one_out")
        assert "There is no store 'nothing'" in refused("audit", "data=nothing")
        assert empty.is_dir(), "an empty working folder is nobody's to remove"
        Path(".hydra").mkdir()
        refused("audit", "data=nothing")
        assert list(Path().iterdir()) == [Path(".hydra")], "what was there before is the user's"
    read_only(empty)
    with monkeypatch.context() as patch:
        patch.chdir(empty)
        with pytest.raises(OSError, match=r"Read-only|Permission denied"):
            Path("probe").touch()
        assert "leakage" in ltsi("audit", f"data={shop}", "split=leave_one_out").stdout
