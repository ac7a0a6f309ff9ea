"""A command line that trains nothing: it writes run folders as `ltsi` leaves them, at once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from ltsi.runs.folder import Evaluation, RunFolder
from quality import Session
from quality_table.cells import CellError, Results
from quality_table.questions import Data, Published

EPOCHS = ({"epoch": 1, "ndcg@10": 0.1}, {"epoch": 2, "ndcg@10": 0.3}, {"epoch": 3, "ndcg@10": 0.3})


class FakeLtsi:
    """Answers commands in a work folder.

    Attributes:
        commands: what was asked so far, a line each.
        broken: words; a command that holds one fails.
        dies_in: `eval` or the name of a model in training: the process is killed while that runs, once.
        ndcg: what the models reach on the test part.
        ended: time at which the next training ends.
    """

    def __init__(self, work: Path) -> None:
        self.work = work
        self.commands: list[str] = []
        self.broken: set[str] = set()
        self.dies_in: str | None = None
        self.ndcg: dict[str, float] = {}
        self.ended = 0

    def __call__(self, words: Sequence[str]) -> str:
        self.commands.append(" ".join(words))
        if broken := self.broken & set(words):
            raise CellError(f"{broken.pop()} is broken")
        given = dict(word.split("=", 1) for word in words if "=" in word)
        if words[0] == "train":
            self._train(RunFolder(self.work / given["hydra.run.dir"]), given)
        elif words[0] == "eval":
            self._eval(RunFolder(self.work / given["run"]))
        return json.dumps(self._compare(words)) if words[0] == "compare" else ""

    def _dies(self, during: str) -> None:
        if self.dies_in == during:
            self.dies_in = None
            raise KeyboardInterrupt

    def _train(self, run: RunFolder, given: dict[str, str]) -> None:
        run.write_config({"model": {"name": given["model"]}})
        run.write_environment(
            {
                "git_commit": "c0ffee",
                "versions": {"python": "3.11", "ltsi": "0.1.0", "torch": "2.6"},
                "platform": "secret",
                "store_path": str(self.work / "data"),
                "device": "cpu",
                "fingerprint": "f00d",
                "order_warning": None,
            }
        )
        if given["model"] != "popularity":
            for row in EPOCHS:
                run.append_epoch({**row, "epoch_seconds": 10.0, "valid_seconds": 2.0})
            run.checkpoint_path("last").parent.mkdir(exist_ok=True)
            run.checkpoint_path("last").touch()
        self._dies(given["model"])
        seconds = 40.0
        self.ended += 1
        run.update_environment({"finished": f"{self.ended:03}", "train_seconds": seconds, "n_parameters": 1234})
        run.write_evaluation("valid", Evaluation(100, "leave_one_out", "hide", 1.0, {"hr@10": 0.5, "ndcg@10": 0.3}))

    def _eval(self, run: RunFolder) -> None:
        self._dies("eval")
        ndcg = self.ndcg.get(run.config["model"]["name"], 0.2)
        run.write_evaluation("test", Evaluation(90, "leave_one_out", "hide", 1.5, {"hr@10": 0.4, "ndcg@10": ndcg}))

    def _compare(self, words: Sequence[str]) -> dict[str, object]:
        models = dict.fromkeys(word.split("/")[-1].split("-")[0] for word in words if word.startswith("runs/"))
        rows = [
            {
                "model": model,
                "seeds": 1,
                "ndcg@10": self.ndcg.get(model, 0.2),
                "gain %": None if model == "hybrid" else -25.0,
                "gain % low": None,
                "gain % high": None,
                "p": None if model == "hybrid" else 0.0004,
                "train s": 1.0,
            }
            for model in models
        ]
        return {"tables": [{"rows": rows, "notes": ["paired"]}]}


@pytest.fixture
def log() -> Data:
    """Return a log with a floor, a published number and two targets."""
    return Data(
        name="beauty",
        title="Reviews",
        path="amazon-beauty",
        source=("source=amazon_beauty",),
        cut=("split=leave_one_out",),
        protocol="The last event is the test.",
        floor=0.0476,
        published=Published("BSARec", 0.1008, 0.0611, "a log file"),
        targets={"hybrid": 0.25, "lstm": 0.1},
    )


@pytest.fixture
def fake(tmp_path: Path) -> FakeLtsi:
    """Return a command line in a work folder of the test."""
    work = tmp_path / "work"
    work.mkdir()
    return FakeLtsi(work)


@pytest.fixture
def session(tmp_path: Path, fake: FakeLtsi) -> Session:
    """Return a session without a budget."""
    return Session(Results(tmp_path / "results"), fake, fake.work)
