"""`ltsi train`: counts what is to be counted, trains what is to be trained, keeps the best on the validation part."""

from __future__ import annotations

import logging
import time
import warnings
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from pytorch_lightning import Callback, Trainer, seed_everything

from ltsi.errors import ConfigError, RunError
from ltsi.losses.softmax import Softmax
from ltsi.metrics import RANKS, parse
from ltsi.objectives.objective import Task
from ltsi.runs.environment import describe_environment, now
from ltsi.runs.folder import Evaluation, RunFolder
from ltsi.runs.hold import held
from ltsi.sequences.datamodule import SplitDataModule
from ltsi.tables import Result, Table
from ltsi.training.averaging import WeightAverage
from ltsi.training.callbacks import EpochLog
from ltsi.training.checkpoints import MovableCheckpoint, load_model, read_checkpoint
from ltsi.training.compiling import compile_encoders
from ltsi.training.lazy_adamw import LazyAdamW
from ltsi.training.module import InterestModule, require_clipping
from ltsi.workflows.build import build
from ltsi.workflows.experiment import (
    Experiment,
    build_experiment,
    build_model,
    build_task,
    build_trainer,
    fit_features,
    judge,
    keep,
)
from ltsi.workflows.given_decay import hand_over_decays
from ltsi.workflows.trained import foreign_classes

log = logging.getLogger(__name__)


def run(cfg: DictConfig) -> Result:
    """Trains a model.

    Args:
        cfg: `conf/train.yaml`, composed.

    Returns:
        The validation metrics; `value` is the one that sweepers optimise.
    """
    folder = RunFolder(Path(HydraConfig.get().runtime.output_dir))
    with held(folder, ", or give another hydra.run.dir"):
        return _train(cfg, folder)


def _train(cfg: DictConfig, folder: RunFolder) -> Result:
    resume = _resumes(cfg, folder)
    if not resume:
        _refuse_trained(folder)
    experiment = build_experiment(cfg)
    store = experiment.store
    features = fit_features(cfg, experiment.split)
    task = build_task(cfg, experiment.split, features)
    if cfg.seen != "auto" and task.objective.reads != RANKS:
        raise ConfigError(
            f"seen={cfg.seen}: objective={task.objective.name} ranks no items, so there are none to hide or keep; "
            "leave it out."
        )
    with open_dict(cfg):
        cfg.n_items, cfg.metrics = store.n_items, list(task.objective.checked_metrics(cfg.metrics))
    steps, hide = list(build(cfg.augmentation).values()), experiment.seen == "hide"
    data = SplitDataModule(task, cfg.max_length, cfg.batch_size, hide, cfg.seed, steps)
    seed_everything(cfg.seed, verbose=False)
    model = task.model(build_model(cfg))
    with open_dict(cfg):
        cfg.decay_digests = hand_over_decays(model, cfg, store)
    if resume:
        _require_same_run(folder, cfg, store.fingerprint)
        load_model(model, folder.checkpoint("last" if model.learns else "best"))
    compile_encoders(model, cfg.compile)
    module = InterestModule(task, model, build(cfg.loss), build(cfg.optimizer), cfg.metrics, cfg.seed)
    trainer = build_trainer(cfg, _callbacks(cfg, task.objective.monitor, folder) if model.learns else ())
    if model.learns:
        _require_training(trainer, module, data)
    over = resume and (not model.learns or _is_over(folder, trainer))
    earlier = _seconds_so_far(folder) if resume else 0.0
    if trainer.is_global_zero:
        _discard_void(folder, resume, over)
        _begin(folder, cfg, experiment, task, trainer)
        if features is not None:
            folder.write_features(features.state())
    log.info("%s on %s: %d users, %d items.", cfg.model.name, store.name, store.n_users, store.n_items)
    start = time.perf_counter()
    _learn(trainer, module, data, folder, "nothing" if over else "the rest" if resume else "all")
    train_seconds = earlier + time.perf_counter() - start
    parts = {"valid": judge(experiment, "valid", trainer, module, data, cfg.metrics)}
    keep(parts["valid"], "valid", trainer, module, folder)
    if model.calibrates or not model.learns:
        trainer.save_checkpoint(folder.checkpoint_path("best"))
    if trainer.is_global_zero:
        parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
        folder.update_environment(
            {"finished": now(), "train_seconds": round(train_seconds, 3), "n_parameters": parameters}
        )
    if cfg.test:
        log.info("Reading the test part.")
        parts["test"] = judge(experiment, "test", trainer, module, data, cfg.metrics)
        keep(parts["test"], "test", trainer, module, folder)
    return _result(cfg, folder, task, parts, train_seconds)


def _seconds_so_far(folder: RunFolder) -> float:
    try:
        return sum(float(row["epoch_seconds"]) + float(row["valid_seconds"]) for row in folder.epochs())
    except (KeyError, ValueError) as error:
        raise RunError(
            f"resume=true: {folder.path / 'metrics.csv'} is damaged: it lacks the seconds of an epoch; put it back, or "
            "train a new run."
        ) from error


def _discard_void(folder: RunFolder, resume: bool, over: bool) -> None:
    if not over:
        folder.discard_evaluations()  # what was measured before a resumed training
    if not resume:
        folder.discard_training()  # of one that was stopped too early to be resumed


def _begin(folder: RunFolder, cfg: DictConfig, experiment: Experiment, task: Task[Any, Any], trainer: Trainer) -> None:
    """Writes what is known before training, in place of what an earlier one of this run had found."""
    if foreign := foreign_classes(cfg):
        log.info("eval, recommend and decay-fit run code of others only where trusted: %s.", ", ".join(foreign))
    folder.write_config(OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]
    environment = describe_environment(
        experiment.store,
        split=experiment.split_name,
        split_report={**experiment.split.report, **task.report},
        seen=experiment.seen,
        seed=cfg.seed,
        device=trainer.accelerator.__class__.__name__.removesuffix("Accelerator").lower(),
        overrides=list(HydraConfig.get().overrides.task),
    )
    folder.write_environment(environment)


def _callbacks(cfg: DictConfig, monitor: str, folder: RunFolder) -> list[Callback]:
    place = folder.path / "checkpoints"
    mode = "min" if parse(monitor).lower_is_better else "max"
    best = MovableCheckpoint(place, "best", monitor=monitor, mode=mode, enable_version_counter=False)
    # Not by `save_last`, which only saves when the best one is saved.
    last = MovableCheckpoint(place, "last", enable_version_counter=False)
    # The row of an epoch is written before its checkpoint: a killed run does the epoch again and replaces the row.
    stopping = [] if cfg.early_stopping is None else [_early_stopping(cfg, monitor, mode)]
    return [EpochLog(folder, monitor), WeightAverage(cfg.weight_average), *stopping, best, last]


def _early_stopping(cfg: DictConfig, monitor: str, mode: str) -> Callback:
    if not isinstance(cfg.early_stopping, DictConfig):
        raise ConfigError(
            f"early_stopping={cfg.early_stopping} must be settings, such as early_stopping.patience=5, or null."
        )
    for key in ("monitor", "mode"):
        if key in cfg.early_stopping:
            raise ConfigError(
                f"early_stopping.{key}={cfg.early_stopping[key]} cannot be chosen: training stops by the metric that "
                f"chooses the best epoch, {monitor}; remove it."
            )
    stopping: Callback = build(cfg.early_stopping, monitor=monitor, mode=mode)
    return stopping


def _resumes(cfg: DictConfig, folder: RunFolder) -> bool:
    """Tells whether a run is resumed: one that was stopped before its first epoch was complete begins anew.

    In a sweep, which may have stopped before some jobs began, the folder need not be a run. The other processes of a
    job with several devices do not know that it is one of a sweep.
    """
    if not cfg.resume:
        return False
    if _is_trained(folder):
        return True
    if HydraConfig.get().mode != RunMode.MULTIRUN or cfg.trainer.devices != 1:
        folder.require()
    return False


def _is_trained(folder: RunFolder) -> bool:
    """Tells whether a training can be gone on with, or has ended.

    A model that learns saves its best epoch before its last: one killed between them has nothing to go on with.
    """
    if folder.checkpoint_path("last").is_file():
        return True
    return folder.checkpoint_path("best").is_file() and folder.is_run and "finished" in folder.environment


def _refuse_trained(folder: RunFolder) -> None:
    if _is_trained(folder):
        raise RunError(
            f"{folder.path} already contains a trained run; continue it with resume=true or choose another "
            "hydra.run.dir."
        )
    if folder.is_run:
        log.info("The training in %s was stopped before its first epoch was complete; it begins anew.", folder.path)


def _require_training(trainer: Trainer, module: InterestModule, data: SplitDataModule) -> None:
    """Refuses, before anything is written, what would only fail when training starts."""
    if trainer.max_epochs == 0:
        raise ConfigError("trainer.max_epochs=0 trains nothing; it must be at least 1.")
    if trainer.check_val_every_n_epoch != 1:
        raise ConfigError(
            "trainer.check_val_every_n_epoch would leave epochs without validation, but validation chooses the best "
            "epoch; remove this setting."
        )
    if trainer.val_check_interval != 1.0:
        raise ConfigError(
            f"trainer.val_check_interval={trainer.val_check_interval} would save checkpoints in the middle of an "
            "epoch, from which training cannot resume; remove this setting."
        )
    optimizer = module.configure_optimizers()
    if isinstance(optimizer, LazyAdamW):
        _require_rows(trainer, module)
    require_clipping(trainer, optimizer)
    # The loaders refuse more devices than there are histories.
    data.trainer = trainer
    n_batches = len(data.train_dataloader())
    data.val_dataloader()
    if 0 <= trainer.max_steps < n_batches:
        raise ConfigError(
            f"trainer.max_steps={trainer.max_steps} stops before the end of the first epoch, after {n_batches} steps, "
            "when a model is first saved; allow more steps."
        )


def _require_rows(trainer: Trainer, module: InterestModule) -> None:
    """Refuses what an optimiser that lets rows wait cannot do, or what leaves none that could wait."""
    reason = ""
    if trainer.world_size > 1:
        reason = f"each of trainer.devices={trainer.world_size} uses others"
    elif isinstance(module.loss, Softmax):
        reason = "loss=softmax uses all of them at every step"
    elif not all(items.can_wait for items in module.catalogues()):
        reason = "those of model/items=free and content cannot wait"
    elif trainer.gradient_clip_val and trainer.gradient_clip_algorithm == "value":
        reason = "it clips gradients by their norm, not by value"
    if reason:
        raise ConfigError(
            f"optimizer=lazy_adamw updates item vectors only when they are used, and {reason}; choose optimizer=adamw."
        )


def _require_same_run(folder: RunFolder, cfg: DictConfig, fingerprint: str) -> None:
    before = folder.config
    if folder.environment.get("fingerprint") != fingerprint:
        raise RunError(
            f"resume=true: data={cfg.data} is another store, or the store has changed since run {folder.path} began; "
            "give the run's own, or train a new run."
        )
    after = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(after, dict)
    free = {"resume", "test", "trainer", "data"}  # a store has several names; its fingerprint was compared
    changed = [key for key in sorted({*before, *after} - free) if before.get(key) != after.get(key)]
    if changed:
        raise ConfigError(
            f"resume=true: '{changed[0]}' differs from {folder.path / 'config.yaml'}; "
            "give the run's own settings, or train a new run."
        )


def _learn(trainer: Trainer, module: InterestModule, data: SplitDataModule, folder: RunFolder, left: str) -> None:
    """Counts what is to be counted, trains what is left to be trained (all, the rest, nothing), mixes what is mixed."""
    model = module.model
    module.task.fit_statistics(model)
    if model.learns:
        if left == "nothing":
            log.info("This training has ended, by early stopping or by trainer.max_epochs; nothing is left to train.")
        else:
            _fit(trainer, module, data, folder, resume=left == "the rest")
        load_model(model, folder.checkpoint_path("best"))
    if model.calibrates:
        log.info("Calibrating on the validation part.")
        device = trainer.strategy.root_device
        module.to(device).eval()
        model.calibrate(batch.to(device) for batch in data.calibration_batches())


def _is_over(folder: RunFolder, trainer: Trainer) -> bool:
    """Tells whether nothing is left to train: early stopping has ended it, or its epochs are done."""
    last = read_checkpoint(folder.checkpoint("last"))
    if trainer.max_epochs is not None and 0 <= trainer.max_epochs <= last["epoch"] + 1:
        return True
    states = [state for name, state in last["callbacks"].items() if name.startswith("EarlyStopping")]
    # Lightning counts epochs from 0: a run that ended in its first epoch is told from one that goes on by its reason.
    return any(state["stopped_epoch"] > 0 or state.get("stopping_reason_message") for state in states)


def _fit(trainer: Trainer, module: InterestModule, data: SplitDataModule, folder: RunFolder, resume: bool) -> None:
    with warnings.catch_warnings():
        if resume:
            # The run's own checkpoints are in it.
            warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
        trainer.fit(module, data, ckpt_path=str(folder.checkpoint("last")) if resume else None)
    if trainer.interrupted:  # Lightning ends the process itself in most of its versions
        raise KeyboardInterrupt
    if not folder.checkpoint_path("best").is_file():
        raise ConfigError("Training stopped before the first epoch was complete; allow more epochs, steps or time.")


def _result(
    cfg: DictConfig, folder: RunFolder, task: Task[Any, Any], parts: dict[str, Evaluation], train_seconds: float
) -> Result:
    names = list(next(iter(parts.values())).metrics)
    table = Table(
        title=f"{cfg.model.name} on {cfg.data}",
        columns=["part", task.asked, *names, "train s", "eval s"],
        rows=[
            [part, done.n_targets, *(done.metrics[name] for name in names), round(train_seconds, 1), done.eval_seconds]
            for part, done in parts.items()
        ],
    )
    value = parts["valid"].metrics.get(task.objective.monitor)
    return Result(tables=[table], messages=[f"Run folder: {folder.path}"], value=value)
