"""A catalogue as losses are given it, and references to hold them against."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ltsi.losses.next_item import Catalogue


@pytest.fixture(scope="session")
def catalogue() -> Callable[..., Catalogue]:
    """Make a catalogue of vectors, all items equally popular unless told otherwise."""

    def make(vector_IE: Tensor, count_I: Tensor | None = None) -> Catalogue:
        def vectors(item_U: Tensor | None = None) -> Tensor:
            return vector_IE if item_U is None else vector_IE[item_U]

        count_I = torch.ones(len(vector_IE)) if count_I is None else count_I
        return Catalogue(len(vector_IE), vectors, (count_I / count_I.sum()).log())

    return make
