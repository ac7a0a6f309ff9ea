"""The last value again: the forecast to beat first.

Shape suffixes: B windows, L positions, H steps ahead.
Source: Hyndman & Athanasopoulos 2021, "Forecasting: Principles and Practice", section 5.2 (the naive method).
"""

from __future__ import annotations

from ltsi.models.forecaster import Forecaster
from ltsi.windows import Points, Windows


class LastValue(Forecaster):
    """`x̂(t + h) = x(t)`."""

    def everywhere(self, windows: Windows) -> Points:
        """Repeats the last value, `(B, L, H)`; see `Forecaster.everywhere`."""
        return Points.same(windows.x_BL.log1p()[:, :, None].expand(-1, -1, windows.horizon))
