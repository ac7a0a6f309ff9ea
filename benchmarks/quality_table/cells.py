"""A cell of the table: one model on one log under one seed, its commands, its configuration and its JSON."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_module
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from quality_table.questions import HYBRID, LOGS, MODELS, PAPERS, Data

Facts = dict[str, Any]

# Keys of `ltsi train` that do not make the model: a cell has its own log and seed, and reads the test part later; a
# model that reads a decay, drops units or has layers of attention holds it too.
NOT_OF_THE_MODEL = frozenset(
    {
        "attention_layers",
        "compile",
        "data",
        "decay",
        "decay_digests",
        "dropout",
        "embedding_dropout",
        "n_items",
        "resume",
        "seed",
        "test",
    }
)

# What only says how to learn does not make a model that is only counted.
OF_LEARNING = frozenset(
    {"augmentation", "batch_size", "early_stopping", "features", "loss", "optimizer", "trainer", "weight_average"}
)


class CellError(Exception):
    """Why a cell could not be measured, in a sentence."""


@dataclass(frozen=True)
class Cell:
    """One model on one log under one seed.

    Attributes:
        data: the log.
        model: name of the model.
        seed: its seed.
        variant: name of what was changed in the model; None: nothing.
        overrides: what makes the variant, in Hydra's grammar.
    """

    data: Data
    model: str
    seed: int
    variant: str | None = None
    overrides: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The cell in words."""
        return " ".join([self.data.name, self.model, *([self.variant] if self.variant else []), f"seed {self.seed}"])

    @property
    def place(self) -> Path:
        """Where the cell is kept among the results, and its run among the runs, without an ending."""
        folder = Path("ablation") / self.data.name if self.variant else Path(self.data.name)
        return folder / f"{self.variant or self.model}-{self.seed}"

    @property
    def run(self) -> str:
        """The run folder, from the work folder."""
        return f"runs/{self.place.as_posix()}"

    @property
    def settings(self) -> list[str]:
        """Overrides of `ltsi train` that make the configuration."""
        learning = () if self.model in PAPERS else self.data.learning
        of_paper = self.data.of_papers.get(self.model, ())
        return [*self.data.cut, *learning, f"model={self.model}", *of_paper, *self.overrides]

    @property
    def train(self) -> list[str]:
        """Arguments of `ltsi` that train the cell in the work folder."""
        return ["train", f"data={self.data.name}", *self.settings, f"seed={self.seed}", f"hydra.run.dir={self.run}"]

    @property
    def evaluate(self) -> list[str]:
        """Arguments of `ltsi` that read the test part."""
        return ["eval", f"run={self.run}"]


def prepare(data: Data) -> list[str]:
    """Returns the arguments of `ltsi` that prepare the store of a log in the work folder."""
    return ["prepare", *data.source, f"source.path={LOGS}/{data.path}", f"name={data.name}"]


def written(words: Sequence[str]) -> str:
    """Returns a command of `ltsi` as one types it in a shell."""
    return " ".join(word if LOGS in word else shlex.quote(word) for word in ["ltsi", *words])


def digest(configuration: Mapping[str, Any], source: Iterable[str], learns: bool) -> str:
    """Tells configurations apart.

    Args:
        configuration: of `ltsi train`, composed and resolved; log and seed do not count.
        source: overrides that the store is prepared with.
        learns: whether the model learns; if it only counts, how to learn does not count.

    Returns:
        Sixteen hexadecimal digits.
    """
    left_out = NOT_OF_THE_MODEL if learns else NOT_OF_THE_MODEL | OF_LEARNING
    model = {key: value for key, value in configuration.items() if key not in left_out}
    told = json.dumps({"train": model, "prepare": list(source)}, sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def compose_digests(cells: Iterable[Cell]) -> dict[Cell, str | CellError]:
    """Composes what `ltsi train` would, here and not in a process each: a configuration takes a tenth of a second.

    Returns:
        The digest of each cell, or why the installed ltsi cannot train it.
    """
    digests: dict[Cell, str | CellError] = {}
    for cell in cells:
        try:
            digests[cell] = digest(_composed(tuple(cell.settings)), cell.data.source, MODELS[cell.model])
        except CellError as error:
            digests[cell] = CellError(f"ltsi does not compose {written(cell.train)}: {error}")
    return digests


@cache
def _composed(settings: tuple[str, ...]) -> Any:
    try:
        with initialize_config_module("ltsi.conf", version_base="1.3"):
            return OmegaConf.to_container(compose("train", list(settings)), resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        first = str(error).split("\n\n")[0]
        raise CellError(" ".join(first.split())) from error


class Results:
    """The folder of finished cells, one small JSON each.

    Args:
        folder: the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, place: Path) -> Facts | None:
        """Returns what is kept at a place such as `beauty/hybrid-1`, None if nothing is."""
        path = self._path(place)
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    def write(self, place: Path, facts: Facts) -> None:
        """Keeps facts at a place, all of them or none."""
        path = self._path(place)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text(json.dumps(facts, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
        partial.replace(path)

    def of(self, data: str, model: str = HYBRID, variant: str | None = None) -> list[Facts]:
        """Returns the finished cells of a model or a variant on a log, by seed, all of one configuration.

        Where the configuration changed between seeds, those of the last one measured count.
        """
        every = self.every(data, model, variant)
        if not every:
            return []
        latest = max(every, key=lambda facts: str(facts["finished"]))["configuration"]
        return [facts for facts in every if facts["configuration"] == latest]

    def every(self, data: str, model: str = HYBRID, variant: str | None = None) -> list[Facts]:
        """Returns the finished cells of a model or a variant on a log, by seed, whatever their configuration."""
        folder = self.folder / "ablation" / data if variant else self.folder / data
        found = [
            self.read(path.relative_to(self.folder).with_suffix(""))
            for path in folder.glob(f"{variant or model}-*.json")
        ]
        return sorted((facts for facts in found if facts is not None), key=lambda facts: int(facts["seed"]))

    def _path(self, place: Path) -> Path:
        return self.folder / place.parent / f"{place.name}.json"
