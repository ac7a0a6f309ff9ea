"""A list of numbers of fixed length: an embedding of a text or a picture. The numbers stay as they are.

```yaml
content: vector
```
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ltsi.errors import DataError
from ltsi.features.column import Column
from ltsi.features.encoder import KNOWN, EncodedColumn, Encoder, Layout, indicator


@dataclass(frozen=True)
class Vector:
    """A vector, and an indicator of missing ones among the numbers."""

    def fit(self, column: Column, count_I: NDArray[np.int64]) -> VectorEncoder:  # noqa: ARG002
        """Reads the length; see `Kind.fit`.

        Raises:
            DataError: no training row has a vector.
        """
        lengths = column.vectors().list.len().drop_nulls()
        if not len(lengths):
            raise column.none_in_training("vector")
        return VectorEncoder(int(lengths[0]))


@dataclass(frozen=True)
class VectorEncoder(Encoder):
    """Vectors of one length.

    Attributes:
        length: numbers in a vector.
    """

    length: int

    def encode(self, column: Column) -> EncodedColumn:
        """Copies the vectors; a missing one becomes zeros.

        Raises:
            DataError: a vector has another length.
        """
        vectors = column.vectors()
        lengths = vectors.list.len()
        odd = (lengths != self.length).fill_null(value=False).arg_true()
        if len(odd):
            row = odd[0]
            raise DataError(
                f"{column.key}: the vector in column '{column.values.name}' of {column.what} '{column.ids[row]}' has "
                f"{lengths[row]} numbers, others have {self.length}; make them equally long."
            )
        present = vectors.is_not_null().to_numpy()
        vector_IV = np.zeros((len(column), self.length), dtype=np.float32)
        vector_IV[present] = vectors.drop_nulls().explode().to_numpy().reshape(-1, self.length)
        place_I = (KNOWN * present).astype(np.uint8)
        return EncodedColumn(place_I, numeric_IN=indicator(place_I), vector_IV=vector_IV)

    def layout(self, name: str) -> Layout:
        """The vector and its indicator."""
        return Layout(vector={name: self.length}, numeric=(f"{name}.missing",))
