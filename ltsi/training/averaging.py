"""The running average of the weights: what is validated and kept, while learning goes on with the weights."""

from __future__ import annotations

from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from ltsi.errors import ConfigError

WARM_UP = 10
"""The average starts short: after `n` steps it keeps (1 + n) / (10 + n) of itself, and `keep` at most."""

STRETCH = 2**20
"""Numbers that change places at a time."""

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

    def on_fit_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Begins with the weights, unless a checkpoint brought an average."""
        for name, weight in _learned(module).items():
            self._average[name] = self._average.get(name, weight).detach().to(weight.device, copy=True)

    @torch.no_grad()
    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Takes a step's weights into the average."""
        step = trainer.global_step
        keep = min(self.keep, (1 + step) / (WARM_UP + step))
        weights = [weight.detach() for weight in _learned(module).values()]
        torch._foreach_lerp_(list(self._average.values()), weights, 1 - keep)

    def on_validation_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Puts the average in the place of the weights."""
        self._swap(module)

    def on_validation_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Puts the weights back."""
        self._swap(module)

    def on_fit_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Forgets the average: who evaluates later brings the weights."""
        self._average = {}

    def on_save_checkpoint(self, trainer: Trainer, module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Lets the checkpoint hold the average where a model is looked for, and the weights beside it."""
        checkpoint[LEARNING] = {name: checkpoint["state_dict"][name] for name in self._average}
        checkpoint["state_dict"] = {**checkpoint["state_dict"], **self._average}

    @torch.no_grad()
    def on_load_checkpoint(self, trainer: Trainer, module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Goes on from a checkpoint: Lightning has put the average into the module."""
        for name, weight in _learned(module).items():
            self._average[name] = weight.detach().clone()
            weight.copy_(checkpoint[LEARNING][name])

    @torch.no_grad()
    def _swap(self, module: LightningModule) -> None:
        weights = _learned(module)
        for name, average in self._average.items():
            # Numbers, not tensors: on a GPU recurrent layers keep all their weights in one piece. In stretches: a second
            # copy of millions of vectors may not fit.
            stretches = (values.detach().view(-1).split(STRETCH) for values in (weights[name], average))
            for weight_N, average_N in zip(*stretches, strict=True):
                before_N = weight_N.clone()
                weight_N.copy_(average_N)
                average_N.copy_(before_N)


def _learned(module: LightningModule) -> dict[str, Tensor]:
    return {name: weight for name, weight in module.named_parameters() if weight.requires_grad}
