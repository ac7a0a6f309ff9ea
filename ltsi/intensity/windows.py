"""Stretches of series for forecasting.

Shape suffixes: B windows, L positions, H steps ahead, T bins.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ltsi.errors import DataError
from ltsi.intensity.series import IntensitySeries
from ltsi.windows import Windows

Ints = NDArray[np.int64]


def require_futures(series: IntensitySeries, end_bin: int, horizon: int) -> None:
    """Refuses series of which nothing can be learned.

    Args:
        series: the series.
        end_bin: only bins before it are training.
        horizon: steps ahead.

    Raises:
        DataError: no series has a whole horizon of training after a place at which it could have been chosen.
    """
    if not (series.chosen_S + horizon < end_bin).any():
        raise DataError(
            f"No series has {horizon} bins of training after its {series.least_active} active ones, so there is "
            "nothing to learn; take a shorter objective.horizon, a smaller objective.least_active or a later cut."
        )


def cut_windows(
    series: IntensitySeries,
    series_B: Ints,
    end_B: Ints,
    max_length: int,
    horizon: int,
    *,
    until: int,
    origins: Ints | None = None,
    since: int = 0,
) -> Windows:
    """Cuts windows that end before given bins; none begins before the first event of its series.

    Args:
        series: the series.
        series_B: series of each window.
        end_B: one past its last bin, above the bin of the first event.
        max_length: longest window.
        horizon: steps ahead.
        until: bins from here on are not known, so no forecast is asked for that reaches beyond.
        origins: bins that forecasts are asked from, the last of them being `end_B`; None: all at which the series could
            have been chosen, as in training.
        since: only origins from here on.
    """
    first_B = np.maximum(series.first_S[series_B], end_B - max_length)
    length_B = end_B - first_B
    longest = int(length_B.max())
    rows, place_BL = np.arange(len(series_B))[:, None], first_B[:, None] + np.arange(longest)
    x_BT = np.pad(series.rows(series_B), ((0, 0), (0, longest + horizon)))
    inside_BL = np.arange(longest) < length_B[:, None]
    asked_BL = inside_BL & (place_BL + horizon < until)
    if origins is None:
        asked_BL &= place_BL >= series.chosen_S[series_B][:, None]
    index_BL = np.where(asked_BL, 0, -1)
    if origins is not None:
        # The forecast from an origin is asked for after the bin before it.
        nth_BL = np.minimum(np.searchsorted(origins, place_BL + 1), len(origins) - 1)
        asked_BL &= (origins[nth_BL] == place_BL + 1) & (place_BL + 1 >= since)
        index_BL = np.where(asked_BL, series_B[:, None] * len(origins) + nth_BL, -1)
    future_BLH = np.stack([x_BT[rows, place_BL + step] for step in range(1, horizon + 1)], axis=2)
    floats = (
        np.where(inside_BL, x_BT[rows, place_BL], 0.0),
        future_BLH * asked_BL[:, :, None],
        np.where(inside_BL, np.pad(series.level_T, (0, longest))[place_BL], 0.0),
    )
    columns = (length_B, series_B, series.entity_S[series_B], first_B, index_BL)
    x_BL, future, level_BL = (torch.from_numpy(array).float() for array in floats)
    length, of, entity, first, index = (torch.from_numpy(np.ascontiguousarray(column)) for column in columns)
    return Windows(x_BL, length, future, of, entity, first, level_BL, index)
