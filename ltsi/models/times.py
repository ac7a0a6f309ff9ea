"""What networks make of times: gaps between events, the wait for the answer, and interest that fades.

Shape suffixes: B histories, L positions, D width, H heads.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from ltsi.decay.result import FitOptions
from ltsi.decay.return_decay import fit_return_decay
from ltsi.decay.statistics import SECONDS_PER_DAY
from ltsi.histories import Histories
from ltsi.models.rates import AUTO, RateSource
from ltsi.sequences.split import Split

GAP_BUCKETS = 36
"""Buckets that double in width from one second on; the last holds whatever is longer than a thousand years."""

MILD_RATE = 1 / 365
"""Rate per day where the log shows no decay: what is a year old counts a third."""

LEAST_SPREAD = 1e-3
"""Of log-gaps: those that differ by less are alike, but for the rounding of sums, and there is nothing to spread."""

SPREAD = 4.0
"""The heads' rates lie between the log's own divided by this and the log's own times this."""


def gap_bucket(seconds: Tensor) -> Tensor:
    """Returns the bucket of gaps on a scale of powers of two, int64; below one second, and below zero, it is 0."""
    return (seconds.clamp(min=0) + 1).double().log2().long().clamp(max=GAP_BUCKETS - 1)


class GapEmbedding(nn.Module):
    """A vector for the gap to the event before, by its bucket; zero at first, so that unseen gaps change nothing.

    Source: after Li et al. 2020, "Time Interval Aware Self-Attention for Sequential Recommendation" (TiSASRec), which
    embeds the gap between every two events; here one gap an event.

    Args:
        dim: width D.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        # The last row is of the first event, which has none before it.
        self.embedding = nn.Embedding(GAP_BUCKETS + 1, dim)
        nn.init.zeros_(self.embedding.weight)

    def forward(self, time_BL: Tensor) -> Tensor:
        """Embeds the gaps, `(B, L, D)`."""
        bucket_BL = torch.full_like(time_BL, GAP_BUCKETS)
        bucket_BL[:, 1:] = gap_bucket(time_BL.diff(dim=1))
        embedded_BLD: Tensor = self.embedding(bucket_BL)
        return embedded_BLD


class Wait(nn.Module):
    """Lets the answer depend on how long ago the last event was: `(1 + w_c) ∘ state + b_c`, c the bucket of the wait.

    It stands behind an encoder, where no other position looks: `Histories.now_BL` may be read here.

    Source: Beutel et al. 2018, "Latent Cross: Making Use of Context in Recurrent Recommender Systems", eq. 5; with a
    shift beside the scale. Both are zero at first.

    Args:
        dim: width D.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.scale, self.shift = nn.Embedding(GAP_BUCKETS, dim), nn.Embedding(GAP_BUCKETS, dim)
        nn.init.zeros_(self.scale.weight)
        nn.init.zeros_(self.shift.weight)

    def forward(self, state_BLD: Tensor, histories: Histories) -> Tensor:
        """Returns the states as of the times they are asked at, `(B, L, D)`."""
        bucket_BL = gap_bucket(histories.now_BL - histories.time_BL)
        asked_BLD: Tensor = (1 + self.scale(bucket_BL)) * state_BLD + self.shift(bucket_BL)
        return asked_BLD


class LogGap(nn.Module):
    """The logarithm of the gap to the event before, with the mean and the spread of the training part taken out."""

    mean: Tensor
    spread: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(math.log1p(SECONDS_PER_DAY)))
        self.register_buffer("spread", torch.tensor(3.0))

    def fit_statistics(self, split: Split) -> None:
        """Finds mean and spread of the training gaps."""
        count, total, squares = 0, 0.0, 0.0
        for block in split.training_blocks():
            user = block.user()
            log_gap = np.log1p(np.diff(block.time)[user[1:] == user[:-1]].astype(np.float64))
            count, total = count + len(log_gap), total + float(log_gap.sum())
            squares += float(np.square(log_gap).sum())
        if count:
            mean = total / count
            self.mean.fill_(mean)
            spread = max(squares / count - mean**2, 0.0) ** 0.5
            self.spread.fill_(spread if spread > LEAST_SPREAD else 1.0)

    def forward(self, time_BL: Tensor) -> Tensor:
        """Returns the scaled gaps, `(B, L)`; the first event, with none before it, has an average one."""
        gap_BL = torch.zeros_like(time_BL, dtype=torch.float32)
        gap_BL[:, 1:] = self.scaled(time_BL.diff(dim=1))
        return gap_BL

    def scaled(self, seconds: Tensor) -> Tensor:
        """Returns any stretches of time on the scale of the gaps; below zero they are zero."""
        scaled: Tensor = (seconds.clamp(min=0).float().log1p() - self.mean) / self.spread
        return scaled


class DecayBias(RateSource):
    """What is added to attention logits so that weights fade: `−λ_h Δt` multiplies a weight by `exp(−λ_h Δt)`.

    One rate a head, `λ = softplus(θ)` per day. They start around the return decay of the log and learn on.

    Args:
        heads: number of heads H.
        decay: `auto`: they start at the decay of the training part; else the folder of a decay-fit, whose pooled rate
            they start at.
    """

    def __init__(self, heads: int, decay: str = AUTO) -> None:
        super().__init__(decay)
        self.theta_H = nn.Parameter(torch.empty(heads))
        self.start(MILD_RATE)

    @torch.no_grad()
    def start(self, rate_per_day: float) -> None:
        """Spreads the rates of the heads around a rate, in equal ratios; a single head takes the rate itself."""
        heads = len(self.theta_H)
        step_H = torch.linspace(-1, 1, heads, dtype=torch.float64) if heads > 1 else torch.zeros(1, dtype=torch.float64)
        rate_H = rate_per_day * SPREAD**step_H
        # The inverse of softplus, log(exp(rate) − 1), without an overflow.
        self.theta_H.copy_(rate_H + (-(-rate_H).expm1()).log())

    def rate_per_day(self) -> Tensor:
        """Returns the rates `λ_H`."""
        return nn.functional.softplus(self.theta_H)

    def fit_statistics(self, split: Split) -> None:
        """Starts at the return decay of the training part: of an item, pooled over all items; or at what was read.

        Raises:
            DataError: the log has no clock.
        """
        split.store.require_clock("model.decay_bias=true")
        given = self.artefact()
        if given is not None:
            self.start(given.pooled_rate_per_day or MILD_RATE)
            return
        n_items = split.store.n_items
        fit = fit_return_decay(split, np.arange(n_items), [""] * n_items, FitOptions(replicates=0))
        self.start(fit.pooled.rate_per_day or MILD_RATE)

    def forward(self, time_BL: Tensor) -> Tensor:
        """Returns the bias, `(B, H, L, L)`: rows look at columns."""
        days_BLL = (time_BL[:, :, None] - time_BL[:, None, :]).float() / SECONDS_PER_DAY
        return -self.rate_per_day()[:, None, None] * days_BLL[:, None]
