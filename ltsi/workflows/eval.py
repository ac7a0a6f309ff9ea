"""`ltsi eval`: reads a part of the split with finished runs, and says so in their folders."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer, seed_everything

from ltsi.errors import ConfigError, RunError
from ltsi.features.space import FeatureSpace
from ltsi.runs.folder import Evaluation, RunFolder, find_runs
from ltsi.sequences.datamodule import SplitDataModule
from ltsi.sequences.split import PARTS
from ltsi.tables import Entry, Result, Table
from ltsi.training.checkpoints import load_model
from ltsi.training.module import InterestModule
from ltsi.workflows.build import build
from ltsi.workflows.experiment import (
    build_experiment,
    build_model,
    build_task,
    build_trainer,
    check_fingerprint,
    declares_features,
    evaluate,
)

log = logging.getLogger(__name__)

TRUSTED = (
    "ltsi.models.",
    "ltsi.losses.",
    "ltsi.objectives.",
    "ltsi.sequences.",
    "ltsi.preparation.",
    "torch.optim.",
    "pytorch_lightning.",
)


def run(cfg: DictConfig) -> Result:
    """Evaluates a run, or all runs of a sweep.

    Args:
        cfg: `conf/eval.yaml`, composed.

    Returns:
        One row a run.
    """
    if cfg.split not in PARTS:
        raise ConfigError(f"split={cfg.split.name}: eval reads a part of the run's own split: {' or '.join(PARTS)}.")
    runs = find_runs(Path(cfg.run))
    # Runs that were asked the same way share a table: a sweep may hold several objectives.
    tables: dict[tuple[tuple[str, ...], str], list[list[Entry]]] = {}
    for folder in runs:
        done, name, asked, protocol = _evaluate_run(folder, cfg)
        row: list[Entry] = [str(folder.path), name, done.n_targets, *done.metrics.values(), done.eval_seconds]
        columns = ("run", "model", asked, *done.metrics, "eval s")
        tables.setdefault((columns, f"split {done.split}, {protocol}"), []).append(row)
    title = f"{cfg.split} of {cfg.run}"
    return Result(
        tables=[Table(title, columns, rows, notes=[note]) for (columns, note), rows in tables.items()],
        messages=[f"Compare with: ltsi compare {cfg.run}"],
    )


def _evaluate_run(folder: RunFolder, cfg: DictConfig) -> tuple[Evaluation, str, str, str]:
    """Returns the metrics, the model's name, what was asked and how."""
    stored = OmegaConf.create(folder.config)
    assert isinstance(stored, DictConfig)
    _refuse_foreign_code(stored, folder)
    environment = folder.environment
    try:
        stored.data, stored.seen = environment["store_path"], environment["seen"]
    except KeyError as error:
        raise RunError(
            f"{folder.path / 'environment.json'} has no {error}; the run is damaged, train again."
        ) from error
    if "finished" not in environment:
        log.warning("The training of %s did not finish; this is its best epoch so far.", folder.path)
    experiment = build_experiment(stored)
    check_fingerprint(experiment.store, environment, folder)
    features = FeatureSpace.load(folder.features_path) if declares_features(stored) else None
    task = build_task(stored, experiment.split, features)
    seed_everything(stored.seed, verbose=False)
    model = task.model(build_model(stored))
    load_model(model, folder.checkpoint("best"))
    metrics = task.objective.checked_metrics(cfg.metrics or stored.metrics)
    module = InterestModule(task, model, build(stored.loss), build(stored.optimizer), metrics, stored.seed)
    data = SplitDataModule(task, stored.max_length, stored.batch_size, experiment.seen == "hide", stored.seed)
    trainer: Trainer = build_trainer(cfg)
    log.info("Reading the %s part with %s (%s).", cfg.split, folder.path, stored.model.name)
    done = evaluate(experiment, cfg.split, trainer, module, data, metrics, folder)
    return done, str(stored.model.name), task.asked, task.protocol(done.seen)


def _refuse_foreign_code(node: DictConfig, folder: RunFolder) -> None:
    """A configuration names what to call; one that came with a run folder may only name classes of known packages.

    Where a class is defined counts, not how its path begins: `ltsi.store.os.system` begins like one of ours.
    """
    for key, value in OmegaConf.to_container(node).items():  # type: ignore[union-attr]
        for place, target in _targets(str(key), value):
            if not target.startswith(TRUSTED) or not _is_class_of(target, TRUSTED):
                raise RunError(
                    f"{folder.path / 'config.yaml'}: {place}={target} is not a class of ltsi, torch or Lightning, "
                    "so it is not run."
                )


def _targets(key: str, node: object) -> Iterator[tuple[str, str]]:
    """Finds every `_target_` below a node: its place and its value."""
    if isinstance(node, dict):
        for inner, value in node.items():
            if inner == "_target_":
                yield f"{key}._target_", str(value)
            yield from _targets(f"{key}.{inner}", value)
    elif isinstance(node, list):
        for value in node:
            yield from _targets(key, value)


def _is_class_of(target: str, packages: tuple[str, ...]) -> bool:
    module, _, name = target.rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError):
        return False
    return isinstance(found, type) and found.__module__.startswith(packages)
