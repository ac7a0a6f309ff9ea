"""What everybody takes these days: popularity that fades as exp(−λt), seen from the "now" of each question.

Shape suffixes: B histories, I items, P steps of time, E (step, item) pairs with an event.
Source: Ji et al. 2020, "A Re-visit of the Popularity Baseline in Recommender Systems" (DecayPop); here the decay is
`I(t) = I0 · exp(−λt)`.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ltsi.decay.statistics import SECONDS_PER_DAY
from ltsi.errors import ConfigError
from ltsi.histories import Histories
from ltsi.models.interest import InterestModel
from ltsi.models.popularity import count_items
from ltsi.sequences.split import Split

STEPS_PER_HALF_LIFE = 4
REMEMBERED_HALF_LIVES = 16
"""Older events weigh less than a 65,536th of a new one; the prior holds them anyway."""


class Trend(InterestModel):
    """`p(i) ∝ Σ_j 0.5^(age_j / half-life) · 1(i = i_j) + prior · count(i)`, over all training events j before now.

    Time is cut into steps of a quarter of the half-life; events of the step of "now" itself are not counted, be they
    before it or after it. In a log without a clock no event is older than another: this is popularity.

    Args:
        n_items: size of the catalogue.
        half_life: days in which the weight of an event halves.
        prior: weight of an event of any time, so that what has gone quiet is not impossible.

    Raises:
        ConfigError: `half_life` or `prior` is not above zero.
    """

    count_I: Tensor
    offset_P: Tensor
    item_E: Tensor
    count_E: Tensor
    start: Tensor

    def __init__(self, n_items: int, half_life: float = 30.0, prior: float = 0.02) -> None:
        super().__init__()
        for key, value in (("half_life", half_life), ("prior", prior)):
            if not value > 0:
                raise ConfigError(f"model.{key}={value} must be above 0.")
        self.n_items, self.prior = n_items, prior
        self.step_seconds = max(1, round(half_life * SECONDS_PER_DAY / STEPS_PER_HALF_LIFE))
        self.left_after_step = 0.5 ** (1 / STEPS_PER_HALF_LIFE)
        self.register_buffer("count_I", torch.ones(n_items))
        self.register_buffer("offset_P", torch.zeros(1, dtype=torch.int64))
        self.register_buffer("item_E", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("count_E", torch.zeros(0))
        self.register_buffer("start", torch.tensor(0))

    def fit_statistics(self, split: Split) -> None:
        """Counts the training events of each item in each step of time."""
        device, store = self.count_I.device, split.store
        self.count_I = count_items(split).to(device)
        if not store.has_clock:
            return
        start = min((int(block.time.min()) for block in split.training_blocks() if len(block.time)), default=0)
        cell: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        count: NDArray[np.float64] = np.empty(0)
        for block in split.training_blocks():
            step = (block.time - start) // self.step_seconds
            cell = np.concatenate([cell, step * self.n_items + block.item])
            count = np.concatenate([count, store.behavior_weight[block.behavior]])
            cell, where = np.unique(cell, return_inverse=True)
            count = np.bincount(where, count, minlength=len(cell)).astype(np.float64)
        step, item = np.divmod(cell, self.n_items)
        n_steps = int(step[-1]) + 1 if len(step) else 0
        self.offset_P = torch.from_numpy(np.searchsorted(step, np.arange(n_steps + 1)).astype(np.int64)).to(device)
        self.item_E = torch.from_numpy(item).to(device)
        self.count_E = torch.from_numpy(count.astype(np.float32)).to(device)
        self.start = torch.tensor(start, device=device)

    def recent(self, now_B: Tensor) -> Tensor:
        """Returns what is left of all events before each now, `(B, I)`."""
        n_steps = len(self.offset_P) - 1
        recent_BI = self.count_I.new_zeros(len(now_B), self.n_items)
        if n_steps < 1:
            return recent_BI
        step_B = ((now_B - self.start) // self.step_seconds).clamp(min=0)
        # A now beyond the last step sees what was left at the end, faded for the steps between.
        asked_B = step_B.clamp(max=n_steps)
        faded_B = self.left_after_step ** (step_B - asked_B).float()
        asked, offsets = set(asked_B.tolist()), self.offset_P.tolist()
        first = max(0, min(asked) - STEPS_PER_HALF_LIFE * REMEMBERED_HALF_LIVES)
        left_I = self.count_I.new_zeros(self.n_items)
        for step in range(first, max(asked) + 1):
            if step in asked:
                recent_BI[asked_B == step] = left_I
            if step < n_steps:
                pairs = slice(offsets[step], offsets[step + 1])
                left_I.index_add_(0, self.item_E[pairs], self.count_E[pairs]).mul_(self.left_after_step)
        return recent_BI.mul_(faded_B[:, None])

    def evidence(self, score_BI: Tensor, mass_B: Tensor) -> Tensor:  # noqa: ARG002 - scores say nothing here
        """Returns zeros, `(B,)`: what is left goes by the clock alone, the same for everybody who asks at a time.

        A gate that learned from it on held-out events would meet values it has never seen in all questions after them.
        """
        return torch.zeros_like(mass_B)

    def forward(self, histories: Histories) -> Tensor:
        """Scores the catalogue; see `InterestModel.forward`."""
        # The item nobody has taken in training keeps a probability of zero, as in popularity.
        return self.recent(histories.now_B).add_(self.count_I, alpha=self.prior).log_()
