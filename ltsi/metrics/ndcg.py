"""Normalised discounted cumulative gain."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def discounted_gain(ranks: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """Returns the normalised discounted gain of the target within the first `k` items.

    `NDCG@k = 1 / log2(1 + rank)` if `rank ≤ k`, else 0. With one relevant item of gain 1 the ideal list has it first,
    so the ideal gain is `1 / log2(2) = 1` and nothing is left to normalise.

    Source: Järvelin & Kekäläinen, "Cumulated gain-based evaluation of IR techniques", ACM TOIS 2002, with the discount
    `log2(1 + rank)` that is usual since Burges et al., ICML 2005.

    Args:
        ranks: `(N,)`, rank of each target, 1 is best.
        k: cut-off, at least 1.

    Returns:
        `(N,)`, in [0, 1].

    Example:
        >>> discounted_gain(np.array([1, 3, 11]), k=10)
        array([1. , 0.5, 0. ])
    """
    return np.where(ranks <= k, 1.0 / np.log2(1.0 + ranks), 0.0)
