"""The value of one season ago.

Shape suffixes: B windows, L positions, H steps ahead.
Source: Hyndman & Athanasopoulos 2021, "Forecasting: Principles and Practice", section 5.2 (the seasonal naive method).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ltsi.errors import ConfigError
from ltsi.intensity.seasons import YEAR
from ltsi.intensity.series import IntensitySeries
from ltsi.models.forecaster import Forecaster
from ltsi.windows import Points, Windows

SEASONS = {"day": 7, "week": 4}
"""Bins of a season where the log is too short for a year: a week of days, four weeks."""


class SeasonalNaive(Forecaster):
    """`x̂(t + h) = x(t + h − m · k)`, m the bins of a season, k the least that leads into the past.

    Before a series began it was 0.

    Args:
        period: bins of a season; None: a year where the training part has two, else a week of days, or four weeks.
    """

    season: Tensor
    first_S: Tensor

    def __init__(self, period: int | None = None) -> None:
        super().__init__()
        if period is not None and (isinstance(period, bool) or not isinstance(period, int) or period < 1):
            raise ConfigError(f"model.period={period} must be a whole number of bins from 1, or null.")
        self.period = period
        self.register_buffer("season", torch.tensor(period or 1))
        self.register_buffer("first_S", torch.zeros(1, dtype=torch.int64))

    def fit_statistics(self, series: IntensitySeries, end_bin: int) -> None:
        """Chooses the season; see `Forecaster.fit_statistics`."""
        per_year = round(YEAR / series.bins.seconds)
        season = self.period or (per_year if end_bin >= 2 * per_year else SEASONS[series.bins.unit])
        self.season.fill_(season)
        self.first_S = torch.from_numpy(series.first_S).to(self.first_S.device)

    def everywhere(self, windows: Windows) -> Points:
        """Looks one season back, `(B, L, H)`; see `Forecaster.everywhere`.

        Raises:
            ConfigError: a season ago is before what a window shows of its series, and the series had begun.
        """
        season, longest = int(self.season), windows.x_BL.shape[1]
        device = windows.x_BL.device
        step_H = torch.arange(windows.horizon, device=device)
        place_LH = torch.arange(longest, device=device)[:, None] + 1 + step_H % season - season
        begun_B = self.first_S[windows.series_B] - windows.first_B
        hidden_BLH = (place_LH < 0) & (place_LH >= begun_B[:, None, None])
        if bool((hidden_BLH & windows.asked_BL()[:, :, None]).any()):
            # Before the earliest origin that a window answers for lies half of it.
            raise ConfigError(
                f"model=seasonal_naive looks {season} bins back, and windows of max_length={longest} do not show that "
                f"much before every forecast; give max_length={2 * season} or a shorter model.period."
            )
        value_BLH = windows.x_BL[:, place_LH.clamp(min=0)]
        return Points.same(torch.where(place_LH >= 0, value_BLH, value_BLH.new_zeros(())).log1p())
