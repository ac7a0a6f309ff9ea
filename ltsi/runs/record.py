"""A run as a line of the ledger: what it was asked, and whether another one was asked the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ltsi.errors import RunError
from ltsi.runs.folder import INTENSITY, Evaluation, RunFolder

# What does not make another model. Where the data is from and how it is cut stands over the table; `model` is looked at
# key by key.
NOT_OF_THE_MODEL = frozenset({"data", "metrics", "model", "resume", "seed", "seen", "split", "test"})


@dataclass(frozen=True)
class Record:
    """One evaluated run.

    Attributes:
        folder: the run.
        config: its resolved configuration.
        environment: what surrounded it.
        evaluation: its metrics on the part compared.
    """

    folder: RunFolder
    config: Mapping[str, Any]
    environment: Mapping[str, Any]
    evaluation: Evaluation

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self.folder.path

    @property
    def model(self) -> str:
        """Name of the model."""
        return str(self.config["model"]["name"])

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return int(self.environment["seed"])

    @property
    def fold(self) -> int | None:
        """Fold of a split that has folds."""
        fold = self.config.get("split", {}).get("fold")
        return None if fold is None else int(fold)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The configuration that makes the model what it is, flat (`model.dim`), without seeds and data."""
        kept = {key: value for key, value in self.config.items() if key == "model" or key not in NOT_OF_THE_MODEL}
        flat = {key: value for key, value in _flat(kept) if key.rpartition(".")[2] != "seed"}
        steps = self.config.get("augmentation")
        # Of all that has names, these alone say something by their order: they run in it.
        return flat | ({"augmentation": list(steps)} if isinstance(steps, Mapping) and len(steps) > 1 else {})

    @cached_property
    def settings_on_any_fold(self) -> dict[str, Any]:
        """The settings without which fitted decay was given: each fold has one of its own, fitted on its training."""
        given = self.config.get("decay_digests") or {}
        kept = {key: value for key, value in self.settings.items() if not key.startswith("decay_digests.")}
        return {
            key: "given" if key.rpartition(".")[2] == "decay" and str(value) in given else value
            for key, value in kept.items()
        }


def read_record(run: RunFolder, part: str) -> Record:
    """Reads a run that was evaluated on a part.

    Raises:
        RunError: its files cannot be read, or tell too little.
    """
    record = Record(run, run.config, run.environment, run.evaluation(part))
    model = record.config.get("model")
    if not isinstance(model, dict) or "name" not in model:
        raise RunError(f"{run.path / 'config.yaml'} has no model.name; the run is damaged, train again.")
    missing = [key for key in ("store", "fingerprint", "seed") if key not in record.environment]
    if missing:
        raise RunError(f"{run.path / 'environment.json'} has no '{missing[0]}'; the run is damaged, train again.")
    return record


def require_comparable(first: Record, other: Record) -> None:
    """Refuses two runs that did not answer the same questions.

    Raises:
        RunError: they differ in objective, split, seen items, number of targets or the store's contents.
    """
    pair = f"Runs {first.path} and {other.path}"
    if first.environment["fingerprint"] != other.environment["fingerprint"]:
        raise RunError(
            f"{pair} cannot be compared in one table: store '{first.environment['store']}' had other contents when the "
            "second was trained; train again, or compare them separately."
        )
    shared: list[tuple[str, object, object]] = [
        ("objective", _objective(first), _objective(other)),
        ("split", _split(first), _split(other)),
        ("seen", first.evaluation.seen, other.evaluation.seen),
    ]
    if first.fold == other.fold:
        shared.append(("the number of targets", first.evaluation.n_targets, other.evaluation.n_targets))
    for name, ours, theirs in shared:
        if ours != theirs:
            raise RunError(
                f"{pair} cannot be compared in one table: {name} is {ours} in the first and {theirs} in the second; "
                "compare them separately."
            )


def told_labels(record: Record) -> str:
    """Says how the examples of a run are labelled: the settings as the command line takes them."""
    told = sorted(_flat(record.config.get("objective", {}).get("labels", {})))
    return "labels " + ", ".join(f"{key}={value}" for key, value in told if key != "_target_")


def _objective(record: Record) -> str:
    settings = record.config.get("objective", {})
    told = settings if record.evaluation.objective == INTENSITY else settings.get("labels", {})
    kept = {key: value for key, value in told.items() if key not in {"_target_", "name"} or told is not settings}
    return _described(record.evaluation.objective, {key: value for key, value in kept.items() if key != "_target_"})


def _split(record: Record) -> str:
    settings = record.config.get("split", {})
    return _described(record.evaluation.split, {key: value for key, value in settings.items() if key != "fold"})


def _described(name: str, settings: Mapping[str, Any]) -> str:
    told = ", ".join(f"{key}={value}" for key, value in sorted(_flat(settings)))
    return f"{name} ({told})" if told else name


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
