"""What train and eval both do: open the store, cut it, build model and trainer from a configuration."""

from __future__ import annotations

import logging
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from hydra.errors import InstantiationException
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback, LightningDataModule, Trainer
from pytorch_lightning.callbacks import RichProgressBar

from ltsi.errors import ConfigError, DataError
from ltsi.features.declarations import read_declarations
from ltsi.features.space import FeatureSpace
from ltsi.models.forecaster import Forecaster
from ltsi.models.interest import InterestModel
from ltsi.models.positions import require_positions
from ltsi.objectives.next_item import NextItem
from ltsi.objectives.objective import Objective, Task
from ltsi.runs.folder import Evaluation, RunFolder
from ltsi.sequences.split import Split
from ltsi.store import Store
from ltsi.training.checkpoints import AtomicCheckpointIO
from ltsi.training.module import InterestModule
from ltsi.workflows.build import build
from ltsi.workflows.prepare import find_store

log = logging.getLogger(__name__)

HALF = ("16-true", "bf16-true")
"""Precisions of Lightning whose weights are half a float32."""
DOUBLE = ("64-true", "64")
"""Precisions of Lightning that would have to change batches, which are of a frozen class."""

# Lightning asks torch's pytree in a way that torch has begun to call outdated; nobody here can act on it.
warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)`", category=FutureWarning)

SEEN = ("auto", "hide", "keep")


@dataclass(frozen=True)
class Experiment:
    """A store, its split and how its targets are ranked.

    Attributes:
        split: the cut store.
        split_name: name of the split.
        seen: `hide` or `keep`.
    """

    split: Split
    split_name: str
    seen: str

    @property
    def store(self) -> Store:
        """The store."""
        return self.split.store


def build_experiment(cfg: DictConfig) -> Experiment:
    """Opens the store of a configuration and cuts it.

    Args:
        cfg: has `data`, `split` and `seen`.

    Raises:
        ConfigError: `split` or `seen` is not one.
        DataError: the store is not there, or cannot be cut that way.
    """
    if not isinstance(cfg.split, DictConfig):
        raise ConfigError(
            f"split={cfg.split} names a part, which only `ltsi eval` takes; choose a way to split, such as "
            "split=global_time."
        )
    store = find_store(str(cfg.data))
    if cfg.seen not in SEEN:
        raise ConfigError(f"seen={cfg.seen} must be one of: {', '.join(SEEN)}.")
    seen = cfg.seen if cfg.seen != "auto" else ("keep" if store.has_repeats else "hide")
    return Experiment(build(cfg.split)(store), str(cfg.split.name), seen)


def fit_features(cfg: DictConfig, split: Split) -> FeatureSpace | None:
    """Fits the features that a configuration declares on the training part; None if it declares none.

    Raises:
        ConfigError: something is declared that there is not.
        DataError: a column does not fit its kind.
    """
    if not declares_features(cfg):
        return None
    config: Any = OmegaConf.to_container(cfg.features, resolve=True)
    return FeatureSpace.fit(split, read_declarations(config, split.store))


def declares_features(cfg: DictConfig) -> bool:
    """Returns whether a configuration declares features."""
    declared = cfg.get("features") or {}
    return any(declared.get(part) for part in declared)


def build_task(cfg: DictConfig, split: Split, features: FeatureSpace | None) -> Task[Any, Any]:
    """Puts the objective of a configuration on a split.

    Args:
        cfg: has `objective`; runs of before there was a choice have none.
        split: what is learned and judged.
        features: fitted features, if there are some.

    Raises:
        ConfigError: `objective._target_` is not an objective, or it does not fit.
        DataError: the log has not what the objective needs.
    """
    objective = build(cfg.objective) if cfg.get("objective") else NextItem()
    if not isinstance(objective, Objective):
        raise ConfigError(f"objective._target_={cfg.objective._target_} is not an ltsi objective (ltsi.objectives).")
    return objective.on(split, features)


def build_model(cfg: DictConfig) -> InterestModel | Forecaster:
    """Builds the model of a resolved configuration.

    Raises:
        ConfigError: `model._target_` is not a model, or it cannot be shown `max_length` events.
    """
    model = build(cfg.model)
    if not isinstance(model, (InterestModel, Forecaster)):
        raise ConfigError(f"model._target_={cfg.model._target_} is not an ltsi model (ltsi.models.interest).")
    require_positions(model, cfg.max_length)
    return model


def build_trainer(cfg: DictConfig, callbacks: Sequence[Callback] = ()) -> Trainer:
    """Builds the trainer of a configuration, with whole checkpoints and a progress bar where someone watches.

    Raises:
        ConfigError: the machine has not what the trainer asks for, or Lightning refuses a setting.
    """
    if cfg.trainer.get("accelerator") == "gpu" and not torch.cuda.is_available():
        raise ConfigError("trainer.accelerator=gpu, but torch sees no GPU here; use trainer=cpu.")
    precision = str(cfg.trainer.get("precision"))
    if precision in HALF:
        raise ConfigError(
            f"trainer.precision={precision} keeps the weights themselves in half precision, where small steps vanish; "
            f"use trainer.precision={precision.removesuffix('-true')}-mixed."
        )
    if precision in DOUBLE:
        raise ConfigError(
            f"trainer.precision={precision} is not taken; use trainer.precision=32-true, 16-mixed or bf16-mixed."
        )
    watched = sys.stderr.isatty()
    bar = [RichProgressBar(leave=False)] if watched else []
    options = {"callbacks": [*callbacks, *bar], "plugins": [AtomicCheckpointIO()], "enable_progress_bar": watched}
    _refuse_samples(cfg)
    try:
        trainer: Trainer = build(cfg.trainer, **options)
    except InstantiationException as error:
        if isinstance(error.__cause__, MisconfigurationException):
            raise ConfigError(f"trainer={cfg.trainer.name} cannot be built: {error.__cause__}") from error
        raise
    return trainer


def _refuse_samples(cfg: DictConfig) -> None:
    """Refuses what would judge a model, or choose its best epoch, by some of the targets only."""
    for setting in ("limit_val_batches", "limit_test_batches", "fast_dev_run", "overfit_batches"):
        value = cfg.trainer.get(setting)
        # Of limits 1 is one batch, and 1.0 is all.
        harmless = value is None or str(value) == "1.0" if setting.startswith("limit") else not value
        if not harmless:
            raise ConfigError(
                f"trainer.{setting}={value} would leave out targets of a part, and metrics are of all of them; remove "
                "it (trainer.max_epochs=1 and trainer.limit_train_batches make a run short)."
            )


def judge(
    experiment: Experiment,
    part: str,
    trainer: Trainer,
    module: InterestModule,
    data: LightningDataModule,
    metrics: Sequence[str],
) -> Evaluation:
    """Answers a part.

    Args:
        experiment: what is asked.
        part: `valid` or `test`.
        trainer: answers, on its devices.
        module: holds the model and its task.
        data: holds the part.
        metrics: names of the metrics.
    """
    run = trainer.validate if part == "valid" else trainer.test
    start = time.perf_counter()
    run(module, data, verbose=False)
    seconds = time.perf_counter() - start
    task, answers = module.task, module.answered
    return Evaluation(
        n_targets=len(answers["index"]),
        split=experiment.split_name,
        seen=experiment.seen,
        eval_seconds=round(seconds, 3),
        metrics=task.summary(answers, metrics),
        objective=task.objective.name,
    )


def keep(evaluation: Evaluation, part: str, trainer: Trainer, module: InterestModule, folder: RunFolder) -> None:
    """Writes `<part>.json` and `per_user/<part>.parquet`, by the first process.

    Args:
        evaluation: what `judge` found.
        part: `valid` or `test`.
        trainer: has answered.
        module: holds the answers.
        folder: where to write.

    Raises:
        UnwritableError: the folder does not take it.
    """
    if trainer.is_global_zero:
        folder.write_per_user(part, module.task.table(part, module.answered))
        folder.write_evaluation(part, evaluation)


def check_fingerprint(store: Store, environment: dict[str, Any], folder: RunFolder) -> None:
    """Refuses to judge a run on another store than it learned from.

    Raises:
        DataError: the store has changed since.
    """
    if environment.get("fingerprint") != store.fingerprint:
        raise DataError(
            f"Run {folder.path} was trained on another version of store '{store.name}' than the one at {store.path}; "
            "train again, or prepare the store as it was."
        )
