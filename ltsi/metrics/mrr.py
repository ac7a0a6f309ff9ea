"""Mean reciprocal rank."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def reciprocal_rank(ranks: NDArray[np.int64], k: int | None = None) -> NDArray[np.float64]:
    """Returns the reciprocal rank of the target, cut off at `k` if there is a cut-off.

    `RR = 1 / rank`; `RR@k = 1 / rank` if `rank ≤ k`, else 0. Its mean over the targets is MRR.

    Source: Voorhees, "The TREC-8 question answering track report", 1999.

    Args:
        ranks: `(N,)`, rank of each target, 1 is best.
        k: cut-off, at least 1; None for no cut-off.

    Returns:
        `(N,)`, in [0, 1].

    Example:
        >>> reciprocal_rank(np.array([1, 4, 20]))
        array([1.  , 0.25, 0.05])
        >>> reciprocal_rank(np.array([1, 4, 20]), k=10)
        array([1.  , 0.25, 0.  ])
    """
    reciprocal = 1.0 / ranks
    return reciprocal if k is None else np.where(ranks <= k, reciprocal, 0.0)
