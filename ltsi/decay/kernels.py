"""How the traces of earlier visits fade, and what they add up to.

A visit that ended at `t_j` leaves a trace `g(t − t_j)`. A kernel gives, for every time at risk, the sum of the traces
at its end and their integral over it, both without approximation:

- exponential, `g(a) = exp(−λ · a)` (Hawkes 1971, "Spectra of some self-exciting and mutually exciting point
  processes"). The sum obeys `S_k = 1 + exp(−λ · (t_k − t_{k−1})) · S_{k−1}` (Ozaki 1979, "Maximum likelihood estimation
  of Hawkes' self-exciting point processes"), which is solved by doubling: windows of 1, 2, 4, ... visits are joined, so
  that a long history costs a few passes over arrays and not a step for each visit.
- power, `g(a) = a^−d`, age in days (Anderson & Schooler 1991, "Reflections of the environment in memory"). The sum of
  it over all visits is `exp(B)` for the base level `B = ln Σ a_j^−d` of ACT-R (Anderson et al. 2004, "An integrated
  theory of the mind"). It obeys no recursion: all pairs of visits of a history are summed, in blocks.

Nobody is at risk before the session gap has passed, so that no age is 0.

Letters of the shapes: `V` visits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ltsi.decay.forms import EXPONENT, RATE, Floats, rate_bounds
from ltsi.decay.statistics import age_edges
from ltsi.decay.visits import Visits

EXPONENTIAL, POWER = "exponential", "power"
LAST, EACH = "last", "each"

BLOCK = 1 << 20
"""Pairs of visits that are looked at together. A single visit with more visits before it is a block of its own."""

KEPT_BLOCKS = 4
"""Up to this many blocks stay in memory between evaluations, 24 bytes a pair of visits."""

_EXPONENTS = (1e-3, 6.0)
_NEAR_ONE = 1e-8


class Kernel(Protocol):
    """The sum of traces as a function of the parameter that says how fast they fade."""

    @property
    def parameter(self) -> str:
        """Name of the parameter."""
        ...

    @property
    def bounds(self) -> tuple[float, float]:
        """Slowest and fastest fall that the log can show."""
        ...

    def sums(self, shape: float) -> tuple[Floats, Floats]:
        """Returns the traces at the end of every time at risk and their integral over it in days, each `(V,)`."""
        ...

    def reach(self, shape: float) -> float:
        """Returns the integral in days of a single trace over all ages."""
        ...


class ExponentialKernel:
    """See `Kernel`; `reach` goes on for ever.

    Args:
        visits: the visits.
        memory: whether every visit leaves a trace of its own (`EACH`) or only the last one (`LAST`).
    """

    parameter = RATE

    def __init__(self, visits: Visits, memory: str) -> None:
        self.visits = visits
        deepest = int(visits.position.max(initial=0)) if memory == EACH else 0
        # Visits with at least 1, 2, 4, ... visits before them.
        steps = [1 << power for power in range(deepest.bit_length())]
        self._rows = [(step, np.flatnonzero(visits.position >= step)) for step in steps]
        self.bounds = rate_bounds(age_edges(visits.gap_days, max(visits.longest_days, 2 * visits.gap_days)))

    def sums(self, shape: float) -> tuple[Floats, Floats]:
        """See `Kernel.sums`."""
        end, length, gap = self.visits.end, self.visits.length, self.visits.gap_days
        traces = np.ones(len(end))
        for step, rows in self._rows:
            before = rows - step
            traces[rows] += np.exp(-shape * (end[rows] - end[before])) * traces[before]
        integral = traces * np.exp(-shape * gap) * -np.expm1(-shape * (length - gap)) / shape
        return traces * np.exp(-shape * length), integral

    def reach(self, shape: float) -> float:
        """See `Kernel.reach`."""
        return float(np.exp(-shape * self.visits.gap_days)) / shape


@dataclass(frozen=True)
class _Block:
    """Pairs of visits, those with the same later visit side by side.

    Attributes:
        first: the first later visit.
        last: one after the last.
        starts: `(last − first,)`, where the pairs of each begin.
        log_young: logarithm of the age in days at which the later visit's time at risk starts.
        log_ratio: logarithm of the age at which it ends, over that at which it starts.
        log_old: logarithm of the age at which it ends.
    """

    first: int
    last: int
    starts: np.ndarray[tuple[int], np.dtype[np.int64]]
    log_young: Floats
    log_ratio: Floats
    log_old: Floats


class PowerKernel:
    """See `Kernel`; `reach` ends with the longest age in the log, because the integral has no limit for `d ≤ 1`.

    Args:
        visits: the visits.
        memory: whether every visit leaves a trace of its own (`EACH`) or only the last one (`LAST`).
    """

    parameter = EXPONENT
    bounds = _EXPONENTS

    def __init__(self, visits: Visits, memory: str) -> None:
        self.visits = visits
        count = visits.position + 1 if memory == EACH else np.ones_like(visits.position)
        self._count, self._until = count, np.cumsum(count)
        total = int(count.sum())
        self._kept = list(self._build()) if total <= KEPT_BLOCKS * BLOCK else None

    def sums(self, shape: float) -> tuple[Floats, Floats]:
        """See `Kernel.sums`."""
        at_end, integral = (np.empty(len(self._count)) for _ in range(2))
        for block in self._build() if self._kept is None else self._kept:
            rows, left = slice(block.first, block.last), 1.0 - shape
            young = np.exp(left * block.log_young)
            grown = left * block.log_ratio
            # The integral of a^−d is a logarithm at d = 1, and next to it a difference of near equals.
            spent = np.expm1(grown) / left if abs(left) > _NEAR_ONE else block.log_ratio * (1 + grown / 2)
            integral[rows] = np.add.reduceat(young * spent, block.starts)
            at_end[rows] = np.add.reduceat(np.exp(-shape * block.log_old), block.starts)
        return at_end, integral

    def reach(self, shape: float) -> float:
        """See `Kernel.reach`."""
        young, left = np.log(self.visits.gap_days), 1.0 - shape
        log_ratio = np.log(max(self.visits.longest_days / self.visits.gap_days, 1.0))
        if abs(left) <= _NEAR_ONE:
            return float(log_ratio)
        return float(np.exp(left * young) * np.expm1(left * log_ratio) / left)

    def _build(self) -> Iterator[_Block]:
        end, length, gap = self.visits.end, self.visits.length, self.visits.gap_days
        first = 0
        while first < len(end):
            before = self._until[first] - self._count[first]
            last = max(int(np.searchsorted(self._until, before + BLOCK, side="right")), first + 1)
            count = self._count[first:last]
            starts = np.cumsum(count) - count
            later = np.repeat(np.arange(first, last), count)
            lag = end[later] - end[later - (np.arange(len(later)) - np.repeat(starts, count))]
            young, old = np.log(lag + gap), np.log(lag + length[later])
            yield _Block(first, last, starts, young, old - young, old)
            first = last


KERNELS: dict[str, type[ExponentialKernel] | type[PowerKernel]] = {
    EXPONENTIAL: ExponentialKernel,
    POWER: PowerKernel,
}
