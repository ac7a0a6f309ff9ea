"""Coefficient of determination."""

from __future__ import annotations

from ltsi.metrics.forecasts import Forecasts


def r2(forecasts: Forecasts) -> float:
    """Returns `1 − Σ (m − x)² / Σ (x − x̄)²`, m the forecast mean, x̄ the mean of everything that came.

    1 is perfect, 0 as good as knowing that mean, below 0 worse. Where the same came everywhere there is no variance to
    explain and it is not defined (NaN).

    Args:
        forecasts: the forecasts.
    """
    spread = float(((forecasts.actual_N - forecasts.actual_N.mean()) ** 2).sum()) if len(forecasts.actual_N) else 0.0
    error = float(((forecasts.mean_N - forecasts.actual_N) ** 2).sum())
    return 1 - error / spread if spread > 0 else float("nan")
