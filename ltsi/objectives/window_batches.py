"""Batches of windows over a split: at training positions, and at the origins of a part.

Shape suffixes: W windows.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ltsi.errors import ConfigError
from ltsi.intensity.series import IntensitySeries
from ltsi.intensity.windows import cut_windows, require_futures
from ltsi.sequences.batches import Shard
from ltsi.windows import WindowBatch, Windows

Ints = NDArray[np.int64]

PART_BATCH = 2_048
"""Windows that are answered at a time."""


class TrainingWindows:
    """All training bins of all series once an epoch, cut from the most recent end.

    Forecasts are asked from where a series has been active as often as it had to be to be chosen: before that, that it
    is here says what will come.

    Args:
        series: the series.
        end_bin: only bins before it are training.
        max_length: longest window.
        horizon: steps ahead.
        batch_size: windows in a batch, over all processes.
        seed: with the epoch, fixes the order.
        shard: this process's part.

    Raises:
        DataError: no series has a whole horizon of training after such a place.
        ConfigError: there are more processes than windows in a batch.
    """

    def __init__(
        self,
        series: IntensitySeries,
        end_bin: int,
        max_length: int,
        horizon: int,
        batch_size: int,
        seed: int,
        shard: Shard,
    ) -> None:
        self.series, self.end_bin, self.max_length, self.horizon = series, end_bin, max_length, horizon
        self.seed, self.shard = seed, shard
        require_futures(series, end_bin, horizon)
        chosen_S, everybody = series.chosen_S, np.arange(len(series))
        found: list[tuple[Ints, Ints, Ints]] = []
        for end in range(end_bin, 0, -max_length):
            # Places with a whole horizon of training after them.
            targets_S = min(end, end_bin - horizon) - np.maximum(chosen_S, end - max_length)
            asks = targets_S > 0
            found.append((everybody[asks], np.full(int(asks.sum()), end), targets_S[asks]))
        self.series_W, self.end_W, self.targets_W = (np.concatenate(column) for column in zip(*found, strict=True))
        self.n_batches = max(1, round(len(self.series_W) / batch_size))
        if len(self.series_W) // self.n_batches < shard.world:
            raise ConfigError(
                f"trainer.devices={shard.world} is more than the windows in a batch (batch_size={batch_size}, "
                f"{len(self.series_W)} windows); use fewer devices."
            )

    def __len__(self) -> int:
        return self.n_batches

    def epoch(self, number: int) -> Iterator[WindowBatch]:
        """Cuts the batches of an epoch, in an order fixed by the seed and the epoch's number."""
        order = np.random.default_rng([self.seed, number]).permutation(len(self.series_W))
        for chosen in np.array_split(order, self.n_batches):
            mine = chosen[self.shard.rank :: self.shard.world]
            windows = cut_windows(
                self.series, self.series_W[mine], self.end_W[mine], self.max_length, self.horizon, until=self.end_bin
            )
            yield WindowBatch(windows, int(self.targets_W[chosen].sum()))


class PartWindows:
    """Windows that hold all origins of a part for every series, the same in every pass.

    A window answers for origins that lie at most half its length apart, so each knows that much of the past.

    Args:
        series: the series.
        origins: bins that are forecast first.
        max_length: longest window.
        horizon: steps ahead.
        shard: this process's part.
        limit: only about this many forecasts, of series spread over all; None: all.
    """

    def __init__(
        self,
        series: IntensitySeries,
        origins: Ints,
        max_length: int,
        horizon: int,
        shard: Shard,
        limit: int | None = None,
    ) -> None:
        self.series, self.origins, self.max_length, self.horizon = series, origins, max_length, horizon
        n = len(series) if limit is None else min(len(series), max(limit // len(origins), 1))
        self.series_W = np.linspace(0, len(series) - 1, n).astype(np.int64)[shard.rank :: shard.world]
        chunk = (origins - origins[0]) // max(max_length // 2, 1)
        self.chunks = np.split(origins, np.flatnonzero(np.diff(chunk)) + 1)
        self.blocks = np.array_split(self.series_W, max(1, round(len(self.series_W) / PART_BATCH)))

    def __len__(self) -> int:
        return len(self.chunks) * len(self.blocks)

    def __iter__(self) -> Iterator[Windows]:
        for chunk in self.chunks:
            for of in self.blocks:
                yield cut_windows(
                    self.series, of, np.full(len(of), chunk[-1]), self.max_length, self.horizon,
                    until=int(chunk[-1]) + self.horizon, origins=self.origins, since=int(chunk[0]),
                )  # fmt: skip
