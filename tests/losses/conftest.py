"""A catalogue as losses are given it, and what tells how much they hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

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


class LargestTensor(TorchDispatchMode):
    """Notes the number of elements of the largest tensor that any operation returns."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in torch.utils._pytree.tree_leaves(out):
            if isinstance(tensor, Tensor):
                self.elements = max(self.elements, tensor.numel())
        return out


@pytest.fixture(scope="session")
def largest_tensor() -> Callable[[], LargestTensor]:
    """Return what watches the operations inside a `with`."""
    return LargestTensor
