"""Hit rate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def hit_rate(ranks: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """Returns 1 where the target is among the first `k` items, else 0.

    `HR@k = 1[rank ≤ k]`. With one target this is also recall@k, and k times precision@k. A target that cannot be
    recommended has a rank after the last item of any catalogue, and is a miss at every `k`.

    Args:
        ranks: `(N,)`, rank of each target, 1 is best.
        k: cut-off, at least 1.

    Returns:
        `(N,)`, 0 or 1.

    Example:
        >>> hit_rate(np.array([1, 10, 11]), k=10)
        array([1., 1., 0.])
    """
    return (ranks <= k).astype(np.float64)
