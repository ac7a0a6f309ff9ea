"""What every model is given: histories, and the "now" at which the next item is asked for.

Shape suffixes: B histories, L positions, I items of the catalogue, N real positions of a batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Histories:
    """A batch of histories, oldest event first, padded on the right.

    Padding on the right lets causal models run without a mask: what comes after a position never reaches it.

    Attributes:
        item_BL: int64, dense item index; padding is `n_items`.
        time_BL: int64, seconds since epoch (or positions where there is no clock); padding repeats the last time.
        length_B: int64, number of real positions. 0 is a user nobody has seen: padding alone, at least one position of
            it, whose time is the now.
        now_BL: int64, when the item after each position is asked for: at the last one the "now" of the question, before
            it the time of the next event (in training: of the target, where there is one). Only the answer at a
            position may look at it: to what a later position sees of this one, it would say when a hidden target came.
        user_B: int64, dense user index; -1 is somebody the store does not know. None: nobody is known.
        first_BL: int64, the position where the history of each position begins, in rows that hold several one after
            another. None, and for whoever does not ask for such rows (`SequenceNetwork.packs`): one history a row.
    """

    item_BL: Tensor
    time_BL: Tensor
    length_B: Tensor
    now_BL: Tensor
    user_B: Tensor | None = None
    first_BL: Tensor | None = None

    def __len__(self) -> int:
        return len(self.length_B)

    def to(self, device: torch.device) -> Histories:
        """Returns the batch on a device."""
        return self._each(lambda column: column.to(device))

    def rows(self, which: slice) -> Histories:
        """Returns some of the histories."""
        return self._each(lambda column: column[which])

    def _each(self, change: Callable[[Tensor], Tensor]) -> Histories:
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: change(column) for name, column in columns.items() if column is not None})

    @property
    def now_B(self) -> Tensor:
        """When the next item is asked for, int64 `(B,)`."""
        return self.last(self.now_BL)

    def real_BL(self) -> Tensor:
        """Returns which positions are not padding, bool."""
        position_L = torch.arange(self.item_BL.shape[1], device=self.item_BL.device)
        return position_L < self.length_B[:, None]

    def taken(self) -> tuple[Tensor, Tensor]:
        """Returns row and item of every event, int64 `(events,)` each: what the users have taken."""
        real_BL = self.real_BL()
        return real_BL.nonzero()[:, 0], self.item_BL[real_BL]

    def last(self, values_BLX: Tensor) -> Tensor:
        """Picks the values at each history's last real position; at the first one, of an empty history.

        Args:
            values_BLX: `(B, L, ...)`.

        Returns:
            `(B, ...)`.
        """
        return values_BLX[torch.arange(len(self), device=values_BLX.device), (self.length_B - 1).clamp(min=0)]

    def recent(self, n: int) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the last `n` events, most recent first.

        Args:
            n: how many.

        Returns:
            item_Bn int64, time_Bn int64 and real_Bn bool; positions before the history's start are not real, and hold
            the history's first event.
        """
        steps_n = torch.arange(n, device=self.item_BL.device)
        position_Bn = self.length_B[:, None] - 1 - steps_n
        real_Bn = position_Bn >= 0
        position_Bn = position_Bn.clamp(min=0)
        return self.item_BL.gather(1, position_Bn), self.time_BL.gather(1, position_Bn), real_Bn


@dataclass(frozen=True)
class TrainingGroup:
    """Histories of similar length and the target at each position: the event that came next.

    Attributes:
        histories: the inputs.
        target_BL: int64, the next item at each position; `n_items` is padding, and a position without a target: what
            came next is not asked for.
    """

    histories: Histories
    target_BL: Tensor

    def to(self, device: torch.device) -> TrainingGroup:
        """Returns the group on a device."""
        return TrainingGroup(self.histories.to(device), self.target_BL.to(device))


@dataclass(frozen=True)
class TrainingBatch:
    """One optimiser step's worth of training windows, drawn at random and grouped by length so that little is padding.

    Attributes:
        groups: the windows, longest group first.
        n_targets: real targets in the whole batch, over all devices: what a summed loss is divided by.
    """

    groups: list[TrainingGroup]
    n_targets: int

    def real_targets(self) -> Tensor:
        """Returns the targets at the real positions, group after group, int64 `(N,)`."""
        return torch.cat([group.target_BL[group.histories.real_BL()] for group in self.groups])

    def to(self, device: torch.device) -> TrainingBatch:
        """Returns the batch on a device."""
        return TrainingBatch([group.to(device) for group in self.groups], self.n_targets)


@dataclass(frozen=True)
class RankingBatch:
    """Histories whose target is known and shall be ranked.

    Attributes:
        histories: what the model sees.
        target_B: int64, the item that came.
        index_B: int64, position in the split's targets.
        hidden_row: int64 `(H,)`, rows of items that are not ranked because the user has seen them.
        hidden_item: int64 `(H,)`, those items.
    """

    histories: Histories
    target_B: Tensor
    index_B: Tensor
    hidden_row: Tensor
    hidden_item: Tensor

    def to(self, device: torch.device) -> RankingBatch:
        """Returns the batch on a device."""
        columns = (self.target_B, self.index_B, self.hidden_row, self.hidden_item)
        return RankingBatch(self.histories.to(device), *(column.to(device) for column in columns))

    def pieces(self, size: int) -> list[RankingBatch]:
        """Cuts the batch into pieces of so many histories, the last one with what is left."""
        cut = []
        for first in range(0, len(self.target_B), size):
            rows = slice(first, first + size)
            hidden_H = (self.hidden_row >= first) & (self.hidden_row < first + size)
            hidden = self.hidden_row[hidden_H] - first, self.hidden_item[hidden_H]
            cut.append(RankingBatch(self.histories.rows(rows), self.target_B[rows], self.index_B[rows], *hidden))
        return cut
