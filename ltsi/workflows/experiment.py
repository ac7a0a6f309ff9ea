"""What train and eval both do: open the store, cut it, build model and trainer from a configuration."""

from __future__ import annotations

import logging
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import torch
from hydra.errors import InstantiationException
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig
from pytorch_lightning import Callback, LightningDataModule, Trainer
from pytorch_lightning.callbacks import RichProgressBar

from ltsi.errors import ConfigError, DataError
from ltsi.metrics import summary
from ltsi.models.interest import InterestModel
from ltsi.models.positions import require_positions
from ltsi.runs.folder import Evaluation, RunFolder
from ltsi.sequences.batches import history_positions
from ltsi.sequences.split import Split
from ltsi.store import Store
from ltsi.training.checkpoints import AtomicCheckpointIO
from ltsi.training.module import InterestModule
from ltsi.workflows.build import build
from ltsi.workflows.prepare import find_store

log = logging.getLogger(__name__)

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
            f"split={cfg.split} is a part that `ltsi eval` reads; choose how to cut, as split=global_time."
        )
    store = find_store(str(cfg.data))
    if cfg.seen not in SEEN:
        raise ConfigError(f"seen={cfg.seen} must be one of: {', '.join(SEEN)}.")
    seen = cfg.seen if cfg.seen != "auto" else ("keep" if store.has_repeats else "hide")
    return Experiment(build(cfg.split)(store), str(cfg.split.name), seen)


def build_model(cfg: DictConfig) -> InterestModel:
    """Builds the model of a resolved configuration.

    Raises:
        ConfigError: `model._target_` is not a model, or it cannot be shown `max_length` events.
    """
    model = build(cfg.model)
    if not isinstance(model, InterestModel):
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
    watched = sys.stderr.isatty()
    bar = [RichProgressBar(leave=False)] if watched else []
    options = {"callbacks": [*callbacks, *bar], "plugins": [AtomicCheckpointIO()], "enable_progress_bar": watched}
    try:
        trainer: Trainer = build(cfg.trainer, **options)
    except InstantiationException as error:
        if isinstance(error.__cause__, MisconfigurationException):
            raise ConfigError(f"trainer={cfg.trainer.name} cannot be built: {error.__cause__}") from error
        raise
    return trainer


def evaluate(
    experiment: Experiment,
    part: str,
    trainer: Trainer,
    module: InterestModule,
    data: LightningDataModule,
    metrics: Sequence[str],
    folder: RunFolder,
) -> Evaluation:
    """Ranks the targets of a part and writes `<part>.json` and `per_user/<part>.parquet`.

    Args:
        experiment: what is ranked.
        part: `valid` or `test`.
        trainer: ranks, on its devices.
        module: holds the model.
        data: holds the targets.
        metrics: names of the metrics.
        folder: where to write.
    """
    run = trainer.validate if part == "valid" else trainer.test
    start = time.perf_counter()
    run(module, data, verbose=False)
    seconds = time.perf_counter() - start
    ranked = module.ranked
    evaluation = Evaluation(
        n_targets=len(ranked["rank"]),
        split=experiment.split_name,
        seen=experiment.seen,
        eval_seconds=round(seconds, 3),
        metrics=summary(ranked["rank"], metrics),
    )
    if trainer.is_global_zero:
        folder.write_per_user(part, _per_user(experiment, part, ranked))
        folder.write_evaluation(part, evaluation)
    return evaluation


def _per_user(experiment: Experiment, part: str, ranked: dict[str, Any]) -> pl.DataFrame:
    store, targets, roles = experiment.store, experiment.split.part(part), experiment.split.roles
    start, end = history_positions(store, targets, roles)
    gap = targets.now - store.time[roles.row(end - 1)]
    return pl.DataFrame(
        {
            "user": store.users["user"].gather(targets.user),
            "target": store.items["item"].gather(store.item[targets.event]),
            "rank": ranked["rank"],
            "history_length": end - start,
            "gap_seconds": gap if store.has_clock else pl.Series([None] * len(targets), dtype=pl.Int64),
            **{name: column for name, column in ranked.items() if name != "rank"},
        }
    )


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
