"""A sum of many sparse matrices."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse


class SparseSum:
    """A sum of sparse matrices, block by block. Those of similar size are added first, so that it stays linear.

    Args:
        shape: of the matrices.
        form: whether they are kept by rows or by columns.
    """

    def __init__(self, shape: tuple[int, int], form: Literal["csr", "csc"] = "csr") -> None:
        self.shape, self.form = shape, form
        self.parts: list[Any] = []

    def add(self, value: NDArray[np.generic], row: NDArray[np.integer], column: NDArray[np.integer]) -> None:
        """Adds values at rows and columns, which may come more than once."""
        self.parts.append(sparse.coo_array((value, (row, column)), shape=self.shape).asformat(self.form))
        while len(self.parts) > 1 and 2 * self.parts[-1].nnz >= self.parts[-2].nnz:
            self.parts.append(self.parts.pop() + self.parts.pop())

    def total(self) -> Any:
        """Returns the sum, an array in the form that was asked for; of float64 if nothing was added."""
        parts = [*reversed(self.parts)] or [sparse.coo_array(self.shape).asformat(self.form)]
        return sum(parts[1:], parts[0])
