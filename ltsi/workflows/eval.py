"""`ltsi eval`: reads a part of the split with finished runs, and says so in their folders."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig
from pytorch_lightning import Trainer

from ltsi.errors import ConfigError, RunError
from ltsi.runs.folder import Evaluation, RunFolder, find_runs
from ltsi.sequences.datamodule import SplitDataModule
from ltsi.sequences.split import PARTS
from ltsi.tables import Entry, Result, Table
from ltsi.training.module import InterestModule
from ltsi.workflows.build import build
from ltsi.workflows.experiment import build_trainer, evaluate
from ltsi.workflows.trained import open_trained

log = logging.getLogger(__name__)


def run(cfg: DictConfig) -> Result:
    """Evaluates a run, or all runs of a sweep.

    Args:
        cfg: `conf/eval.yaml`, composed.

    Returns:
        One row a run.
    """
    if cfg.split not in PARTS:
        raise ConfigError(f"split={cfg.split.name}: eval reads a part of the run's own split: {' or '.join(PARTS)}.")
    runs = find_runs(Path(str(cfg.run)))
    # A sweep that was stopped has runs of which nothing can be asked yet.
    unfinished = [folder for folder in runs if not folder.checkpoint_path("best").is_file()]
    runs = [folder for folder in runs if folder not in unfinished] or runs
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
        failure=_not_evaluated(unfinished) if unfinished else None,
    )


def _not_evaluated(unfinished: Sequence[RunFolder]) -> RunError:
    named = ", ".join(str(folder.path) for folder in unfinished)
    return RunError(
        f"Not evaluated, having no checkpoint because the training was stopped: {named}; finish them by the command of "
        "the sweep and resume=true."
    )


def _evaluate_run(folder: RunFolder, cfg: DictConfig) -> tuple[Evaluation, str, str, str]:
    """Returns the metrics, the model's name, what was asked and how."""
    trained = open_trained(folder)
    stored, task, experiment = trained.config, trained.task, trained.experiment
    metrics = task.objective.checked_metrics(cfg.metrics or stored.metrics)
    module = InterestModule(task, trained.model, build(stored.loss), build(stored.optimizer), metrics, stored.seed)
    data = SplitDataModule(task, stored.max_length, stored.batch_size, experiment.seen == "hide", stored.seed)
    trainer: Trainer = build_trainer(cfg)
    log.info("Reading the %s part with %s (%s).", cfg.split, folder.path, stored.model.name)
    done = evaluate(experiment, cfg.split, trainer, module, data, metrics, folder)
    return done, str(stored.model.name), task.asked, task.protocol(done.seen)
