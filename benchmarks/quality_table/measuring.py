"""How a cell is measured: prepare, train, eval by the command line, as a user would, and read from the run folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ltsi.errors import UserError
from ltsi.runs.folder import RunFolder
from quality_table.cells import Cell, CellError, Facts, prepare, written
from quality_table.questions import LOGS, Data

SELECTED_BY = "ndcg@10"

Ltsi = Callable[[Sequence[str]], str]
"""Runs `ltsi` with arguments in the work folder and returns its standard output; raises CellError if it fails."""


class Installed:
    """The `ltsi` that is installed beside this interpreter, started in a work folder.

    Stores lie in the default place, `data` below the work folder: the commands mean the same in anybody's empty folder.

    Args:
        work: the work folder.
        logs: the folder of the real logs.
    """

    def __init__(self, work: Path, logs: Path) -> None:
        self.work, self.logs = work, logs
        self.program = Path(sys.executable).with_name("ltsi")

    def __call__(self, words: Sequence[str]) -> str:
        """Runs one command."""
        command = [str(self.program), *(word.replace(LOGS, str(self.logs)) for word in words)]
        environment = {name: value for name, value in os.environ.items() if name != "LTSI_DATA"}
        done = subprocess.run(command, cwd=self.work, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
            raise CellError(f"{written(words)} ended with {done.returncode}: {said[-1] if said else 'it said nothing'}")
        return done.stdout


class Stores:
    """Prepares the store of a log when the first cell needs it.

    Args:
        ltsi: runs commands.
    """

    def __init__(self, ltsi: Ltsi) -> None:
        self._ltsi = ltsi
        self._done: dict[str, CellError | None] = {}

    def require(self, data: Data) -> None:
        """Prepares a store once.

        Raises:
            CellError: it cannot be prepared.
        """
        if data.name not in self._done:
            try:
                self._ltsi(prepare(data))
                self._done[data.name] = None
            except CellError as error:
                self._done[data.name] = error
        failure = self._done[data.name]
        if failure is not None:
            raise failure


def measure(cell: Cell, configuration: str, ltsi: Ltsi, work: Path) -> Facts:
    """Trains and evaluates a cell, or does what a killed process left to do.

    Args:
        cell: the cell; its store is prepared.
        configuration: digest of its configuration.
        ltsi: runs commands.
        work: the work folder.

    Returns:
        What is kept of the cell.

    Raises:
        CellError: a command failed, or the run folder does not hold what it should.
    """
    start = time.perf_counter()
    run = RunFolder(work / cell.run)
    try:
        _train(cell, configuration, ltsi, run)
        if not run.has_evaluation("test"):
            ltsi(cell.evaluate)
        return _facts(cell, configuration, run, time.perf_counter() - start)
    except UserError as error:
        raise CellError(str(error)) from error


def _train(cell: Cell, configuration: str, ltsi: Ltsi, run: RunFolder) -> None:
    # Beside the run folder: what is in there belongs to ltsi.
    begun = run.path.with_name(f"{run.path.name}.configuration")
    same = begun.is_file() and begun.read_text() == configuration and (run.path / "environment.json").is_file()
    if same and ("finished" in run.environment or _resumed(cell, ltsi, run)):
        return
    if run.path.exists():
        shutil.rmtree(run.path)
    begun.parent.mkdir(parents=True, exist_ok=True)
    begun.write_text(configuration)
    ltsi(cell.train)


def _resumed(cell: Cell, ltsi: Ltsi, run: RunFolder) -> bool:
    """Goes on with a training that was stopped, and tells whether that was possible."""
    if not run.checkpoint_path("last").is_file():
        return False
    try:
        ltsi([*cell.train, "resume=true"])
    except CellError as error:
        # The code or the store may have changed since.
        print(f"  cannot go on with {cell.run}, training anew: {error}", flush=True)
        return False
    return True


def _facts(cell: Cell, configuration: str, run: RunFolder, seconds: float) -> Facts:
    environment, epochs = run.environment, run.epochs()
    parts = {part: run.evaluation(part) for part in ("valid", "test")}
    train_seconds = float(environment["train_seconds"])
    eval_seconds = {part: done.eval_seconds for part, done in parts.items()}
    facts: dict[str, Any] = {
        "data": cell.data.name,
        "model": cell.model,
        "variant": cell.variant,
        "seed": cell.seed,
        "configuration": configuration,
        "metrics": {part: done.metrics for part, done in parts.items()},
        "n_targets": {part: done.n_targets for part, done in parts.items()},
        "train_seconds": round(train_seconds, 3),
        "eval_seconds": eval_seconds,
        "seconds": round(max(seconds, train_seconds + sum(eval_seconds.values())), 3),
        "epochs": len(epochs),
        "best_epoch": _best_epoch(epochs),
        "n_parameters": environment["n_parameters"],
        "order_warning": environment["order_warning"],
        "fingerprint": environment["fingerprint"],
        "versions": environment["versions"],
        "git_commit": environment["git_commit"],
        "device": environment["device"],
        # Of those that this process may use: `taskset` measures a cell on one core.
        "cpu_count": len(os.sched_getaffinity(0)),
        "finished": environment["finished"],
        "commands": [written(words) for words in (prepare(cell.data), cell.train, cell.evaluate)],
    }
    return facts


def _best_epoch(epochs: list[dict[str, str]]) -> int | None:
    if not epochs:
        return None
    # The first of equals, as the checkpoint is only replaced by a better one.
    return int(max(epochs, key=lambda row: float(row[SELECTED_BY]))["epoch"])
