"""`ltsi eval`: reads a part of the split with finished runs, and says so in their folders."""

from __future__ import annotations

import logging
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer, seed_everything

from ltsi.errors import ConfigError, RunError
from ltsi.runs.folder import Evaluation, RunFolder, find_runs
from ltsi.sequences.datamodule import SplitDataModule
from ltsi.sequences.split import PARTS
from ltsi.tables import Entry, Result, Table
from ltsi.training.checkpoints import load_model
from ltsi.training.module import InterestModule
from ltsi.workflows.build import build
from ltsi.workflows.experiment import build_experiment, build_model, build_trainer, check_fingerprint, evaluate

log = logging.getLogger(__name__)


def run(cfg: DictConfig) -> Result:
    """Evaluates a run, or all runs of a sweep.

    Args:
        cfg: `conf/eval.yaml`, composed.

    Returns:
        One row a run.
    """
    if cfg.split not in PARTS:
        raise ConfigError(f"split={cfg.split}: eval reads a part of the run's own split, one of: {', '.join(PARTS)}.")
    runs = find_runs(Path(cfg.run))
    rows: list[list[Entry]] = []
    for folder in runs:
        done, name = _evaluate_run(folder, cfg)
        rows.append([str(folder.path), name, done.n_targets, *done.metrics.values(), done.eval_seconds])
    table = Table(
        title=f"{cfg.split} of {cfg.run}",
        columns=["run", "model", "users", *done.metrics, "eval s"],
        rows=rows,
        notes=[f"split {done.split}, full ranking, seen items: {done.seen}, ties in score count half"],
    )
    return Result(tables=[table], messages=[f"Compare with: ltsi compare {cfg.run}"])


def _evaluate_run(folder: RunFolder, cfg: DictConfig) -> tuple[Evaluation, str]:
    stored = OmegaConf.create(folder.config)
    assert isinstance(stored, DictConfig)
    _refuse_foreign_code(stored, folder)
    environment = folder.environment
    stored.data, stored.seen = environment["store_path"], environment["seen"]
    experiment = build_experiment(stored)
    check_fingerprint(experiment.store, environment, folder)
    seed_everything(stored.seed, verbose=False)
    model = build_model(stored)
    load_model(model, folder.checkpoint("best"))
    metrics = list(cfg.metrics or stored.metrics)
    module = InterestModule(model, build(stored.loss), build(stored.optimizer), metrics, stored.seed)
    data = SplitDataModule(
        experiment.split, stored.max_length, stored.batch_size, experiment.seen == "hide", stored.seed
    )
    trainer: Trainer = build_trainer(cfg)
    log.info("Reading the %s part with %s (%s).", cfg.split, folder.path, stored.model.name)
    return evaluate(experiment, cfg.split, trainer, module, data, metrics, folder), str(stored.model.name)


def _refuse_foreign_code(node: DictConfig, folder: RunFolder) -> None:
    """A configuration names what to import; one that came with a run folder may only name this tool and torch."""
    trusted = ("ltsi.", "torch.optim.", "pytorch_lightning.")
    for key, value in OmegaConf.to_container(node).items():  # type: ignore[union-attr]
        _check_targets(str(key), value, trusted, folder)


def _check_targets(key: str, value: object, trusted: tuple[str, ...], folder: RunFolder) -> None:
    if isinstance(value, dict):
        for inner, node in value.items():
            _check_targets(f"{key}.{inner}", node, trusted, folder)
    elif isinstance(value, list):
        for node in value:
            _check_targets(key, node, trusted, folder)
    elif key.endswith("._target_") and not str(value).startswith(trusted):
        raise RunError(f"{folder.path / 'config.yaml'}: {key}={value} is not part of ltsi or torch, so it is not run.")
