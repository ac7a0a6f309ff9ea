"""A command line whose `train` composes a toy configuration and runs whatever the test wants."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ltsi.cli.main import app

Run = Callable[..., Result]
Train = Callable[[Callable[[Any], Any]], None]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in a folder of the test: Hydra writes runs where it is started."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.fixture
def run() -> Run:
    """Run `ltsi` with arguments in this process."""

    def invoke(*arguments: str, **environment: str) -> Result:
        return CliRunner().invoke(app, list(arguments), prog_name="ltsi", env=environment)

    return invoke


@pytest.fixture
def conf(folder: Path) -> Path:
    """Write a toy configuration and return its folder, for `--config-dir`."""
    files = {
        "toy": "defaults: [_self_, {hydra: default}, {part: alpha}, {engine: cpu}]\ndata: ???\nseed: 1\n",
        "small": "defaults: [_self_, {hydra: default}]\nseed: 2\n",
        "part/alpha": "dim: 8\n",
        "part/beta": "dim: 4\nlayers: 2\n",
        "engine/cpu": "max_epochs: 3\ndevices: 1\n",
    }
    root = folder / "conf"
    for name, text in files.items():
        path = root / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch) -> Train:
    """Put a function in the place of the workflow `train`."""

    def install(function: Callable[[Any], Any]) -> None:
        module = ModuleType("ltsi.workflows.train")
        module.__dict__["run"] = function
        monkeypatch.setitem(sys.modules, "ltsi.workflows.train", module)

    return install
