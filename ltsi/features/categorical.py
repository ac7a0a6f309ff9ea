"""One label a row: a category, a brand, an occupation, an id.

```yaml
category: categorical
brand: {kind: categorical, min_count: 5}   # brands with fewer training events share the code of unseen ones
```
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ltsi.features.column import Column
from ltsi.features.encoder import KNOWN, EncodedColumn, Encoder, Layout, check_count
from ltsi.features.vocabulary import fit_labels, look_up, n_codes


@dataclass(frozen=True)
class Categorical:
    """Any single value, compared as text.

    Attributes:
        min_count: training events that a label needs to have a code of its own.
    """

    min_count: int = 1

    def __post_init__(self) -> None:
        """Refuses what is no count."""
        check_count("min_count", self.min_count, 1)

    def fit(self, column: Column, count_I: NDArray[np.int64]) -> CategoricalEncoder:
        """Lists the labels; see `Kind.fit`."""
        return CategoricalEncoder(fit_labels(column.text(), count_I, self.min_count))


@dataclass(frozen=True)
class CategoricalEncoder(Encoder):
    """Labels with codes.

    Attributes:
        labels: the label of code 2, 3, ...
    """

    labels: list[str]

    def encode(self, column: Column) -> EncodedColumn:
        """Looks the labels up."""
        code_I = look_up(self.labels, column.text())
        return EncodedColumn(np.minimum(code_I, KNOWN).astype(np.uint8), code_I=code_I)

    def layout(self, name: str) -> Layout:
        """One column of codes."""
        return Layout(categorical={name: n_codes(self.labels)})
