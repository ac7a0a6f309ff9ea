"""What a model of clicks is given: histories, and for each example the item in question and all its features.

Shape suffixes: B histories, L positions, E examples.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ltsi.histories import Histories

if TYPE_CHECKING:
    from ltsi.features.encoded import FeatureBatch


@dataclass(frozen=True)
class Examples:
    """Questions "will this user act on this item now?"; several may share a history.

    Attributes:
        histories: what came before.
        row_E: int64, which history.
        position_E: int64, the position in it after which is asked.
        user_E: int64, who.
        item_E: int64, what is in question.
        label_E: float32, 1 if the user acted, else 0.
        index_E: int64, place among the examples of the part; in training of no use.
        features: of user, item, time and their crosses, of each example.
    """

    histories: Histories
    row_E: Tensor
    position_E: Tensor
    user_E: Tensor
    item_E: Tensor
    label_E: Tensor
    index_E: Tensor
    features: FeatureBatch

    def __len__(self) -> int:
        return len(self.item_E)

    def to(self, device: torch.device) -> Examples:
        """Returns the examples on a device."""
        return Examples(*(getattr(self, each.name).to(device) for each in fields(self)))


@dataclass(frozen=True)
class ExampleBatch:
    """One optimiser step's worth of examples.

    Attributes:
        groups: examples of histories of similar length, longest first.
        n_targets: training events that are asked for in the whole batch, over all devices.
        n_examples: examples that these make, as many as a summed loss is divided by.
    """

    groups: list[Examples]
    n_targets: int
    n_examples: int

    def to(self, device: torch.device) -> ExampleBatch:
        """Returns the batch on a device."""
        return ExampleBatch([group.to(device) for group in self.groups], self.n_targets, self.n_examples)
