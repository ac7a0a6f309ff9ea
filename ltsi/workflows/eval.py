"""`ltsi eval`: reads a part of the split with finished runs, and says so in their folders."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from omegaconf import DictConfig
from pytorch_lightning import Trainer

from ltsi.errors import ConfigError, RunError, UnwritableError, UserError
from ltsi.runs.folder import Evaluation, RunFolder, find_runs
from ltsi.runs.hold import held, in_use
from ltsi.sequences.datamodule import SplitDataModule
from ltsi.sequences.split import PARTS
from ltsi.tables import Entry, Result, Table
from ltsi.training.module import InterestModule
from ltsi.workflows.build import build
from ltsi.workflows.experiment import build_trainer, judge, keep
from ltsi.workflows.trained import named_run, open_trained

log = logging.getLogger(__name__)

_Tables = dict[tuple[tuple[str, ...], str], list[list[Entry]]]
"""Rows by columns and note: runs asked the same way share a table, and a sweep may hold several objectives."""


def run(cfg: DictConfig) -> Result:
    """Evaluates a run, or all runs of a sweep.

    Args:
        cfg: `conf/eval.yaml`, composed.

    Returns:
        One row a run.
    """
    if cfg.split not in PARTS:
        parts = " or ".join(f"split={part}" for part in PARTS)
        raise ConfigError(
            f"split={cfg.split.name} is a way to split; eval expects a part of the run's own split: {parts}."
        )
    found = find_runs(named_run(cfg.run))
    busy = [folder for folder in found if in_use(folder)]
    if busy and cfg.trainer.devices != 1:
        raise _not_evaluated(busy, [])  # the other processes of this command would not leave out the same
    # A sweep that was stopped has runs of which nothing can be asked yet.
    unfinished = [one for one in found if one not in busy and not one.checkpoint_path("best").is_file()]
    runs = [folder for folder in found if folder not in busy and folder not in unfinished] or found
    tables, refused = _evaluate(runs, cfg)
    failures = [_not_evaluated(busy, unfinished)] if busy or unfinished else []
    failures += refused
    title = f"{cfg.split} of {cfg.run}"
    return Result(
        tables=[Table(title, columns, rows, notes=[note]) for (columns, note), rows in tables.items()],
        messages=[f"Compare with: ltsi compare {cfg.run}"],
        failure=RunError(" ".join(map(str, failures))) if failures else None,
    )


def _evaluate(runs: Sequence[RunFolder], cfg: DictConfig) -> tuple[_Tables, list[RunError]]:
    """Returns rows by table, and what went wrong with some of the runs.

    Raises:
        UserError: none of them can be evaluated.
    """
    tables: _Tables = {}
    refused: list[tuple[RunFolder, UserError]] = []
    failures: list[RunError] = []
    for folder in runs:
        try:
            with held(folder, to_write=False):
                done, name, asked, protocol, unkept = _evaluate_run(folder, cfg)
        except UserError as error:
            # A damaged run, or one whose store is gone, is no reason to leave out the others.
            refused.append((folder, error))
            continue
        failures += [] if unkept is None else [unkept]
        row: list[Entry] = [str(folder.path), name, done.n_targets, *done.metrics.values(), done.eval_seconds]
        columns = ("run", "model", asked, *done.metrics, "eval s")
        tables.setdefault((columns, f"split {done.split}, {protocol}"), []).append(row)
    if not tables and len({str(error) for _, error in refused}) == 1:
        raise refused[0][1]  # what the command asks of each of them
    failures += [RunError(f"{folder.path} was not evaluated: {error}") for folder, error in refused]
    if not tables:
        raise RunError(" ".join(map(str, failures)))
    return tables, failures


def _not_evaluated(busy: Sequence[RunFolder], unfinished: Sequence[RunFolder]) -> RunError:
    said = []
    if busy:
        said.append(
            f"Not evaluated, because another process trains or evaluates them: {_named(busy)}; wait until it has ended."
        )
    if unfinished:
        said.append(
            "Not evaluated, because their training was stopped before the first checkpoint: "
            f"{_named(unfinished)}; finish them with the command of the sweep and resume=true."
        )
    return RunError(" ".join(said))


def _named(folders: Sequence[RunFolder]) -> str:
    return ", ".join(str(folder.path) for folder in folders)


def _evaluate_run(folder: RunFolder, cfg: DictConfig) -> tuple[Evaluation, str, str, str, RunError | None]:
    """Returns the metrics, the model's name, what was asked and how, and why they could not be kept."""
    trained = open_trained(folder, cfg.trust)
    stored, task, experiment = trained.config, trained.task, trained.experiment
    metrics = task.objective.checked_metrics(stored.metrics if cfg.metrics is None else cfg.metrics)
    module = InterestModule(task, trained.model, build(stored.loss), build(stored.optimizer), metrics, stored.seed)
    data = SplitDataModule(task, stored.max_length, stored.batch_size, experiment.seen == "hide", stored.seed)
    # That in which the best epoch was chosen, unless the user says otherwise.
    cfg = cfg.copy()
    cfg.trainer.precision = cfg.trainer.precision or stored.trainer.precision
    trainer: Trainer = build_trainer(cfg)
    log.info("Reading the %s part with %s (%s).", cfg.split, folder.path, stored.model.name)
    done, unkept = judge(experiment, cfg.split, trainer, module, data, metrics), None
    try:
        keep(done, cfg.split, trainer, module, folder)
    except UnwritableError as error:
        # The work of minutes is shown all the same.
        unkept = RunError(f"Shown, but not kept for `ltsi compare`: {error}")
    return done, str(stored.model.name), task.asked, task.protocol(done.seen), unkept
