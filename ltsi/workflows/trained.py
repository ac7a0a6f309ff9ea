"""A finished run, opened again: its store, its split, its model with what it learned."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import seed_everything

from ltsi.errors import ConfigError, DataError, RunError
from ltsi.features.space import FeatureSpace
from ltsi.objectives.next_item import NextItemTask
from ltsi.objectives.objective import Task
from ltsi.runs.folder import RunFolder
from ltsi.store import MANIFEST, store_path
from ltsi.training.checkpoints import load_model
from ltsi.workflows.experiment import (
    Experiment,
    build_experiment,
    build_model,
    build_task,
    check_fingerprint,
    declares_features,
)

log = logging.getLogger(__name__)

TRUSTED = (
    "ltsi.models.",
    "ltsi.losses.",
    "ltsi.objectives.",
    "ltsi.sequences.",
    "ltsi.preparation.",
    "ltsi.training.",
    "torch.optim.",
    "pytorch_lightning.",
)


@dataclass(frozen=True)
class Trained:
    """What a run folder holds, ready to answer.

    Attributes:
        folder: where it came from.
        config: the run's own configuration.
        experiment: its store, as the run had cut it.
        task: its objective on that split.
        model: its best model.
    """

    folder: RunFolder
    config: DictConfig
    experiment: Experiment
    task: Task[Any, Any]
    model: Any


def named_run(text: str | None) -> Path:
    """Returns the folder that the setting `run` names; an empty one would be the current folder to Python.

    Raises:
        ConfigError: it names none.
    """
    if not text:
        raise ConfigError("run= names no folder, as of a shell variable that is not set; give run=DIR (. is this one).")
    return Path(str(text))


def open_trained(folder: RunFolder, trust: Sequence[str] = ()) -> Trained:
    """Opens a run.

    Args:
        folder: the run.
        trust: packages and modules, besides ours, whose classes it may name: their code is run.

    Raises:
        RunError: the folder is not a run, is damaged, names code that is not trusted, or was stopped before its model
            was whole.
        DataError: its store is gone or has changed since.
    """
    stored = OmegaConf.create(folder.config)
    assert isinstance(stored, DictConfig)
    _refuse_foreign_code(stored, folder, trusting(trust))
    environment = folder.environment
    try:
        stored.data, stored.seen = _store_of(folder, environment["store_path"]), environment["seen"]
    except KeyError as error:
        raise RunError(
            f"{folder.path / 'environment.json'} has no {error}; the run is damaged, train again."
        ) from error
    if "finished" not in environment and folder.checkpoint_path("best").is_file():
        log.warning("The training of %s did not finish; this is its best epoch so far.", folder.path)
    experiment = build_experiment(stored)
    check_fingerprint(experiment.store, environment, folder)
    features = FeatureSpace.load(folder.features_path) if declares_features(stored) else None
    task = build_task(stored, experiment.split, features)
    seed_everything(stored.seed, verbose=False)
    model = task.model(build_model(stored))
    if model.calibrates and "finished" not in environment:
        raise RunError(
            f"The training of {folder.path} was stopped before what mixes its parts was chosen, so its model is not "
            "whole yet; finish it with resume=true."
        )
    load_model(model, folder.checkpoint("best"))
    return Trained(folder, stored, experiment, task, model.eval())


def _store_of(folder: RunFolder, recorded: str) -> str:
    """Returns where the store of a run is: where it was, or under its name where stores are now.

    Raises:
        DataError: it is at neither place.
    """
    if (Path(recorded) / MANIFEST).is_file():
        return recorded
    moved = store_path(Path(recorded).name).absolute()
    if not (moved / MANIFEST).is_file():
        raise DataError(
            f"There is no store '{recorded}', which run {folder.path} was trained on, nor is it at {moved}; if it was "
            f"moved, set LTSI_DATA to the folder that has it as prepared/{moved.name}, else prepare it again."
        )
    log.info("The store of %s is no longer at %s; reading the one at %s.", folder.path, recorded, moved)
    return str(moved)


def require_next_item(trained: Trained, purpose: str) -> Trained:
    """Refuses a run that answers something else than what comes next.

    Args:
        trained: the run.
        purpose: what needs it, as the subject of a sentence.

    Raises:
        RunError: it does.
    """
    if not isinstance(trained.task, NextItemTask):
        raise RunError(
            f"{purpose} needs a model of the next item, and run {trained.folder.path} was trained with "
            f"objective={trained.task.objective.name}; train with objective=next_item."
        )
    return trained


def trusting(packages: Sequence[str]) -> tuple[str, ...]:
    """Returns how the names of classes begin that may be run: ours, and those of further packages or modules."""
    return (*TRUSTED, *(f"{package}." for package in packages))


def foreign_classes(node: DictConfig) -> list[str]:
    """Returns the classes of a configuration, as `model._target_=NAME`, that `open_trained` runs only where trusted."""
    found = _texts("", OmegaConf.to_container(node))
    return [f"{place}={text}" for place, text in found if place.endswith("_target_") and not _may_run(text, TRUSTED)]


def _refuse_foreign_code(node: DictConfig, folder: RunFolder, trusted: tuple[str, ...]) -> None:
    """A configuration names what to call; one that came with a run folder may only name classes of known packages.

    Where a class is defined counts, not how its path begins: `ltsi.store.os.system` begins like one of ours. Runs are
    written without interpolations: one could make a target of what is none yet.
    """
    for place, text in _texts("", OmegaConf.to_container(node)):
        if "${" in text:
            raise RunError(
                f"{folder.path / 'config.yaml'}: {place}={text} is an interpolation, which ltsi does not write into a "
                "run, so it is not followed; give a run as `ltsi train` left it."
            )
        if place.endswith("_target_") and not _may_run(text, trusted):
            raise RunError(
                f"{folder.path / 'config.yaml'}: {place}={text} is not a class of ltsi, torch or Lightning, so it is "
                f"not run; if it is your own, trust its package: trust=[{text.partition('.')[0]}] (recommend: --trust)."
            )


def _texts(place: str, node: object) -> Iterator[tuple[str, str]]:
    """Finds everything that is written below a node, keys among it: its place and itself."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield place, str(key)
            yield from _texts(f"{place}.{key}".lstrip("."), value)
    elif isinstance(node, list):
        for value in node:
            yield from _texts(place, value)
    else:
        yield place, str(node)


def _may_run(target: str, trusted: tuple[str, ...]) -> bool:
    """Tells whether a name is that of a class which is trusted; nothing else is imported."""
    if not target.startswith(trusted):
        return False
    module, _, name = target.rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError):
        return False
    return isinstance(found, type) and f"{found.__module__}.".startswith(trusted)
