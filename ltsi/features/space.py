"""The space of features: fitted once on the training part of a split, saved as plain data, applied to any store."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from ltsi.errors import DataError, RunError
from ltsi.features.column import Column
from ltsi.features.cross import Cross, CrossEncoder
from ltsi.features.declarations import EVENT_KINDS, KINDS, Declarations, Declared
from ltsi.features.encoded import EncodedFeatures, FeatureTable
from ltsi.features.encoder import Encoder, Layout
from ltsi.sequences.split import Split
from ltsi.store import Store

BLOCK_EVENTS = 1_000_000


@dataclass(frozen=True)
class Feature:
    """A fitted feature of the items or the users.

    Attributes:
        name: `item.price`.
        column: column of the table.
        kind: name of the kind.
        encoder: what was fitted.
    """

    name: str
    column: str
    kind: str
    encoder: Encoder


@dataclass(frozen=True)
class FeatureSpace:
    """Fitted features.

    Attributes:
        item: features of the items.
        user: features of the users.
        event: kind of each feature of the event's time, by name.
        cross: fitted crosses.
    """

    item: tuple[Feature, ...] = ()
    user: tuple[Feature, ...] = ()
    event: Mapping[str, str] = field(default_factory=dict)
    cross: tuple[CrossEncoder, ...] = ()

    @classmethod
    def fit(cls, split: Split, declarations: Declarations) -> FeatureSpace:
        """Fits vocabularies and statistics on the training part.

        Only the rows of items and users with training events are shown to what is fitted; each counts as often as it
        has training events.

        Args:
            split: says which events are for training.
            declarations: the features.

        Raises:
            DataError: a column does not fit its kind; the item or user is named.
        """
        count_U, count_I = training_counts(split)
        item = _fit_table(declarations.item, split.store.items, "item", count_I)
        user = _fit_table(declarations.user, split.store.users, "user", count_U)
        single = cls(item, user, dict(declarations.event))
        if not declarations.cross:
            return single
        features, sizes = single.encode(split.store), single.layout.categorical
        position = {name: column for column, name in enumerate(sizes)}

        last = features.codes(*last_training_events(split))

        def fit(cross: Cross) -> CrossEncoder:
            columns = [position[name] for name in cross.of]
            codes = (features.codes(*events)[:, columns] for events in training_events(split))
            return cross.fit(codes, [sizes[name] for name in cross.of], last[:, columns])

        cross = tuple(map(fit, declarations.cross))
        return cls(item, user, single.event, cross)

    @property
    def item_layout(self) -> Layout:
        """Columns of `EncodedFeatures.items`."""
        return _layout(self.item)

    @property
    def user_layout(self) -> Layout:
        """Columns of `EncodedFeatures.users`."""
        return _layout(self.user)

    @property
    def layout(self) -> Layout:
        """Columns of `EncodedFeatures.events`: users, items, event; crosses."""
        clock = [EVENT_KINDS[kind]().layout(name) for name, kind in self.event.items()]
        crossed = Layout(cross={cross.name: cross.n_codes for cross in self.cross})
        return reduce(Layout.__add__, [self.user_layout, self.item_layout, *clock, crossed])

    def encode(self, store: Store) -> EncodedFeatures:
        """Encodes the items and users of a store, be it the one that was fitted or another.

        Raises:
            DataError: a column is not there or does not fit its kind.
        """
        return EncodedFeatures(
            layout=self.layout,
            item_table=_encode_table(self.item, store.items, "item"),
            user_table=_encode_table(self.user, store.users, "user"),
            event_features=tuple(EVENT_KINDS[kind]() for kind in self.event.values()),
            crosses=tuple((cross, torch.tensor(cross.keys, dtype=torch.int64)) for cross in self.cross),
        )

    def state(self) -> dict[str, Any]:
        """Returns what was fitted as plain data: dictionaries, lists, text and numbers."""

        def of_table(features: tuple[Feature, ...]) -> list[dict[str, Any]]:
            return [
                {
                    "name": feature.name,
                    "column": feature.column,
                    "kind": feature.kind,
                    "fitted": feature.encoder.state(),
                }
                for feature in features
            ]

        return {
            "item": of_table(self.item),
            "user": of_table(self.user),
            "event": dict(self.event),
            "cross": [cross.state() for cross in self.cross],
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> FeatureSpace:
        """Returns the space whose state it is."""

        def of_table(entries: Iterable[Mapping[str, Any]]) -> tuple[Feature, ...]:
            return tuple(
                Feature(entry["name"], entry["column"], entry["kind"], KINDS[entry["kind"]][1](**entry["fitted"]))
                for entry in entries
            )

        cross = tuple(CrossEncoder(**fitted) for fitted in state["cross"])
        return cls(of_table(state["item"]), of_table(state["user"]), dict(state["event"]), cross)

    def save(self, path: Path) -> None:
        """Writes the state as JSON."""
        path.write_text(json.dumps(self.state(), ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> FeatureSpace:
        """Reads a state from JSON.

        Raises:
            RunError: the file is not there, or holds something else.
        """
        try:
            return cls.from_state(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise RunError(f"{path} cannot be read as fitted features ({error}); train again.") from error


def training_counts(split: Split) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Counts the training events of each user, int64 `(users,)`, and of each item, int64 `(items,)`."""
    count_I = np.zeros(split.store.n_items, dtype=np.int64)
    for block in split.training_blocks():
        count_I += np.bincount(block.item, minlength=len(count_I))
    return np.asarray(split.train_end - split.store.offsets[:-1]), count_I


def training_events(split: Split) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Passes over the training events in blocks: user, item and time, int64 `(B,)` each."""
    for block in split.training_blocks(BLOCK_EVENTS):
        yield torch.from_numpy(block.user()), torch.from_numpy(block.item).long(), torch.from_numpy(block.time)


def last_training_events(split: Split) -> tuple[Tensor, Tensor, Tensor]:
    """Returns user, item and time of the last training event of each user who has some, int64 `(U,)` each."""
    user = np.flatnonzero(split.train_end > split.store.offsets[:-1])
    row = split.train_end[user] - 1
    item, time = (
        torch.from_numpy(np.asarray(column[row], np.int64)) for column in (split.store.item, split.store.time)
    )
    return torch.from_numpy(user), item, time


def _fit_table(
    declared: Iterable[Declared], table: pl.DataFrame, what: str, count: NDArray[np.int64]
) -> tuple[Feature, ...]:
    fitted = []
    for feature in declared:
        trained = _column(table, feature.name, feature.column, what).rows(count > 0)
        encoder = feature.options.fit(trained, count[count > 0])
        fitted.append(Feature(feature.name, feature.column, feature.kind, encoder))
    return tuple(fitted)


def _encode_table(features: Iterable[Feature], table: pl.DataFrame, what: str) -> FeatureTable:
    """Encodes every row of a table, and one more that is nobody's."""
    full = pl.concat([table, table.clear(1)])
    columns = [feature.encoder.encode(_column(full, feature.name, feature.column, what)) for feature in features]
    return FeatureTable.join(columns, full.height)


def _column(table: pl.DataFrame, name: str, column: str, what: str) -> Column:
    if column not in table.columns:
        raise DataError(
            f"features.{name} needs column '{column}', which the {what} table lacks; it has: "
            f"{', '.join(table.columns)}; prepare the store with that column."
        )
    return Column(table[column], table.to_series(0), what, f"features.{name}")


def _layout(features: Iterable[Feature]) -> Layout:
    return reduce(Layout.__add__, (feature.encoder.layout(feature.name) for feature in features), Layout())
