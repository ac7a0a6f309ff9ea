"""The running average of the weights: what is validated and kept, while learning goes on with the weights."""

from __future__ import annotations

import math
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from ltsi.errors import ConfigError

WARM_UP = 10
"""The average starts short: after `n` steps it keeps (1 + n) / (10 + n) of itself, and `keep` at most."""

STRETCH = 2**20
"""Numbers that change places at a time."""

ROWS = 2**17
"""Rows of a table that are brought up to date at a time."""

LEAST = 1e-30
"""What counts as nothing of the average."""

LEARNING = "learning_weights"
"""What a checkpoint calls the weights that learning goes on with; its `state_dict` holds the average."""


class WeightAverage(Callback):
    """Averages the weights over the steps, as a falling learning rate would, but without knowing when training ends.

    Validation and checkpoints see the average; a resumed run goes on from both.

    Source: Polyak & Juditsky 1992, "Acceleration of Stochastic Approximation by Averaging"; with exponentially falling
    shares and a warm-up as in Tarvainen & Valpola 2017, "Mean teachers are better role models".

    Args:
        keep: share of the average that a step keeps, at least 0 and below 1.

    Raises:
        ConfigError: `keep` is out of its range.
    """

    def __init__(self, keep: float) -> None:
        if not 0 <= keep < 1:
            raise ConfigError(f"weight_average={keep} must be at least 0 (the weights as they are) and below 1.")
        self.keep = keep
        self._average: dict[str, Tensor] = {}
        self._stepping = False
        # Of tables with sparse gradients, whose rows rest between two steps: what is left of the average since training
        # began, as a logarithm, and what it was when a row of the average was last brought up to date.
        self._kept = 0.0
        self._kept_I: dict[str, Tensor] = {}

    def on_fit_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Begins with the weights, unless a checkpoint brought an average."""
        for name, weight in _learned(module).items():
            self._average[name] = self._average.get(name, weight).detach().to(weight.device, copy=True)

    @torch.no_grad()
    def on_before_optimizer_step(self, trainer: Trainer, module: LightningModule, optimizer: Optimizer) -> None:
        """Brings the averages of the rows that are about to move up to date, where gradients are sparse."""
        self._stepping = True
        for name, weight in _learned(module).items():
            if weight.grad is None or not (weight.grad.is_sparse or name in self._kept_I):
                continue
            if name not in self._kept_I:
                started = torch.full((len(weight),), self._kept, dtype=torch.float64, device=weight.device)
                self._kept_I[name] = started
            if weight.grad.is_sparse:
                self._catch_up(name, weight, weight.grad.coalesce().indices()[0])
            else:
                self._catch_up_table(name, weight)

    @torch.no_grad()
    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Takes a step's weights into the average; several batches may make a step together."""
        if not self._stepping:
            return
        self._stepping = False
        step = trainer.global_step
        keep = min(self.keep, (1 + step) / (WARM_UP + step))
        weights = {name: weight for name, weight in _learned(module).items() if name not in self._kept_I}
        torch._foreach_lerp_([self._average[name] for name in weights], list(weights.values()), 1 - keep)
        self._kept += math.log(max(keep, LEAST))

    def on_validation_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Puts the average in the place of the weights."""
        self._catch_up_all(module)
        self._swap(module)

    def on_validation_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Puts the weights back."""
        self._swap(module)

    def on_fit_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Forgets the average: who evaluates later brings the weights."""
        self._average, self._kept_I = {}, {}

    def on_save_checkpoint(self, trainer: Trainer, module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Lets the checkpoint hold the average where a model is looked for, and the weights beside it."""
        self._catch_up_all(module)
        checkpoint[LEARNING] = {name: checkpoint["state_dict"][name] for name in self._average}
        checkpoint["state_dict"] = {**checkpoint["state_dict"], **self._average}

    @torch.no_grad()
    def on_load_checkpoint(self, trainer: Trainer, module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Goes on from a checkpoint: Lightning has put the average into the module."""
        for name, weight in _learned(module).items():
            self._average[name] = weight.detach().clone()
            weight.copy_(checkpoint[LEARNING][name])

    @torch.no_grad()
    def _catch_up_all(self, module: LightningModule) -> None:
        weights = _learned(module)
        for name in self._kept_I:
            self._catch_up_table(name, weights[name])

    def _catch_up_table(self, name: str, weight: Tensor) -> None:
        for row_R in torch.arange(len(weight), device=weight.device).split(ROWS):
            self._catch_up(name, weight, row_R)

    def _catch_up(self, name: str, weight: Tensor, row_R: Tensor) -> None:
        """Takes the steps into the average for which rows have rested: `w + (average − w) · what is left of it`."""
        left_R = (self._kept - self._kept_I[name][row_R]).exp().to(weight.dtype)
        self._average[name][row_R] = torch.lerp(weight[row_R], self._average[name][row_R], left_R[:, None])
        self._kept_I[name][row_R] = self._kept

    @torch.no_grad()
    def _swap(self, module: LightningModule) -> None:
        weights = _learned(module)
        for name, average in self._average.items():
            # Numbers, not tensors: on a GPU recurrent layers keep all their weights in one piece. In stretches: a
            # second copy of millions of vectors may not fit.
            stretches = (values.detach().view(-1).split(STRETCH) for values in (weights[name], average))
            for weight_N, average_N in zip(*stretches, strict=True):
                before_N = weight_N.clone()
                weight_N.copy_(average_N)
                average_N.copy_(before_N)


def _learned(module: LightningModule) -> dict[str, Tensor]:
    return {name: weight for name, weight in module.named_parameters() if weight.requires_grad}
