"""A number as one of several ranges: levels of price, of age.

```yaml
price_level: {kind: buckets, column: price, buckets: 10}        # quantiles of the training events
age_group: {kind: buckets, column: age, edges: [18, 25, 35, 50]}
```

A bucket is above one edge and up to the next, `(18, 25]`; the first and the last are open, so every number has one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ltsi.features.column import Column
from ltsi.features.encoder import KNOWN, MISSING, EncodedColumn, Encoder, Layout, check_count


@dataclass(frozen=True)
class Buckets:
    """Ranges of equal weight, or with given edges.

    Attributes:
        buckets: number of quantile buckets; where many numbers are equal, fewer come out.
        edges: given edges, ascending.
    """

    buckets: int | None = None
    edges: Sequence[float] | None = None

    def __post_init__(self) -> None:
        """Refuses what makes no ranges."""
        if (self.buckets is None) == (self.edges is None):
            raise ValueError("kind buckets takes either buckets=10 or edges=[10,20,50]")
        if self.buckets is not None:
            check_count("buckets", self.buckets, 2)
        elif not _are_edges(self.edges):
            raise ValueError(f"edges={self.edges} must be a list of numbers, each above the one before")

    def fit(self, column: Column, count_I: NDArray[np.int64]) -> BucketsEncoder:
        """Finds the edges; see `Kind.fit`.

        Raises:
            DataError: no training row has a number to find quantiles of.
        """
        if self.buckets is None:
            return BucketsEncoder([float(edge) for edge in self.edges or ()])
        numbers = column.numbers()
        present = ~np.isnan(numbers)
        if not present.any():
            raise column.none_in_training("number")
        x, weight = numbers[present], count_I[present]
        levels = np.arange(1, self.buckets) / self.buckets
        edges = np.unique(np.quantile(x, levels, weights=weight, method="inverted_cdf"))
        # Nothing in training lies above the greatest number.
        return BucketsEncoder(edges[edges < x.max()].tolist())


@dataclass(frozen=True)
class BucketsEncoder(Encoder):
    """Ranges with codes.

    Attributes:
        edges: ascending; the bucket up to the first edge has code 2.
    """

    edges: list[float]

    def encode(self, column: Column) -> EncodedColumn:
        """Finds the bucket of each number."""
        x = column.numbers()
        bucket_I = KNOWN + np.searchsorted(self.edges, x, side="left")
        code_I = np.where(np.isnan(x), MISSING, bucket_I).astype(np.int32)
        return EncodedColumn(np.minimum(code_I, KNOWN).astype(np.uint8), code_I=code_I)

    def layout(self, name: str) -> Layout:
        """One column of codes; code 1 stays unused, no number is unseen."""
        return Layout(categorical={name: KNOWN + len(self.edges) + 1})


def _are_edges(edges: object) -> bool:
    if isinstance(edges, str) or not isinstance(edges, Sequence) or not edges:
        return False
    numbers = all(isinstance(edge, (int, float)) and not isinstance(edge, bool) for edge in edges)
    return numbers and bool(np.isfinite(edges).all()) and bool((np.diff(edges) > 0).all())
