"""Intensity series with a known truth, and series written down by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ltsi.entities import Entities
from ltsi.intensity.series import DAY, Bins, IntensitySeries
from ltsi.store import Store

WEEK = 7 * DAY
WEEKS = 110
PEAK = 30.0
"""Events a week at the peak of an interest: the default noise, which is Poisson."""

BACKGROUND = 0.05
"""Events a week of an interest that is not there."""

MakeSeries = Callable[..., IntensitySeries]


@dataclass(frozen=True)
class Planted:
    """A rate by week, and what is true of it; -1 is never.

    Attributes:
        rate_T: events a week.
        turn: week of the peak.
        revived: week in which it came back after silence.
    """

    rate_T: NDArray[np.floating]
    turn: int = -1
    revived: int = -1


def _fading(random: np.random.Generator, peak: float) -> Planted:
    week, turn = np.arange(WEEKS), int(random.integers(8, WEEKS - 8))
    doubling, half_life = random.uniform(1.5, 4), random.uniform(1.5, 5)
    away = np.where(week < turn, (turn - week) / doubling, (week - turn) / half_life)
    return Planted(BACKGROUND + peak * 0.5**away, turn=turn)


def _revived(random: np.random.Generator, peak: float) -> Planted:
    week, start = np.arange(WEEKS), random.integers(3, 8)
    end = start + random.integers(6, 14)
    back = int(end + random.integers(12, 22))
    stop = back + random.integers(4, 12)
    active = ((week >= start) & (week < end)) | ((week >= back) & (week < stop))
    return Planted(BACKGROUND + peak / 3 * active, revived=back)


def _yearly(random: np.random.Generator, peak: float) -> Planted:
    phase = (np.arange(WEEKS) - random.integers(0, 40)) % 52
    return Planted(BACKGROUND + peak / 3 * (phase < 5))


def _strays(random: np.random.Generator, peak: float) -> Planted:
    week, start = np.arange(WEEKS), random.integers(3, 8)
    end = start + random.integers(6, 14)
    return Planted(np.where((week >= start) & (week < end), peak / 3, 3 * BACKGROUND))


def _steady(random: np.random.Generator, peak: float) -> Planted:
    return Planted(np.full(WEEKS, random.choice([0.3, 1.0, 3.0, 10.0])))


def _rising(random: np.random.Generator, peak: float) -> Planted:
    return Planted(BACKGROUND + peak * 0.5 ** ((WEEKS - np.arange(WEEKS)) / random.uniform(4, 10)))


KINDS = {
    "fading": _fading, "revived": _revived, "yearly": _yearly, "strays": _strays, "steady": _steady, "rising": _rising,
}  # fmt: skip


@pytest.fixture(scope="session")
def make_series() -> MakeSeries:
    """Return a function that makes series of one entity, one user each, from rows of counts of events of a weight."""

    def make(
        rows: Sequence[Sequence[float]] | NDArray[np.float64], unit: str = "week", weight: float = 1.0
    ) -> IntensitySeries:
        x_ST = np.asarray(rows, dtype=np.float64)
        row, index = np.nonzero(x_ST)
        n, bins = x_ST.shape
        seconds = DAY if unit == "day" else WEEK
        # 2020-01-06 was a Monday.
        return IntensitySeries(
            Bins(unit, 1_578_268_800 + bins * seconds, bins),
            Entities("all", np.zeros(1, dtype=np.int32), ["any event"]),
            user_S=np.arange(n),
            entity_S=np.zeros(n, dtype=np.int64),
            offsets=np.append(0, np.cumsum((x_ST > 0).sum(axis=1))),
            bin_M=index,
            value_M=weight * x_ST[row, index],
            weight_E=np.array([weight]),
        )

    return make


@pytest.fixture(scope="session")
def plant() -> Callable[..., tuple[list[Planted], NDArray[np.float64]]]:
    """Return a function that plants interests of a kind and draws their counts."""

    def draw(kind: str, n: int, seed: int, peak: float = PEAK) -> tuple[list[Planted], NDArray[np.float64]]:
        random = np.random.default_rng([seed, sorted(KINDS).index(kind)])
        truth = [KINDS[kind](random, peak * float(np.exp(random.normal(0, 0.3)))) for _ in range(n)]
        return truth, random.poisson(np.stack([one.rate_T for one in truth])).astype(np.float64)

    return draw


@pytest.fixture
def make_log(make_store: Callable[..., Store]) -> Callable[..., Store]:
    """Return a function that writes a store from `(item, days)` events, one list a user; users are "0", "1", ..."""

    def make(*users: Sequence[tuple[int, float]], **settings: object) -> Store:
        return make_store(*[[(item, round(days * DAY)) for item, days in user] for user in users], **settings)

    return make


@pytest.fixture
def random_log() -> Callable[[int], Store]:
    """Return a function that draws a log of 15 users with three behaviours over some weeks."""

    def draw(seed: int) -> Store:
        random = np.random.default_rng(seed)
        offsets = np.concatenate([[0], np.cumsum(random.integers(0, 40, 15))])
        n = int(offsets[-1])
        return Store(
            path=Path("log"),
            manifest={"behaviors": ["view", "cart", "buy"], "counts": {"items": 8}, "time": {"clock": True}},
            offsets=offsets,
            item=random.integers(0, 8, n).astype(np.int32),
            time=np.concatenate([np.sort(random.integers(0, 40 * DAY, k)) for k in np.diff(offsets)]),
            behavior=random.integers(0, 3, n).astype(np.uint8),
        )

    return draw
