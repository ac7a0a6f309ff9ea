"""The single LightningModule: any model, any loss, any optimiser."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.plugins.precision import MixedPrecision, Precision
from pytorch_lightning.utilities.enums import GradClipAlgorithmType
from torch import Tensor
from torch.optim import Optimizer

from ltsi.errors import ConfigError
from ltsi.models.click import ClickModel
from ltsi.models.forecaster import Forecaster
from ltsi.models.interest import InterestModel
from ltsi.models.items import Items
from ltsi.objectives.objective import Task
from ltsi.training.lazy_adamw import LazyAdamW


class InterestModule(LightningModule):
    """Trains a model for a task and answers with it, on any number of devices.

    Args:
        task: an objective on a split: how a batch becomes a loss, and a part becomes metrics.
        model: the model, made for the task.
        loss: what gradients lower.
        optimizer: makes an optimiser of parameters.
        metrics: metrics to log on the validation part; the objective's monitor is added.
        seed: with epoch and device, fixes dropout; so a resumed run equals an uninterrupted one.

    Raises:
        ConfigError: there is no such metric, or metric or loss are none for the objective.
    """

    def __init__(
        self,
        task: Task[Any, Any],
        model: InterestModel | ClickModel | Forecaster,
        loss: Any,
        optimizer: Callable[[Iterable[torch.nn.Parameter]], Optimizer],
        metrics: Sequence[str],
        seed: int,
    ) -> None:
        super().__init__()
        task.check_loss(loss)
        self.task, self.model, self.loss, self.make_optimizer, self.seed = task, model, loss, optimizer, seed
        self.metrics = task.objective.monitored(task.objective.checked_metrics(metrics))
        self.answered: dict[str, NDArray[Any]] = {}
        self._parts: list[dict[str, Tensor]] = []
        self._lazy: LazyAdamW | None = None

    def catalogues(self) -> Iterator[Items]:
        """Returns what the model has of items as vectors."""
        return (each for each in self.model.modules() if isinstance(each, Items))

    def configure_optimizers(self) -> Optimizer:
        """Hands the trainable parameters to the optimiser.

        Raises:
            ConfigError: the optimiser refuses its settings.
        """
        try:
            optimizer = self.make_optimizer(each for each in self.model.parameters() if each.requires_grad)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"The optimizer cannot be built: {error}.") from error
        self._lazy = optimizer if isinstance(optimizer, LazyAdamW) else None
        if self._lazy is not None:
            for items in self.catalogues():
                items.wait_for(partial(self._lazy.settle, items.embedding.weight))
        return optimizer

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clips gradients; in bfloat16 too, where nothing is scaled and Lightning still refuses fused optimisers."""
        if self._lazy is not None:
            self._lazy.clip(gradient_clip_val or 0.0)
            return
        plugin = self.trainer.precision_plugin
        if isinstance(plugin, MixedPrecision) and plugin.scaler is None:
            algorithm = GradClipAlgorithmType(gradient_clip_algorithm or "norm")
            Precision.clip_gradients(plugin, optimizer, gradient_clip_val or 0.0, algorithm)
            return
        self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def on_train_epoch_start(self) -> None:
        """Seeds dropout."""
        torch.manual_seed((self.seed * 100_003 + self.current_epoch) * 1_009 + self.global_rank)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Returns the loss of this device's part of the batch."""
        loss = self.task.loss(self.model, batch, self.loss)
        # Devices average gradients; the parts of the batch must add up.
        return loss * self.trainer.world_size

    def on_validation_start(self) -> None:
        """Brings the vectors of all items up to date, before the average takes their place."""
        if self._lazy is not None:
            self._lazy.settle_all()

    def on_fit_end(self) -> None:
        """Lets go of the optimiser: what is read from a checkpoint later waits for nothing."""
        self._lazy = None
        for items in self.catalogues():
            items.wait_for(None)

    def on_validation_epoch_start(self) -> None:
        """Lets go of the gradients of the last step: of a large catalogue they take as much room as the weights."""
        if self.trainer.accumulate_grad_batches == 1:
            self.zero_grad()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Answers a batch."""
        self._parts.append(self.task.answers(self.model, batch))

    def test_step(self, batch: Any, batch_idx: int) -> None:
        """Answers a batch."""
        self._parts.append(self.task.answers(self.model, batch))

    def on_validation_epoch_end(self) -> None:
        """Brings the answers of all devices together and logs the metrics."""
        self._gather()
        # All devices hold the same numbers already; Lightning warns unless it is told to bring them together.
        self.log_dict(self.task.summary(self.answered, self.metrics), batch_size=1, sync_dist=True)

    def on_test_epoch_end(self) -> None:
        """Brings the answers of all devices together."""
        self._gather()

    def _gather(self) -> None:
        """Fills `answered`: columns `(N,)` in the order of the part, the same on every device."""
        mine = {
            name: torch.cat([part[name] for part in self._parts]).cpu().numpy()
            for name in (self._parts[0] if self._parts else {})
        }
        self._parts = []
        everybody: list[dict[str, NDArray[Any]]] = [mine]
        if self.trainer.world_size > 1:
            everybody = [{} for _ in range(self.trainer.world_size)]
            torch.distributed.all_gather_object(everybody, mine)
        columns = {
            name: np.concatenate([part[name] for part in everybody if part])
            for name in next(part for part in everybody if part)
        }
        order = np.argsort(columns["index"], kind="stable")
        self.answered = {name: column[order] for name, column in columns.items()}


def require_clipping(trainer: Trainer, optimizer: Optimizer) -> None:
    """Refuses an optimiser that undoes the scaling of gradients by itself, which is too late to clip them.

    Raises:
        ConfigError: it is such a one.
    """
    plugin = trainer.precision_plugin
    scaled = isinstance(plugin, MixedPrecision) and plugin.scaler is not None
    if scaled and trainer.gradient_clip_val and optimizer.defaults.get("fused"):
        raise ConfigError(
            f"trainer.precision={plugin.precision} scales gradients, and a fused optimizer cannot clip them; set "
            "optimizer.fused=false, or trainer.precision=bf16-mixed."
        )
