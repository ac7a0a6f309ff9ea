"""Intensity series: weighted counts of what a user did with an entity, per day or week.

Shape suffixes: S series (a user with an entity), M cells that are not zero, T bins, E entities.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ltsi.entities import Entities
from ltsi.errors import ConfigError, DataError
from ltsi.moments import as_date
from ltsi.sequences.rows import ragged
from ltsi.store import Store, user_blocks

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DAY = 86_400
WIDTHS = {"day": DAY, "week": 7 * DAY}
"""Seconds of a bin."""

MAX_BINS = 2_000
"""Finding changes costs the square of the number of bins."""

HEAVIEST = 1e6
"""Weights beyond this, or below its inverse, are a slip of the pen; squares of sums of far larger ones overflow."""


@dataclass(frozen=True)
class Bins:
    """Days or weeks that end at a moment, so that the last one is whole.

    Attributes:
        unit: `day` or `week`.
        now: seconds since epoch; bins end here.
        count: how many there are.
    """

    unit: str
    now: int
    count: int

    @property
    def seconds(self) -> int:
        """Seconds of a bin."""
        return WIDTHS[self.unit]

    @property
    def start(self) -> int:
        """Where the first bin starts, seconds since epoch."""
        return self.now - self.count * self.seconds

    def of(self, seconds: NDArray[np.int64]) -> Ints:
        """Returns the bin of each moment; those before the first and after the last have numbers, too."""
        return (seconds - self.start) // self.seconds

    def moment(self, index: NDArray[np.int64]) -> Ints:
        """Returns when bins start, seconds since epoch."""
        return self.start + index * self.seconds


@dataclass(frozen=True)
class IntensitySeries:
    """The series of all users and entities between which anything happened; what is not stored is zero.

    Attributes:
        bins: what a position of a series is.
        entities: what interest is in.
        user_S: int64, user index; series are sorted by user, then entity.
        entity_S: int64, entity.
        offsets: int64 `(S + 1,)`; the cells of series s are `offsets[s]:offsets[s + 1]`.
        bin_M: int64, sorted inside a series.
        value_M: float64, above 0.
        least_active: active bins that every series is here for; who learns from a place before that, learns from
            series that were chosen for what came later.
        weight_E: what an event of each entity counts, on average over what they count: `Σ w² / Σ w`, the variance of
            weighted Poisson counts over their mean. `(E,)`, or `(1,)` where it is the same for all.
        first_S: int64, bin in which the user's first event with the entity lies.
    """

    bins: Bins
    entities: Entities
    user_S: Ints
    entity_S: Ints
    offsets: Ints
    bin_M: Ints
    value_M: Floats
    least_active: int = 1
    weight_E: Floats = field(default_factory=lambda: np.ones(1))

    def __len__(self) -> int:
        return len(self.user_S)

    @property
    def first_S(self) -> Ints:
        """Bin of the first event of each series, int64 `(S,)`."""
        return self.bin_M[self.offsets[:-1]]

    @property
    def unit_S(self) -> Floats:
        """What an event of each series counts, `(S,)`; see `weight_E`."""
        return np.broadcast_to(self.weight_E, len(self.entities.labels))[self.entity_S]

    @property
    def chosen_S(self) -> Ints:
        """Bin in which each series becomes as active as it had to be, int64 `(S,)`; past the last bin if in none."""
        nth_S = self.offsets[:-1] + self.least_active - 1
        enough_S = nth_S < self.offsets[1:]
        return np.where(enough_S, self.bin_M[np.where(enough_S, nth_S, 0)], self.bins.count)

    def dense(self, first: int, last: int) -> Floats:
        """Returns series `first:last` with their zeros, `(last - first, T)`."""
        return self.rows(np.arange(first, last))

    def rows(self, index: Ints) -> Floats:
        """Returns some series with their zeros, `(len(index), T)`."""
        row, cell = ragged(self.offsets[index], self.offsets[index + 1])
        x = np.zeros((len(index), self.bins.count))
        x[row, self.bin_M[cell]] = self.value_M[cell]
        return x

    def blocks(self, max_cells: int = 2_000_000) -> Iterator[tuple[int, int]]:
        """Cuts the series into consecutive blocks that fit in memory with their zeros.

        Yields:
            First and one-past-last series of each block.
        """
        step = max(1, max_cells // max(self.bins.count, 1))
        for first in range(0, len(self), step):
            yield first, min(first + step, len(self))

    def select(self, kept_S: NDArray[np.bool_]) -> IntensitySeries:
        """Returns some of the series."""
        length_S = np.diff(self.offsets)
        kept_M = np.repeat(kept_S, length_S)
        offsets = np.concatenate([[0], np.cumsum(length_S[kept_S])]).astype(np.int64)
        return replace(
            self,
            user_S=self.user_S[kept_S],
            entity_S=self.entity_S[kept_S],
            offsets=offsets,
            bin_M=self.bin_M[kept_M],
            value_M=self.value_M[kept_M],
        )

    @cached_property
    def level_T(self) -> Floats:
        """`log(1 + x)` on average over the series that have begun, `(T,)`."""
        begun_T = np.cumsum(np.bincount(self.first_S, minlength=self.bins.count))
        sum_T = np.bincount(self.bin_M, weights=np.log1p(self.value_M), minlength=self.bins.count)
        return np.asarray(sum_T / np.maximum(begun_T, 1))

    @property
    def total_T(self) -> Floats:
        """Everything that happened in each bin, `(T,)`."""
        return np.bincount(self.bin_M, weights=self.value_M, minlength=self.bins.count).astype(np.float64)


def intensity_series(
    store: Store,
    entity: str = "auto",
    *,
    unit: str = "week",
    now: int | None = None,
    weights: Mapping[str, float] | None = None,
    anchor: int | None = None,
) -> IntensitySeries:
    """Counts a store into series, in one pass over its events.

    Args:
        store: has a clock.
        entity: see `Entities.of`.
        unit: `day` or `week`.
        now: seconds since epoch, what happens at it or later is left out; None: the end of the log.
        weights: what an event counts, by its behaviour; None: what the store declares, else 1. Behaviours that are not
            named count 0.
        anchor: a moment at which bins begin and end; None: `now`. If it is not `now`, what happens after the last whole
            bin is left out.

    Raises:
        DataError: the log has no clock, events of the future, or nothing before `now`.
        ConfigError: a unit, a weight or a behaviour that means nothing, or a log of too many bins.
    """
    store.require_clock("An intensity series")
    entities = Entities.of(store, entity)
    weight_K = behavior_weights(store, weights)
    bins = _bins(store, unit, now, anchor)
    parts: list[tuple[Ints, Floats]] = []
    n_entities = len(entities.labels)
    moments_2E = np.zeros((2, n_entities))
    for first, last in user_blocks(store.offsets):
        rows = slice(store.offsets[first], store.offsets[last])
        user = np.repeat(np.arange(first, last), np.diff(store.offsets[first : last + 1]))
        index, value = bins.of(store.time[rows]), weight_K[store.behavior[rows]]
        kept = (index >= 0) & (index < bins.count) & (value > 0)
        value, code = value[kept], entities.code_I[store.item[rows][kept]]
        moments_2E[0] += np.bincount(code, weights=value, minlength=n_entities)
        moments_2E[1] += np.bincount(code, weights=value**2, minlength=n_entities)
        series = user[kept] * n_entities + code
        key, place = np.unique(series * bins.count + index[kept], return_inverse=True)
        parts.append((key, np.bincount(place, weights=value, minlength=len(key)).astype(np.float64)))
    key_M, value_M = (np.concatenate(column) for column in zip(*parts, strict=True))
    if not len(key_M):
        raise DataError(
            f"Store '{store.name}' has no event before {as_date(bins.now, 'm')} that counts; give a later now."
        )
    series_M, bin_M = np.divmod(key_M, bins.count)
    series_S, begin_S = np.unique(series_M, return_index=True)
    offsets = np.append(begin_S, len(key_M)).astype(np.int64)
    user_S, entity_S = np.divmod(series_S, n_entities)
    # An entity without events is as all are.
    sum_E, square_E = np.where(moments_2E[0] > 0, moments_2E, moments_2E.sum(axis=1, keepdims=True))
    return IntensitySeries(bins, entities, user_S, entity_S, offsets, bin_M, value_M, weight_E=square_E / sum_E)


def behavior_weights(store: Store, weights: Mapping[str, float] | None) -> Floats:
    """Returns what an event counts by its behaviour, `(behaviors,)`.

    Raises:
        ConfigError: a weight is negative or no number, none is above 0, or there is no such behaviour.
    """
    if weights is None:
        return store.behavior_weight
    for name, weight in weights.items():
        if name not in store.behaviors:
            known = ", ".join(store.behaviors)
            raise ConfigError(f"weights names '{name}', and store '{store.name}' has the behaviours: {known}.")
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 <= weight < np.inf:
            raise ConfigError(f"weights.{name}={weight} must be a number from 0: interest has no negative strength.")
        if weight and not 1 / HEAVIEST <= weight <= HEAVIEST:
            raise ConfigError(f"weights.{name}={weight} must be 0 or from {1 / HEAVIEST:g} to {HEAVIEST:g}.")
    weight_K = np.array([float(weights.get(name, 0.0)) for name in store.behaviors])
    if not weight_K.any():
        raise ConfigError("weights must give some behaviour more than 0; with these nothing counts.")
    return weight_K


def _bins(store: Store, unit: str, now: int | None, anchor: int | None) -> Bins:
    if unit not in WIDTHS:
        raise ConfigError(f"bin={unit} must be one of: {', '.join(WIDTHS)}.")
    blocks = [slice(store.offsets[first], store.offsets[last]) for first, last in user_blocks(store.offsets)]
    blocks = [rows for rows in blocks if rows.start < rows.stop]
    if not blocks:
        raise DataError(f"Store '{store.name}' has no event; there is no interest to follow.")
    low = min(int(store.time[rows].min()) for rows in blocks)
    high = max(int(store.time[rows].max()) for rows in blocks)
    if now is None:
        if high > time.time():
            raise DataError(
                f"Store '{store.name}' has events in the future, up to {as_date(high, 'm')}, so its end cannot serve "
                "as now; give now=DATE, or prepare it again with clean=time_window."
            )
        now = high + 1
    if now <= low:
        raise DataError(
            f"now={as_date(now, 'm')} is before the first event of store '{store.name}' ({as_date(low, 'm')})."
        )
    width = WIDTHS[unit]
    last = now if anchor is None else anchor + (now - anchor) // width * width
    count = -((low - last) // width)
    if count > MAX_BINS:
        raise ConfigError(
            f"Store '{store.name}' spans {count:,} bins of bin={unit}, and {MAX_BINS:,} is the most; take bin=week, or "
            "cut the log with clean=time_window."
        )
    return Bins(unit, last, max(count, 1))
