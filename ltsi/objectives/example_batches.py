"""Batches of examples over a split: at training positions, and for the events of a part.

Shape suffixes: B histories, L positions, N events that are asked for, E examples that they make.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from ltsi.examples import ExampleBatch, Examples
from ltsi.features.encoded import EncodedFeatures
from ltsi.histories import Histories
from ltsi.objectives.labels.labels import TRAIN, Labeller
from ltsi.objectives.labels.sampled import uniform
from ltsi.sequences.batches import RankingBatches, Shard, TrainingBatches
from ltsi.sequences.split import Split, Targets

FIXED = 0
"""Seed of what is drawn for validation and test: the same examples for every model and every seed of a training."""

RENEWED = 1_000
"""Keeps the random numbers of crosses apart from those of draws, which count attempts."""


class ExampleMaker:
    """Makes examples of events.

    Args:
        split: has the events.
        labeller: says which examples events make.
        features: the features of the store.
    """

    def __init__(self, split: Split, labeller: Labeller, features: EncodedFeatures) -> None:
        self.split, self.labeller, self.features = split, labeller, features

    def __call__(
        self,
        histories: Histories,
        row_N: NDArray[np.int64],
        position_N: NDArray[np.int64],
        event_N: NDArray[np.int64],
        seed: int,
        index_N: NDArray[np.int64] | None = None,
    ) -> Examples:
        """Makes the examples of events and gathers their features.

        Args:
            histories: what came before.
            row_N: history of each event.
            position_N: position in it after which the event came.
            event_N: row of each event in the store.
            seed: fixes what is drawn.
            index_N: place of each event in its part; None in training.
        """
        store = self.split.store
        user_N = np.searchsorted(store.offsets, event_N, side="right") - 1
        found = self.labeller.examples(user_N, event_N, seed)
        of = found.event_E
        index_E = np.zeros_like(of) if index_N is None else index_N[of] * self.labeller.per_event + found.nth_E
        columns = (row_N[of], position_N[of], user_N[of], found.item_E, found.label_E.astype(np.float32), index_E)
        row, position, user, item, label, index = map(torch.from_numpy, columns)
        features = self.features.events(user, item, torch.from_numpy(store.time[event_N][of]))
        if index_N is None and self.features.crosses:
            nth_X = self.labeller.per_event * np.arange(1, 1 + len(self.features.crosses))
            chance_EX = uniform(seed, event_N[of, None], found.nth_E[:, None] + nth_X, RENEWED)
            features = self.features.renewed(features, torch.from_numpy(chance_EX))
        return Examples(histories, row, position, user, item, label, index, features)


class TrainingExamples:
    """Examples of all training targets once an epoch, each from the inputs before it; see `TrainingBatches`.

    Args:
        maker: makes the examples.
        max_length: longest input.
        batch_size: windows in a batch, over all processes.
        seed: with the epoch, fixes the order and what is drawn.
        shard: this process's part.
    """

    def __init__(self, maker: ExampleMaker, max_length: int, batch_size: int, seed: int, shard: Shard) -> None:
        self.maker, self.seed = maker, seed
        self.batches = TrainingBatches(maker.split, max_length, batch_size, seed, shard)
        maker.labeller.require_both(TRAIN)

    def __len__(self) -> int:
        return len(self.batches)

    @property
    def n_targets(self) -> int:
        """Number of events that an epoch asks for, over all processes."""
        return self.batches.n_targets

    def epoch(self, number: int) -> Iterator[ExampleBatch]:
        """Makes the batches of an epoch."""
        # Above zero, which is the seed of validation and test.
        seed = 1 + self.seed * 100_003 + number
        for groups, n_targets in self.batches.groups(number):
            made = [self._group(windows, seed) for windows in groups]
            yield ExampleBatch(made, n_targets, n_targets * self.maker.labeller.per_event)

    def _group(self, windows: NDArray[np.int64], seed: int) -> Examples:
        histories, event_BL = self.batches.read(windows)
        row_N, position_N = np.nonzero(event_BL.numpy() >= 0)
        return self.maker(histories, row_N, position_N, event_BL.numpy()[row_N, position_N], seed)


class PartExamples:
    """Examples of the events of a part, each asked for when it happened, from all inputs before it.

    A part may ask for several events of a user. Ranking asks for all of them at once, from the history before the
    first; whether a user acts on an item is asked when the item is there, and what happened until then is known.

    Args:
        maker: makes the examples.
        part: `valid` or `test`.
        max_length: events of a history that are shown.
        shard: this process's part.
        limit: only this many events; None: all.
    """

    def __init__(self, maker: ExampleMaker, part: str, max_length: int, shard: Shard, limit: int | None = None) -> None:
        maker.labeller.require_both(part)
        self.maker, self.targets = maker, as_they_happen(maker.split, part)
        split = maker.split
        self.batches = RankingBatches(split.store, self.targets, max_length, False, shard, limit, split.roles)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Examples]:
        for batch in self.batches:
            index = batch.index_B.numpy()
            last = batch.histories.length_B.numpy() - 1
            yield self.maker(batch.histories, np.arange(len(index)), last, self.targets.event[index], FIXED, index)


def as_they_happen(split: Split, part: str) -> Targets:
    """Returns the targets of a part, each asked for at its own time from all inputs before it."""
    targets = split.part(part)
    return replace(targets, history_end=targets.event, now=np.asarray(split.store.time[targets.event]))
