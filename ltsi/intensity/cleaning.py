"""Missing bins, filters and outliers of series, by the cleaning steps of `ltsi prepare`.

A series is laid out as an event table, one row a bin with its intensity as the value, so that every step that changes
or drops values works on it as it works on a log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import narwhals as nw
import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltsi.errors import ConfigError
from ltsi.events import INTERACTION, Step
from ltsi.intensity.series import IntensitySeries
from ltsi.preparation.clean import CleaningStep, clean

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEAST = 1e-6
"""What is left in the first bin of a series that a step emptied."""

OWN = ("user", "item")
"""What makes a sequence of a series: its user and its entity, which stands in the place of the item."""


def cleaned(
    series: IntensitySeries, steps: Mapping[str, CleaningStep], end_bin: int, total_T: Floats
) -> tuple[IntensitySeries, list[Step]]:
    """Cleans the bins before a bin; the others stay as they are.

    A bin in which nobody did anything with anything is missing, not empty: the log was off. Without a step that fills
    them, missing bins, and bins that a step drops, count as 0.

    Args:
        series: the series.
        steps: by name, as `clean=[...]` of `ltsi prepare` gives them.
        end_bin: only bins before it are cleaned: the training part.
        total_T: everything that happened in each bin, also in series that are not cleaned.

    Returns:
        The series and what each step did. A series that nothing is left of keeps its first bin.

    Raises:
        ConfigError: a step goes over several series at once.
    """
    for name, step in steps.items():
        by = getattr(step, "by", None)
        if hasattr(step, "window") and not {*OWN} <= {*(by or ())}:
            raise ConfigError(f"clean={name} would run over several series at once; set its by=[user,item].")
    if not steps:
        return series, []
    missing_T = total_T == 0
    columns: list[list[NDArray[Any]]] = [[], [], []]
    for first, last in series.blocks():
        x_ST = series.dense(first, last)[:, :end_bin]
        row, index = np.nonzero(np.arange(end_bin) >= series.first_S[first:last][:, None])
        value = np.where(missing_T[index], np.nan, x_ST[row, index])
        for column, part in zip(columns, (row + first, index, value), strict=True):
            column.append(part)
    of, index, value = (np.concatenate(column) for column in columns)
    table = pl.DataFrame(
        {
            "user": pl.Series(series.user_S[of]).cast(pl.String),
            "item": pl.Series(series.entity_S[of]).cast(pl.String),
            "time": series.bins.moment(index),
            "behavior": pl.repeat(INTERACTION, len(of), eager=True),
            "value": pl.Series(value, nan_to_null=True),
            "row": np.arange(len(of)),
        }
    )
    events, report = clean(nw.from_native(table.lazy()), steps)
    left = events.select("row", "value").collect().to_polars().sort("row")
    kept, new = left["row"].to_numpy(), left["value"].fill_null(0.0).to_numpy()
    return _rebuilt(series, of[kept], index[kept], np.maximum(new, 0.0), end_bin), report


def _rebuilt(series: IntensitySeries, of: Ints, index: Ints, value: Floats, end_bin: int) -> IntensitySeries:
    """Puts new values in the place of the bins before `end_bin`."""
    series_M = np.repeat(np.arange(len(series)), np.diff(series.offsets))
    later = series.bin_M >= end_bin
    # The first bin of a series says when it began, so it stays, at next to nothing if it was emptied.
    first_S = np.full(len(series), LEAST)
    began = index == series.first_S[of]
    first_S[of[began]] = np.maximum(value[began], LEAST)
    others = ~began & (value > 0)
    late = later & (series.bin_M > series.first_S[series_M])
    rows = np.concatenate([np.arange(len(series)), of[others], series_M[late]])
    bins = np.concatenate([series.first_S, index[others], series.bin_M[late]])
    values = np.concatenate([first_S, value[others], series.value_M[late]])
    order = np.lexsort((bins, rows))
    offsets = np.append(0, np.cumsum(np.bincount(rows, minlength=len(series)))).astype(np.int64)
    return replace(series, offsets=offsets, bin_M=bins[order], value_M=values[order])
