"""Logs with a planted return hazard `floor + amplitude · exp(−rate · age)`, drawn without approximation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from ltsi.decay.estimate import fit_statistics
from ltsi.decay.result import DecayFit, FitOptions
from ltsi.decay.statistics import ReturnStatistics, age_edges, collect
from ltsi.sequences.split import TrainingBlock
from ltsi.store import EncodedEvents, Store, store_path
from ltsi.store_writer import write_store

DAY = 86_400
LN2 = np.log(2)


@dataclass(frozen=True)
class Planted:
    """What is planted for each entity, per day, and for how long it is watched. Item `e` is entity `e`."""

    half_lives: tuple[float, ...]
    amplitude: float = 0.05
    floor: float = 0.004
    users: int = 600
    days: float = 180.0

    def block(self, seed: int) -> TrainingBlock:
        """Draws the log of all users: a renewal process of each user with each entity, from a uniform first visit."""
        generator = np.random.default_rng(seed)
        user, entity = (grid.ravel() for grid in np.indices((self.users, len(self.half_lives))))
        now = generator.uniform(0, self.days, size=len(user))
        found = []
        while len(user):
            found.append((user, entity, now))
            now = now + self._waits(entity, generator)
            kept = now < self.days
            user, entity, now = user[kept], entity[kept], now[kept]
        users, items, times = (np.concatenate(part) for part in zip(*found, strict=True))
        seconds = (times * DAY).astype(np.int64)
        order = np.lexsort((seconds, users))
        return TrainingBlock(
            first_user=0,
            offsets=np.concatenate([[0], np.cumsum(np.bincount(users, minlength=self.users))]).astype(np.int64),
            item=items[order].astype(np.int32),
            time=seconds[order],
            behavior=np.zeros(len(order), dtype=np.uint8),
        )

    def _waits(self, entity: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.float64]:
        """Draws waiting times: the sooner of the constant hazard and of the fading one, which may never strike."""
        rate = LN2 / np.asarray(self.half_lives)[entity]
        used = rate * generator.exponential(size=len(entity)) / self.amplitude
        strikes = used < 1
        fading = np.where(strikes, -np.log1p(-np.where(strikes, used, 0.5)) / rate, np.inf)
        return np.minimum(fading, generator.exponential(size=len(entity)) / max(self.floor, 1e-12))

    def statistics(self, seed: int, gap_days: float = 0.5) -> ReturnStatistics:
        """Collects the statistics of a drawn log."""
        entities = len(self.half_lives)
        end = np.full(self.users, int(self.days * DAY), dtype=np.int64)
        return collect([self.block(seed)], np.arange(entities), entities, end, age_edges(gap_days, self.days))

    def fit(self, seed: int, options: FitOptions | None = None) -> DecayFit:
        """Fits a drawn log."""
        labels = [f"{half_life:g} days" for half_life in self.half_lives]
        return fit_statistics(self.statistics(seed), labels, options or FitOptions(seed=seed))


@pytest.fixture(scope="session")
def planted() -> Callable[..., Planted]:
    """Return the maker of planted logs."""
    return Planted


@pytest.fixture
def make_store() -> Callable[..., Store]:
    """Return a function that writes a store from `(item, days)` events, one list a user."""

    def make(*users: list[tuple[int, float]], clock: bool = True) -> Store:
        item, days = np.array([event for user in users for event in user]).reshape(-1, 2).T
        events = EncodedEvents(
            offsets=np.cumsum([0, *map(len, users)]),
            item=item.astype(np.int32),
            time=(days * DAY).astype(np.int64),
            behavior=np.zeros(len(item), dtype=np.uint8),
        )
        return write_store(
            store_path("log"),
            events,
            items=pl.DataFrame({"item": [str(i) for i in range(int(item.max()) + 1)]}),
            users=pl.DataFrame({"user": [str(u) for u in range(len(users))]}),
            manifest={"time": {"clock": clock}},
        )

    return make
