"""Two commands that want one run folder at the same time."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from typer.testing import Result

from ltsi.errors import BusyError
from ltsi.runs.folder import RunFolder
from ltsi.runs.hold import held

Ltsi = Callable[..., Result]
Train = Callable[..., RunFolder]
Arguments = Callable[..., list[str]]
Refused = Callable[..., str]

FOREVER = ("trainer.max_epochs=100000", "early_stopping=null")
BUSY = r"Another process trains or evaluates the run in \S*run; wait until it has ended"


@pytest.fixture
def living(start: Callable[..., subprocess.Popen[str]], arguments: Arguments) -> Iterator[RunFolder]:
    """Return the folder of a training that goes on until the test ends."""
    process = start(*arguments("lstm", *FOREVER))
    run = RunFolder(Path("run"))
    wait(lambda: bool(run.epochs()) or process.poll() is not None)
    assert process.poll() is None, process.communicate()
    yield run
    process.kill()
    process.communicate()


def wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not until():
        assert time.monotonic() < deadline, "nothing came in two minutes"
        time.sleep(0.05)


def test_a_second_training_into_a_living_run_is_refused(
    living: RunFolder, refused: Refused, arguments: Arguments
) -> None:
    for more in ("resume=false", "resume=true"):
        said = refused(*arguments("lstm", "seed=2", *FOREVER, more))
        assert re.search(f"{BUSY}, or give another hydra.run.dir", said)
    assert living.config["seed"] == living.environment["seed"] == 1
    so_far = len(living.epochs())
    wait(lambda: len(living.epochs()) > so_far)
    assert [int(row["epoch"]) for row in living.epochs()] == list(range(1, len(living.epochs()) + 1))


def test_a_refused_training_takes_nothing_away_from_one_that_has_just_begun(
    refused: Refused, arguments: Arguments, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both find the folder empty, and the other one holds it first."""

    def held_by_another(folder: RunFolder, _: str) -> NoReturn:
        (folder.path / "train.log").touch()
        raise BusyError("busy")

    monkeypatch.setattr("ltsi.workflows.train.held", held_by_another)
    assert refused(*arguments("lstm")) == "busy"
    assert {path.name for path in Path("run").iterdir()} == {".hydra", "train.log"}


def test_a_living_run_is_not_evaluated(living: RunFolder, refused: Refused) -> None:
    assert re.search(f"^{BUSY}", refused("eval", "run=run"))
    assert not living.has_evaluation("test")


def test_the_living_run_of_a_sweep_is_left_out(trained: Train, ltsi: Ltsi) -> None:
    trained("popularity")
    for name in ("sweep/0", "sweep/1"):
        shutil.copytree("run", name)
    with held(RunFolder(Path("sweep/1"))):
        shown = ltsi("eval", "run=sweep", exit_code=1)
        ddp = ltsi("eval", "run=sweep", "trainer=ddp_cpu", exit_code=1)
    for result in (shown, ddp):
        sentence = "Not evaluated, because another process trains or evaluates them: sweep/1; wait until it has ended."
        assert sentence in " ".join(result.stderr.split())
    assert "sweep/0" in shown.stdout
    assert ddp.stdout == "", "all processes of a command evaluate the same runs"
    assert [RunFolder(Path(f"sweep/{job}")).has_evaluation("test") for job in range(2)] == [True, False]
    ltsi("eval", "run=sweep")
    assert RunFolder(Path("sweep/1")).has_evaluation("test")
    assert not list(Path("sweep").rglob(".lock"))
