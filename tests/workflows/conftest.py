"""A small shop and small models, run through the command line in this process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_module
from hydra._internal.hydra import Hydra
from torch import Tensor
from typer.testing import CliRunner, Result

from ltsi.cli.main import app
from ltsi.runs.folder import RunFolder
from ltsi.workflows import prepare

SIZES = {
    "lstm": ["model.dim=8", "model.hidden=8"],
    "transformer": ["model.dim=8"],
    "lstm_transformer": ["model.dim=8", "model.long.hidden=8"],
    "hybrid": ["model.components.short.dim=8", "model.components.long.dim=8", "model.components.long.hidden=8"],
}

Ltsi = Callable[..., Result]
Train = Callable[..., RunFolder]


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in a folder of the test: Hydra writes runs where it is started."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    return tmp_path


@pytest.fixture(autouse=True)
def composed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare Hydra the first of its two compositions: half the time of a command that does little.

    It composes everything once more to read `hydra.mode`, which no configuration of ltsi and no command here sets;
    tests/cli and the commands in processes of their own leave Hydra as it is.
    """
    monkeypatch.setattr(Hydra, "get_mode", lambda *_, **__: None)


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepare a small shop once; it is only read."""
    root = tmp_path_factory.mktemp("shop")
    with pytest.MonkeyPatch.context() as patch, initialize_config_module("ltsi.conf", version_base="1.3"):
        patch.setenv("LTSI_DATA", str(root))
        prepare.run(compose("prepare", ["source.users=60", "source.items=60", "source.events=1500"]))
    return root / "prepared" / "shop"


@pytest.fixture
def ltsi() -> Ltsi:
    """Run a command in this process; it must succeed unless `exit_code` says otherwise."""

    def invoke(*arguments: str, exit_code: int = 0) -> Result:
        result = CliRunner().invoke(app, list(arguments), prog_name="ltsi")
        assert result.exit_code == exit_code, f"{result.output}\n{result.exception!r}"
        return result

    return invoke


@pytest.fixture
def refused(ltsi: Ltsi) -> Callable[..., str]:
    """Run a command that must fail, and return its one sentence."""

    def run(*command: str, exit_code: int = 1) -> str:
        result = ltsi(*command, exit_code=exit_code)
        sentences = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
        assert len(sentences) == 1, result.stderr
        assert "Traceback" not in result.stderr
        assert "unexpected" not in result.stderr
        return sentences[0].removeprefix("Error: ")

    return run


@pytest.fixture
def curve() -> Callable[[RunFolder], list[dict[str, str]]]:
    """Read the rows of `metrics.csv` without what depends on the machine's mood."""

    def of(run: RunFolder) -> list[dict[str, str]]:
        return [
            {key: value for key, value in row.items() if not key.endswith(("seconds", "per_second"))}
            for row in run.epochs()
        ]

    return of


@pytest.fixture
def state() -> Callable[..., dict[str, Tensor]]:
    """Read the weights of a checkpoint."""

    def of(run: RunFolder, which: str = "best") -> dict[str, Tensor]:
        found: dict[str, Tensor] = torch.load(run.checkpoint(which), weights_only=True)["state_dict"]
        return found

    return of


@pytest.fixture
def arguments(shop: Path) -> Callable[..., list[str]]:
    """Say how to train a small model of a name in two epochs, into the folder `run` unless told otherwise."""

    def of(model: str, *overrides: str) -> list[str]:
        defaults = [f"data={shop}", "trainer.max_epochs=2", "batch_size=16", "hydra.run.dir=run"]
        given = {override.partition("=")[0] for override in overrides}
        kept = [default for default in defaults if default.partition("=")[0] not in given]
        return ["train", f"model={model}", *SIZES.get(model, []), *kept, *overrides]

    return of


@pytest.fixture
def train(ltsi: Ltsi, arguments: Callable[..., list[str]]) -> Train:
    """Train a small model in this process and return its folder."""

    def run(model: str, *overrides: str) -> RunFolder:
        command = arguments(model, *overrides)
        ltsi(*command)
        return RunFolder(Path(next(word for word in command if word.startswith("hydra.run.dir=")).partition("=")[2]))

    return run


@pytest.fixture(scope="session")
def trained_once() -> dict[tuple[str, ...], Path]:
    return {}


@pytest.fixture
def trained(train: Train, trained_once: dict[tuple[str, ...], Path], tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Put a run into the folder `run` as `train` leaves it, for tests of what comes after a training.

    The first test that asks for a run trains it, the others get a copy.
    """

    def run(model: str, *overrides: str) -> RunFolder:
        key = (model, *overrides)
        if key in trained_once:
            return RunFolder(shutil.copytree(trained_once[key], Path("run")))
        found = train(model, *overrides)
        trained_once[key] = shutil.copytree(found.path, tmp_path_factory.mktemp("trained") / "run")
        return found

    return run


@pytest.fixture
def read_only() -> Iterator[Callable[[Path], None]]:
    """Make a folder read-only until the test ends; root may write where the mode says no, so for root by a mount."""
    mounted: list[Path] = []

    def make(folder: Path) -> None:
        for path in (folder, *folder.rglob("*")):
            path.chmod(path.stat().st_mode & ~0o222)
        if not os.access(folder, os.W_OK):
            return
        for options in (["--bind", str(folder)], ["-o", "remount,ro,bind"]):
            done = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"nothing is read-only for root here, and nothing can be mounted: {done.stderr}")
            mounted.append(folder)

    yield make
    for folder in mounted[:1]:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def start() -> Callable[..., subprocess.Popen[str]]:
    """Start a command in a process of its own."""

    def begin(*arguments: str) -> subprocess.Popen[str]:
        code = "from ltsi.cli.main import run; run()"
        script = Path("ltsi_program.py")
        script.write_text(code)
        return subprocess.Popen(
            [sys.executable, str(script.absolute()), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return begin
