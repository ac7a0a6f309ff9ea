"""What docs/models.md says of a model of one's own can be typed as it stands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from ltsi.runs.folder import RunFolder, find_runs

Ltsi = Callable[..., Result]
Refused = Callable[..., str]

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
SECTION = PAGE.read_text(encoding="utf-8").split("\n## A model of your own\n")[1].split("\n## ")[0]
PYTHON, YAML, COMMANDS = re.findall(r"```\w*\n(.*?)```", SECTION, re.DOTALL)


@pytest.fixture(autouse=True)
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes the two files of the page."""
    Path("own/model").mkdir(parents=True)
    Path("own/model/last_again.yaml").write_text(YAML)
    Path("mymodels.py").write_text(PYTHON)
    monkeypatch.syspath_prepend(str(Path.cwd()))


def test_it_is_trained_evaluated_and_compared(ltsi: Ltsi, refused: Refused, shop: Path) -> None:
    train, evaluate, compare = (shlex.split(command)[1:] for command in COMMANDS.strip().split("\n"))
    ltsi(*(f"data={shop}" if word == "data=shop" else word for word in train))
    first, second = find_runs(Path("runs/own"))
    assert [run.config["model"]["name"] for run in (first, second)] == ["popularity", "last_again"]
    assert second.config["model"]["bonus"] == 2.0

    found = refused(*evaluate[:2])
    assert "_target_=mymodels.LastAgain is not a class of ltsi" in found
    assert "trust=[mymodels]" in found
    ltsi(*evaluate)
    # It scores something else than what it is made of.
    assert not second.per_user("test")["rank"].equals(first.per_user("test")["rank"])
    assert "last_again" in ltsi(*compare).stdout

    user = str(second.per_user("test")["user"][0])
    assert "mymodels.LastAgain is not a class of ltsi" in refused("recommend", str(second.path), "--user", user)
    assert user in ltsi("recommend", str(second.path), "--user", user, "--trust", "mymodels").stdout


def test_it_can_be_a_part_of_a_hybrid(ltsi: Ltsi, shop: Path) -> None:
    ltsi(
        "train", "--config-dir", "own", f"data={shop}", "model=hybrid", "model@model.components.short=last_again",
        "model.without=[long,linear]", "hydra.run.dir=run",
    )  # fmt: skip
    assert "mymodels.LastAgain" in str(RunFolder(Path("run")).config["model"]["components"]["short"])
