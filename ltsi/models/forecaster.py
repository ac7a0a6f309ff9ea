"""The contract of every model of intensity: how strong an interest will be in each of the next bins.

Shape suffixes: B windows, L positions, H steps ahead, N forecasts.
Source: Vovk, Gammerman & Shafer 2005, "Algorithmic Learning in a Random World" (split conformal intervals).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import Tensor

from ltsi.intensity.series import IntensitySeries
from ltsi.losses.intensity import IntensityLoss
from ltsi.models.fitted import Fitted
from ltsi.windows import Points, Windows

COVERAGE = 0.9
"""Share of what comes that an interval is to hold."""


class Forecaster(Fitted, ABC):
    """Forecasts on the scale `log(1 + x)`: a mean, a median and an interval.

    Like an `InterestModel` it learns in up to three ways: statistics fitted on the training part (`fit_statistics`),
    weights by gradient (`training_loss`), and on the validation part (`calibrate`) the interval, so that it holds
    `COVERAGE` of what came there.

    Attributes:
        learns: whether gradients train it.
        calibrates: always; kept beside `learns` for whoever trains.
    """

    learns: bool = False
    calibrates: ClassVar[bool] = True
    offset_2H: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("offset_2H", torch.zeros(2, 1))

    @abstractmethod
    def everywhere(self, windows: Windows) -> Points:
        """Forecasts from every position.

        Returns:
            `(B, L, H)` each; what is forecast from a position knows it and what came before, nothing later. Less than 0
            stands for 0.
        """

    def forward(self, windows: Windows) -> Points:
        """Returns the forecasts that are asked for, `(N, H)` each, not below 0, window after window."""
        asked_BL = windows.asked_BL()
        return self.everywhere(windows).map(lambda log_BLH: log_BLH[asked_BL].clamp(min=0))

    def fit_statistics(self, series: IntensitySeries, end_bin: int) -> None:
        """Fits what the model needs.

        Args:
            series: the series that are forecast.
            end_bin: only bins before it are training.
        """

    def training_loss(self, windows: Windows, loss: IntensityLoss) -> Tensor:
        """Returns the loss summed over the forecasts asked for, per step ahead, a scalar."""
        asked_BL = windows.asked_BL()
        points = self.everywhere(windows).map(lambda log_BLH: log_BLH[asked_BL].flatten())
        return loss(points, windows.future_BLH[asked_BL].flatten()) / windows.horizon

    def forecast(self, windows: Windows) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Returns the forecasts that are asked for with an interval, on the scale of the intensity.

        Returns:
            Mean, median, lower and upper bound, `(N, H)`, none below 0.
        """
        points: Points = self(windows)
        low_NH, high_NH = ((points.mean + offset).clamp(min=0).expm1() for offset in self.offset_2H)
        return points.mean.expm1(), points.median.expm1(), low_NH, high_NH

    @torch.no_grad()
    def calibrate(self, batches: Iterable[Windows]) -> None:
        """Chooses the interval around the mean on validation windows; each step ahead has one of its own."""
        found = [(self(batch).mean, batch.future_BLH[batch.asked_BL()]) for batch in batches]
        log_NH, actual_NH = (torch.cat(column) for column in zip(*found, strict=True))
        residual_NH = (actual_NH.log1p() - log_NH).double()
        n = len(residual_NH)
        tail = (1 - COVERAGE) / 2
        # The quantile that holds the next value, too: rank ⌈(n + 1)(1 − α)⌉.
        high = min((n + 1) * (1 - tail) / n, 1.0)
        levels = torch.tensor([1 - high, high], dtype=torch.float64)
        offset_2H = torch.stack(
            [
                residual_NH.quantile(float(levels[0]), dim=0, interpolation="lower"),
                residual_NH.quantile(float(levels[1]), dim=0, interpolation="higher"),
            ]
        )
        self.offset_2H = offset_2H.to(self.offset_2H)
