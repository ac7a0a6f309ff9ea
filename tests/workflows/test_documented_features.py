"""What docs/models.md says of features can be typed as it stands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import Result

from ltsi.features.cross import Cross
from ltsi.features.declarations import EVENT_KINDS, KINDS

Ltsi = Callable[..., Result]

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
SECTION = PAGE.read_text(encoding="utf-8").split("\n## Features\n")[1].split("\n## ")[0]
COMMANDS = [
    shlex.split(command)[1:]
    for block in re.findall(r"```\n(.*?)```", SECTION, re.DOTALL)
    for command in block.replace("\\\n", " ").strip().split("\n")
]
ROWS = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:4]] for line in SECTION.split("\n") if "| `" in line]
SMALL = ["model.dim=8", "model.hidden=8", "trainer.max_epochs=1", "batch_size=16"]


def build(kind: str, entry: object) -> object:
    if kind == "cross":
        given: dict[str, Any] = dict(entry) if isinstance(entry, Mapping) else {"of": entry}
        return Cross(**given | {"of": tuple(given["of"])})
    options = dict(entry) if isinstance(entry, Mapping) else {"kind": entry}
    assert options.pop("kind") == kind
    options.pop("column", None)
    return EVENT_KINDS[kind](**options) if kind in EVENT_KINDS else KINDS[kind][0](**options)


def test_every_form_in_the_table_is_one() -> None:
    said = []
    for kinds, forms, _ in ROWS:
        names = re.findall(r"`(\w+)`", kinds) or ["cross"]
        said += names
        entries = [yaml.safe_load(form.replace("\\|", "|")) for form in re.findall(r"`([^`]+)`", forms)]
        for place, entry in enumerate(entries):
            name = names[place] if len(names) > 1 else names[0]
            one = entry if name == "cross" else next(iter(entry.values()))
            assert build(name, one) is not None
    assert sorted(said) == sorted([*KINDS, *EVENT_KINDS, "cross"])


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_works(ltsi: Ltsi, shop: Path, command: list[str]) -> None:
    assert "data=shop" in command
    given = [f"data={shop}" if word == "data=shop" else word for word in command]
    shown = ltsi(*given, *(SMALL if command[0] == "train" else []))
    assert shown.stdout
    assert len(COMMANDS) == 4


def test_a_set_of_ones_own_is_a_file(ltsi: Ltsi, shop: Path) -> None:
    Path("own/features").mkdir(parents=True)
    Path("own/features/mine.yaml").write_text("item: {price: numeric}\nuser: null\nevent: null\ncross: []\n")
    command = ("audit", f"data={shop}", "split=leave_one_out", "features=mine", "--config-dir", "own")
    assert "item.price" in ltsi(*command).stdout
