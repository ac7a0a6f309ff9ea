"""Logs with a planted return hazard `floor + amplitude · exp(−rate · age)`, drawn without approximation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ltsi.sequences.split import TrainingBlock

DAY = 86_400


@dataclass(frozen=True)
class Planted:
    """What is planted for each entity, per day, and how it is watched."""

    rates: tuple[float, ...]
    amplitude: float = 0.5
    floor: float = 0.02
    users: int = 1000
    days: float = 120.0

    def waits(self, entity: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.float64]:
        """Draws waiting times in days: the sooner of the fading and of the constant hazard."""
        rate = np.asarray(self.rates)[entity]
        used = rate * generator.exponential(size=len(entity)) / self.amplitude
        with np.errstate(divide="ignore"):
            fading = np.where(used < 1, -np.log1p(-np.minimum(used, 1)) / rate, np.inf)
            constant = generator.exponential(size=len(entity)) / self.floor if self.floor else np.inf
        return np.minimum(fading, constant)

    def block(self, seed: int) -> TrainingBlock:
        """Draws the log of all users: item `e` is entity `e`, watched from day 0 to `days`."""
        generator = np.random.default_rng(seed)
        user, entity = (grid.ravel() for grid in np.indices((self.users, len(self.rates))))
        now = generator.uniform(0, self.days, size=len(user))
        found = []
        while len(user):
            found.append((user, entity, now))
            now = now + self.waits(entity, generator)
            kept = now < self.days
            user, entity, now = user[kept], entity[kept], now[kept]
        users, items, times = (np.concatenate(part) for part in zip(*found))
        seconds = (times * DAY).astype(np.int64)
        order = np.lexsort((seconds, users))
        return TrainingBlock(
            first_user=0,
            offsets=np.concatenate([[0], np.cumsum(np.bincount(users, minlength=self.users))]).astype(np.int64),
            item=items[order].astype(np.int32),
            time=seconds[order],
            behavior=np.zeros(len(order), dtype=np.uint8),
        )
