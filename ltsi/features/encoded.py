"""The encoded features of a store: what a row has is computed once, a batch is a gather.

Shape suffixes: B rows of a batch, I rows of a table, F features, C categorical columns, N numbers, V numbers of all
vectors, X crosses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ltsi.features.cross import CrossEncoder
from ltsi.features.encoder import KNOWN, UNSEEN, EncodedColumn, Layout
from ltsi.features.time_of_event import HourOfDay


@dataclass(frozen=True)
class Bags:
    """The tags of a batch, as `torch.nn.EmbeddingBag` takes them; no bag is empty.

    Attributes:
        code: int64, codes of all bags, bag after bag.
        offset_B: int64, where each bag begins.
    """

    code: Tensor
    offset_B: Tensor

    def to(self, device: torch.device) -> Bags:
        """Returns the bags on a device."""
        return Bags(self.code.to(device), self.offset_B.to(device))


@dataclass(frozen=True)
class FeatureBatch:
    """Features of a batch; the layout says which column is which.

    Attributes:
        categorical_BC: int64 codes.
        numeric_BN: float32, normalised numbers and indicators of missing values.
        tags: bags of codes, one a feature.
        vector_BV: float32, the vectors one beside the other.
        cross_BX: int64 codes.
    """

    categorical_BC: Tensor
    numeric_BN: Tensor
    tags: tuple[Bags, ...]
    vector_BV: Tensor
    cross_BX: Tensor

    def __len__(self) -> int:
        return len(self.categorical_BC)

    def to(self, device: torch.device) -> FeatureBatch:
        """Returns the batch on a device."""
        return FeatureBatch(
            self.categorical_BC.to(device),
            self.numeric_BN.to(device),
            tuple(bags.to(device) for bags in self.tags),
            self.vector_BV.to(device),
            self.cross_BX.to(device),
        )


@dataclass(frozen=True)
class FeatureTable:
    """All features of the items, or of the users. The last row is nobody's: every value is missing.

    Attributes:
        place_IF: uint8, MISSING, UNSEEN or KNOWN.
        categorical_IC: int32.
        numeric_IN: float32.
        tags: int32 codes, and int64 `(I + 1,)` where the bag of each row begins, of each feature.
        vector_IV: float32.
    """

    place_IF: Tensor
    categorical_IC: Tensor
    numeric_IN: Tensor
    tags: tuple[tuple[Tensor, Tensor], ...]
    vector_IV: Tensor

    @classmethod
    def join(cls, columns: Sequence[EncodedColumn], n_rows: int) -> FeatureTable:
        """Puts features beside each other.

        Args:
            columns: the features.
            n_rows: rows of each.
        """
        codes = [column.code_I[:, None] for column in columns if column.code_I is not None]
        return cls(
            _beside([column.place_I[:, None] for column in columns], n_rows, np.uint8),
            _beside(codes, n_rows, np.int32),
            _beside([column.numeric_IN for column in columns if column.numeric_IN is not None], n_rows, np.float32),
            tuple(
                (torch.from_numpy(column.tags[0]), torch.from_numpy(column.tags[1]))
                for column in columns
                if column.tags is not None
            ),
            _beside([column.vector_IV for column in columns if column.vector_IV is not None], n_rows, np.float32),
        )

    def to(self, device: torch.device) -> FeatureTable:
        """Returns the table on a device."""
        return FeatureTable(
            self.place_IF.to(device),
            self.categorical_IC.to(device),
            self.numeric_IN.to(device),
            tuple((code.to(device), offsets.to(device)) for code, offsets in self.tags),
            self.vector_IV.to(device),
        )

    def take(self, index_B: Tensor) -> FeatureBatch:
        """Gathers rows.

        Args:
            index_B: int64, row indices; the number of items (or users) is nobody.
        """
        return FeatureBatch(
            self.codes(index_B),
            self.numeric_IN.index_select(0, index_B),
            tuple(_take_bags(code, offsets, index_B) for code, offsets in self.tags),
            self.vector_IV.index_select(0, index_B),
            index_B.new_empty((len(index_B), 0)),
        )

    def codes(self, index_B: Tensor) -> Tensor:
        """Gathers the codes alone, int64 `(B, C)`."""
        return self.categorical_IC.index_select(0, index_B).long()


@dataclass(frozen=True)
class EncodedFeatures:
    """The features of a store's items, users and events.

    Attributes:
        layout: the columns of `events`: user features, item features, event features; crosses.
        item_table: features of the items; row `n_items`, the padding of histories, is nobody.
        user_table: features of the users; row `n_users` is an unknown user.
        event_features: features of the time of an event.
        crosses: fitted crosses, and the keys of each.
    """

    layout: Layout
    item_table: FeatureTable
    user_table: FeatureTable
    event_features: tuple[HourOfDay, ...]
    crosses: tuple[tuple[CrossEncoder, Tensor], ...]

    def to(self, device: torch.device) -> EncodedFeatures:
        """Returns the features on a device."""
        crosses = tuple((cross, keys.to(device)) for cross, keys in self.crosses)
        return EncodedFeatures(
            self.layout, self.item_table.to(device), self.user_table.to(device), self.event_features, crosses
        )

    def items(self, item_B: Tensor) -> FeatureBatch:
        """Returns the features of items, laid out as `FeatureSpace.item_layout`; int64 `(B,)`."""
        return self.item_table.take(item_B)

    def users(self, user_B: Tensor) -> FeatureBatch:
        """Returns the features of users, laid out as `FeatureSpace.user_layout`; int64 `(B,)`."""
        return self.user_table.take(user_B)

    def events(self, user_B: Tensor, item_B: Tensor, time_B: Tensor) -> FeatureBatch:
        """Returns all features of events, real or imagined, laid out as `layout`.

        Args:
            user_B: int64, user indices.
            item_B: int64, item indices.
            time_B: int64, seconds since epoch: the "now" of a prediction.
        """
        users, items = self.users(user_B), self.items(item_B)
        categorical_BC = self.codes(user_B, item_B, time_B)
        return FeatureBatch(
            categorical_BC,
            torch.cat([users.numeric_BN, items.numeric_BN], dim=1),
            users.tags + items.tags,
            torch.cat([users.vector_BV, items.vector_BV], dim=1),
            self.crosses_of(categorical_BC),
        )

    def renewed(self, batch: FeatureBatch, chance_BX: Tensor) -> FeatureBatch:
        """Treats some combinations of training events as new; see `ltsi.features.cross`.

        Args:
            batch: from `events`.
            chance_BX: random numbers in [0, 1), one a cross.
        """
        new_X = torch.tensor([cross.new for cross, _ in self.crosses], dtype=chance_BX.dtype)
        renewed_BX = (chance_BX < new_X) & (batch.cross_BX >= KNOWN)
        return replace(batch, cross_BX=batch.cross_BX.masked_fill(renewed_BX, UNSEEN))

    def codes(self, user_B: Tensor, item_B: Tensor, time_B: Tensor) -> Tensor:
        """Returns the codes of `events` alone, int64 `(B, C)`."""
        clock = [feature.code(time_B)[:, None] for feature in self.event_features]
        return torch.cat([self.user_table.codes(user_B), self.item_table.codes(item_B), *clock], dim=1)

    def crosses_of(self, categorical_BC: Tensor) -> Tensor:
        """Returns the crosses of rows of `codes`, int64 `(B, X)`."""
        position = {name: column for column, name in enumerate(self.layout.categorical)}
        codes = [
            cross.code(categorical_BC[:, [position[name] for name in cross.of]], keys) for cross, keys in self.crosses
        ]
        return torch.stack(codes, dim=1) if codes else categorical_BC[:, :0]


def _beside(arrays: Sequence[np.ndarray], n_rows: int, dtype: type[np.generic]) -> Tensor:
    return torch.from_numpy(np.hstack([np.empty((n_rows, 0), dtype), *arrays]))


def _take_bags(code: Tensor, offsets: Tensor, index_B: Tensor) -> Bags:
    start_B = offsets[index_B]
    length_B = offsets[index_B + 1] - start_B
    offset_B = length_B.cumsum(0) - length_B
    within = torch.arange(int(length_B.sum()), device=code.device)
    return Bags(code[within + (start_B - offset_B).repeat_interleave(length_B)].long(), offset_B)
