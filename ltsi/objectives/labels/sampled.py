"""Negatives that are drawn, where the log says what users took and not what they were shown.

Shape suffixes: N events that are asked for, M draws, I items.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ltsi.errors import ConfigError
from ltsi.features.space import training_counts
from ltsi.objectives.labels.labels import Labelled, Labeller, Labels
from ltsi.sequences.rows import ragged
from ltsi.sequences.split import Split
from ltsi.store import Store

POPULARITY, UNIFORM = "popularity", "uniform"
ATTEMPTS = 32
"""Draws for one negative; a user who has taken so much that all of them fail has one negative less."""


@dataclass(frozen=True)
class Sampled(Labels):
    """Every target event is positive; for each, items are drawn that the user had not taken until then.

    What a user takes at the very moment of the event is taken: in a basket the order of events is the file's.

    Attributes:
        negatives: items drawn for a positive.
        drawn: `popularity`, in proportion to training events, or `uniform`, from the whole catalogue.
    """

    name: ClassVar[str] = "sampled"

    negatives: int = 4
    drawn: str = POPULARITY

    def on(self, split: Split) -> SampledLabeller:
        """Counts the items; see `Labels.on`."""
        if isinstance(self.negatives, bool) or not isinstance(self.negatives, int) or self.negatives < 1:
            raise ConfigError(f"objective.labels.negatives={self.negatives} must be a whole number from 1.")
        if self.drawn not in {POPULARITY, UNIFORM}:
            raise ConfigError(f"objective.labels.drawn={self.drawn} must be one of: {POPULARITY}, {UNIFORM}.")
        n_items = split.store.n_items
        weight_I = training_counts(split)[1] if self.drawn == POPULARITY else np.ones(n_items)
        return SampledLabeller(split, self.negatives, weight_I, self.drawn)


class SampledLabeller(Labeller):
    """Draws negatives.

    What is drawn depends on the seed and the event alone, not on which process draws it or with which other events.

    Args:
        split: has the events.
        negatives: for each event.
        weight_I: what the chance of an item is in proportion to.
        drawn: the name of that.
    """

    passes_over_taken = True

    def __init__(self, split: Split, negatives: int, weight_I: NDArray[np.generic], drawn: str) -> None:
        self.store, self.negatives, self.per_event = split.store, negatives, 1 + negatives
        by = "by popularity" if drawn == POPULARITY else "uniformly"
        self.protocol = f"each taken item against {negatives} drawn {by} that the user had not taken until then"
        self.upto_I = np.cumsum(weight_I, dtype=np.float64)

    def examples(self, user_N: NDArray[np.int64], row_N: NDArray[np.int64], seed: int) -> Labelled:
        """Draws items for each event, with replacement; see `Labeller.examples`."""
        n_events = len(row_N)
        taken = _Taken(self.store, user_N, row_N)
        event_M, nth_M = np.divmod(np.arange(n_events * self.negatives), self.negatives)
        nth_M += 1
        item_M = np.full(len(event_M), -1, dtype=np.int64)
        open_M = np.arange(len(event_M))
        for attempt in range(ATTEMPTS):
            event = event_M[open_M]
            chance = uniform(seed, row_N[event], nth_M[open_M], attempt)
            drawn = np.searchsorted(self.upto_I, chance * self.upto_I[-1], side="right")
            fresh = ~taken(event, drawn)
            item_M[open_M[fresh]] = drawn[fresh]
            open_M = open_M[~fresh]
            if not len(open_M):
                break
        found = np.flatnonzero(item_M >= 0)
        place_N = np.arange(n_events)
        event_E = np.concatenate([place_N, event_M[found]])
        nth_E = np.concatenate([np.zeros(n_events, dtype=np.int64), nth_M[found]])
        item_E = np.concatenate([self.store.item[row_N].astype(np.int64), item_M[found]])
        order = np.lexsort((nth_E, event_E))
        return Labelled(event_E[order], nth_E[order], item_E[order], nth_E[order] == 0)

    def require_both(self, part: str) -> None:
        """Negatives are drawn, so there are some; see `Labeller.require_both`."""


class _Taken:
    """Tells what users had taken until an event: all before it, its own item, and whatever came at the same moment.

    Args:
        store: has the events; without a clock every event is a moment of its own.
        user_N: user of each event.
        row_N: row of each event.
    """

    def __init__(self, store: Store, user_N: NDArray[np.int64], row_N: NDArray[np.int64]) -> None:
        users, self.local_N = np.unique(user_N, return_inverse=True)
        start_U = np.asarray(store.offsets[users])
        last_U = start_U.copy()
        np.maximum.at(last_U, self.local_N, row_N)
        # The event that was asked for last may share its moment with others behind it.
        bounds = zip(last_U, store.offsets[users + 1], strict=True)
        more_U = [np.searchsorted(store.time[last:stop], store.time[last], side="right") for last, stop in bounds]
        end_U = last_U + np.array(more_U, dtype=np.int64)
        which, row = ragged(start_U, end_U)
        item, time = store.item[row], np.asarray(store.time[row])
        # The first of equal keys is returned, and times ascend: when the user first took the item.
        self.key, first = np.unique(which * store.n_items + item, return_index=True)
        self.first_time, self.time_N, self.n_items = time[first], np.asarray(store.time[row_N]), store.n_items

    def __call__(self, event_M: NDArray[np.int64], item_M: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Returns whether the user of each event had taken an item until then, bool `(M,)`."""
        wanted = self.local_N[event_M] * self.n_items + item_M
        place = np.minimum(np.searchsorted(self.key, wanted), len(self.key) - 1)
        return np.asarray((self.key[place] == wanted) & (self.first_time[place] <= self.time_N[event_M]))


def uniform(seed: int, *numbers: NDArray[np.int64] | int) -> NDArray[np.float64]:
    """Returns random numbers in [0, 1) that depend on nothing but the arguments.

    A generator that is addressed instead of stepped: SplitMix64's output function over one number after another.

    Source: Steele, Lea & Flood 2014, "Fast Splittable Pseudorandom Number Generators"; the constants are Stafford's.

    Args:
        seed: from 0.
        numbers: int64 arrays that broadcast, or whole numbers.
    """
    state = _mixed(np.array([seed], dtype=np.uint64))
    for number in numbers:
        state = _mixed(state ^ np.asarray(number).astype(np.uint64))
    return np.asarray((state >> np.uint64(11)) * 2.0**-53)


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))
