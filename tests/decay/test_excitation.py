"""Four models of the return, on logs drawn from each of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from ltsi.decay.excitation import compare
from ltsi.decay.kernels import EACH, EXPONENTIAL, LAST, POWER
from ltsi.decay.result import FitOptions
from ltsi.decay.visits import Visits
from ltsi.sequences.split import TrainingBlock

DAY = 86_400
GAP = 0.5


@dataclass(frozen=True)
class Drawn:
    """A log of one entity, drawn by thinning (Ogata 1981): rates fall between visits, so the rate now bounds them."""

    kernel: str = EXPONENTIAL
    memory: str = EACH
    shape: float = 0.1
    amount: float = 0.04
    floor: float = 0.004
    users: int = 500
    days: float = 200.0
    spread: float = 0.0

    def block(self, seed: int) -> TrainingBlock:
        generator = np.random.default_rng(seed)
        level = generator.gamma(1 / self.spread, self.spread, self.users) if self.spread else np.ones(self.users)
        user, time = np.arange(self.users), generator.uniform(0, self.days / 2, self.users)
        visits = time[:, None]
        now = time + GAP
        while len(user):
            bound = level[user] * self.rate(now, visits[user])
            then = now + generator.exponential(size=len(user)) / bound
            comes = generator.uniform(size=len(user)) * bound < level[user] * self.rate(then, visits[user])
            comes &= then < self.days
            fresh = np.full(self.users, np.nan)
            fresh[user[comes]] = then[comes]
            if comes.any():
                visits = np.column_stack([visits, fresh])
            kept = then < self.days
            now, user = np.where(comes, then + GAP, then)[kept], user[kept]
        seconds = (np.sort(visits, axis=1) * DAY)[~np.isnan(np.sort(visits, axis=1))].astype(np.int64)
        counts = (~np.isnan(visits)).sum(1)
        return TrainingBlock(
            first_user=0,
            offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            item=np.zeros(len(seconds), dtype=np.int32),
            time=seconds,
            behavior=np.zeros(len(seconds), dtype=np.uint8),
        )

    def rate(self, now: NDArray[np.float64], visits: NDArray[np.float64]) -> NDArray[np.float64]:
        """The rate of users at times `(U,)` after visits `(U, n)`, padded with NaN."""
        age = now[:, None] - visits
        if self.memory == LAST:
            age = np.where(age == np.nanmin(age, axis=1, keepdims=True), age, np.nan)
        trace = np.exp(-self.shape * age) if self.kernel == EXPONENTIAL else age**-self.shape
        found: NDArray[np.float64] = self.floor + self.amount * np.nansum(trace, axis=1)
        return found

    def visits(self, seed: int) -> Visits:
        end = np.full(self.users, int(self.days * DAY), dtype=np.int64)
        return Visits.collect([self.block(seed)], np.zeros(1, dtype=np.int64), 1, end, GAP)


def nobody(stage: str, share: float) -> None:
    """Watches nothing."""
