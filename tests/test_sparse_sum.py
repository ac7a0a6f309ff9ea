"""The sum of sparse matrices, against dense ones."""

from typing import Literal

import numpy as np
import pytest

from ltsi.sparse_sum import SparseSum


@pytest.mark.parametrize("form", ["csr", "csc"])
@pytest.mark.parametrize("blocks", [0, 1, 7, 40])
def test_blocks_add_up(form: Literal["csr", "csc"], blocks: int) -> None:
    generator = np.random.default_rng(blocks)
    shape, expected, found = (6, 4), np.zeros((6, 4)), SparseSum((6, 4), form)
    for _ in range(blocks):
        size = int(generator.integers(0, 30))
        row, column, value = generator.integers(0, 6, size), generator.integers(0, 4, size), generator.normal(size=size)
        np.add.at(expected, (row, column), value)
        found.add(value, row, column)
    assert found.total().format == form
    assert found.total().shape == shape
    np.testing.assert_allclose(found.total().toarray(), expected, atol=1e-12)


def test_few_parts_are_kept() -> None:
    found = SparseSum((1000, 1000))
    for block in range(500):
        found.add(np.ones(4), np.arange(4) + block, np.arange(4))
    assert len(found.parts) < 12
