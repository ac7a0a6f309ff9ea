"""What a model that forecasts intensity is given, stretches of series and what came after them, and what it answers.

Shape suffixes: B windows, L positions, H steps ahead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True)
class Windows:
    """Stretches of intensity series, oldest bin first, padded on the right.

    A forecast is asked for after some of the positions: in training after all that have a whole horizon after them, of
    a part of a split after its origins. One window answers for all origins of a series, because the answer at a
    position knows nothing later.

    Attributes:
        x_BL: float32, intensity of each bin, 0 in the padding.
        length_B: int64, number of real positions, at least 1.
        future_BLH: float32, the intensity of the H bins after each position; 0 where no forecast is asked for.
        series_B: int64, which series.
        entity_B: int64, its entity.
        first_B: int64, bin of the first position.
        level_BL: float32, `log(1 + x)` of everybody's series in the bin of each position, on average; 0 in the padding.
        index_BL: int64, place of the forecast in its part, in training 0; -1 where none is asked for.
    """

    x_BL: Tensor
    length_B: Tensor
    future_BLH: Tensor
    series_B: Tensor
    entity_B: Tensor
    first_B: Tensor
    level_BL: Tensor
    index_BL: Tensor

    def __len__(self) -> int:
        return len(self.length_B)

    @property
    def horizon(self) -> int:
        """Steps ahead."""
        return self.future_BLH.shape[2]

    def asked_BL(self) -> Tensor:
        """Returns the positions after which a forecast is asked for, bool."""
        return self.index_BL >= 0

    def to(self, device: torch.device) -> Windows:
        """Returns the windows on a device."""
        return Windows(*(getattr(self, each.name).to(device) for each in fields(self)))


class Points(NamedTuple):
    """Two point forecasts, of one shape: which one is right depends on what an error costs.

    Squared errors ask for the mean of what may come, absolute errors for its median, and where most bins are empty the
    two are far apart.
    Source: Gneiting 2011, "Making and evaluating point forecasts".

    Attributes:
        mean: `log(1 + mean)`.
        median: `log(1 + median)`; less than 0 stands for 0.
    """

    mean: Tensor
    median: Tensor

    @classmethod
    def same(cls, log: Tensor) -> Points:
        """Makes both of one number, for models that know of no difference."""
        return cls(log, log)

    def map(self, change: Callable[[Tensor], Tensor]) -> Points:
        """Returns both, changed alike."""
        return Points(change(self.mean), change(self.median))


@dataclass(frozen=True)
class WindowBatch:
    """One optimiser step's worth of windows.

    Attributes:
        windows: this device's part.
        n_targets: forecasts asked for in the whole batch, over all devices: what a summed loss is divided by.
    """

    windows: Windows
    n_targets: int

    def to(self, device: torch.device) -> WindowBatch:
        """Returns the batch on a device."""
        return WindowBatch(self.windows.to(device), self.n_targets)
