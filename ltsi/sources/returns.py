"""Visits that follow a known return hazard, exactly: a renewal process per (user, category).

Sampling: the hazard is a sum of two risks, a constant and a fading one, each with a closed-form inverse, so the next
age is the smaller of two draws. The weekly season is put on by thinning (Lewis & Shedler, 1979).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MIN_AGE = 0.5  # days after a visit in which nobody returns: what comes sooner belongs to the same visit
SEASON = np.array([0.92, 0.9, 0.92, 0.96, 1.08, 1.14, 1.08])  # Monday .. Sunday, mean 1
FIRST_WEEKDAY = 6  # the log starts on a Sunday
OPEN_COMPLEMENT = 0.06  # chance that a visit opens the category's complement, if the user does not hold it
SPONTANEOUS = 0.2  # chance that a user takes up any other category at some time


@dataclass(frozen=True)
class ReturnHazard:
    """`h(a) = floor + amplitude · exp(−decay · a)` for `a ≥ MIN_AGE`, per category and day.

    Attributes:
        decay: λ per day, `(categories,)`.
        amplitude: fading hazard at age 0, per day, `(categories,)`.
        floor: hazard that does not fade, per day, `(categories,)`.
    """

    decay: Floats
    amplitude: Floats
    floor: Floats

    @classmethod
    def from_half_life(cls, half_life_days: Floats, excitement: float, floor: float) -> ReturnHazard:
        """Builds a hazard in which a visit sets off `excitement` returns before the interest has faded.

        Args:
            half_life_days: `(categories,)`.
            excitement: integral of the fading part over all ages.
            floor: per day.
        """
        decay = np.log(2) / half_life_days
        return cls(decay, excitement * decay * np.exp(decay * MIN_AGE), np.full_like(decay, floor))

    def next_age(self, category: Ints, age: Floats, speed: float, rng: np.random.Generator) -> Floats:
        """Draws the age of the next return of those who have not returned until `age`.

        Args:
            category: `(N,)`.
            age: days, `(N,)`, at least MIN_AGE.
            speed: factor on the hazard.
            rng: source of randomness.

        Returns:
            Days, `(N,)`, above `age`.
        """
        decay, amplitude = self.decay[category], speed * self.amplitude[category]
        constant = age + rng.standard_exponential(len(age)) / (speed * self.floor[category])
        left = np.exp(-decay * age) - rng.standard_exponential(len(age)) * decay / amplitude
        # Nothing left: the fading risk never strikes.
        fading = np.where(left > 0, -np.log(np.where(left > 0, left, 1.0)) / decay, np.inf)
        smaller: Floats = np.minimum(constant, fading)
        return smaller


@dataclass(frozen=True)
class Visits:
    """Visits, sorted by ordinal: all first visits of a (user, category), then all second ones, ...

    Attributes:
        user: `(V,)`.
        category: `(V,)`.
        ordinal: which visit of the (user, category), from 0, `(V,)`.
        start: seconds since the start of the log, `(V,)`.
        shape: views, carts and buys of the visit, `(V, 3)`.
        span: seconds from the first to the last event, `(V,)`.
    """

    user: Ints
    category: Ints
    ordinal: Ints
    start: Ints
    shape: Ints
    span: Ints

    @property
    def size(self) -> Ints:
        """Events of each visit, `(V,)`."""
        total: Ints = self.shape.sum(axis=1)
        return total


DrawShape = Callable[[int, np.random.Generator], tuple[Ints, Ints]]
"""Draws the shape `(n, 3)` and the span in seconds `(n,)` of `n` visits."""


def simulate_visits(
    users: int, hazard: ReturnHazard, days: float, rng: np.random.Generator, draw_shape: DrawShape
) -> Visits:
    """Simulates the visits of all users to all categories.

    Args:
        users: number of users.
        hazard: of the return, per category.
        days: length of the log.
        rng: source of randomness.
        draw_shape: draws what happens inside visits.
    """
    categories = len(hazard.decay)
    start = _first_visits(users, categories, days, rng)
    pair = np.flatnonzero(start < days)
    time, ordinal = start[pair], np.zeros(users * categories, dtype=np.int64)
    parts: list[tuple[Ints, Ints, Ints, Ints, Ints]] = []
    while len(pair):
        shape, span = draw_shape(len(pair), rng)
        parts.append((pair, ordinal[pair], (time * 86_400).astype(np.int64), shape, span))
        ordinal[pair] += 1
        end = time + span / 86_400
        opened, opened_at = _open_complements(pair, end, start, categories, rng)
        back = _return_time(hazard, pair % categories, end, days, rng)
        pair, time = np.concatenate([pair, opened]), np.concatenate([back, opened_at])
        within = time < days
        pair, time = pair[within], time[within]
    pair, nth, seconds, shape, span = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.argsort(nth, kind="stable")
    pair = pair[order]
    return Visits(pair // categories, pair % categories, nth[order], seconds[order], shape[order], span[order])


def _first_visits(users: int, categories: int, days: float, rng: np.random.Generator) -> Floats:
    """Draws when each user first visits each category, days, `(users * categories,)`; infinite where never.

    A user joins in the first half of the log with two to four categories, and may take up others at any later time.
    """
    join = rng.uniform(0, days / 2, size=(users, 1))
    preference = np.log(1 / (np.arange(categories) + 6)) + rng.gumbel(size=(users, categories))
    rank = np.argsort(np.argsort(-preference, axis=1), axis=1)
    held = rank < rng.integers(2, 5, size=(users, 1))
    soon = join + rng.uniform(0, 14, size=rank.shape)
    soon = np.where(rank == 0, join, soon)
    later = np.where(rng.random(rank.shape) < SPONTANEOUS, join + rng.random(rank.shape) * (days - join), np.inf)
    start: Floats = np.where(held, soon, later).ravel()
    return start


def _open_complements(
    pair: Ints, end: Floats, start: Floats, categories: int, rng: np.random.Generator
) -> tuple[Ints, Floats]:
    """Opens complementary categories at the end of visits; marks them in `start`."""
    user, category = pair // categories, pair % categories
    complement = user * categories + (category + 1) % categories
    chosen = np.flatnonzero((rng.random(len(pair)) < OPEN_COMPLEMENT) & np.isinf(start[complement]))
    opened, where = np.unique(complement[chosen], return_index=True)
    start[opened] = end[chosen[where]] + 1 / 1_440  # a minute later
    return opened, start[opened]


def _return_time(hazard: ReturnHazard, category: Ints, origin: Floats, days: float, rng: np.random.Generator) -> Floats:
    """Draws the time of the next visit, days, `(N,)`; infinite where it lies beyond the end of the log."""
    age = np.full(len(origin), MIN_AGE)
    result = np.full(len(origin), np.inf)
    waiting, peak = np.arange(len(origin)), float(SEASON.max())
    while len(waiting):
        age[waiting] = hazard.next_age(category[waiting], age[waiting], peak, rng)
        time = origin[waiting] + age[waiting]
        weekday = (np.minimum(time, days).astype(np.int64) + FIRST_WEEKDAY) % 7
        accepted = rng.random(len(waiting)) * peak < SEASON[weekday]
        result[waiting[accepted]] = time[accepted]
        waiting = waiting[~accepted & (time < days)]
    return result
