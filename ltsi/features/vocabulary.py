"""Labels and their codes: 0 is missing, 1 unseen, the labels follow from 2 on, the most frequent first."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltsi.features.encoder import KNOWN, MISSING, UNSEEN


def fit_labels(text: pl.Series, count: NDArray[np.int64], min_count: int) -> list[str]:
    """Lists the labels with enough training events.

    Args:
        text: labels, `(N,)`, some missing.
        count: training events of each, `(N,)`.
        min_count: events that a label needs; rarer ones are unseen, so that the code of unseen values is trained.
    """
    frame = pl.DataFrame({"label": text, "count": count}).drop_nulls().group_by("label").agg(pl.col("count").sum())
    frame = frame.filter(pl.col("count") >= min_count).sort(["count", "label"], descending=[True, False])
    return frame["label"].to_list()


def n_codes(labels: list[str]) -> int:
    """Returns how many codes a vocabulary takes, missing and unseen among them."""
    return KNOWN + len(labels)


def look_up(labels: list[str], text: pl.Series) -> NDArray[np.int32]:
    """Returns the code of each text, int32 `(N,)`."""
    known = pl.Series(labels, dtype=pl.String)
    codes = pl.Series(range(KNOWN, n_codes(labels)), dtype=pl.Int32)
    found = text.replace_strict(known, codes, default=UNSEEN, return_dtype=pl.Int32)
    return found.set(text.is_null(), MISSING).to_numpy()
