"""What an interest is in: an item, a column of the item table, or anything at all."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ltsi.errors import DataError
from ltsi.store import NO_LABEL, Store

CATEGORY = "category"
ALL, AUTO, ITEM = "all", "auto", "item"


@dataclass(frozen=True)
class Entities:
    """What the items of a store stand for.

    Attributes:
        name: `item`, `all`, or the column.
        code_I: int32 `(items,)`, entity of each item.
        labels: name of each entity.
        unlabelled: code of the items that have no value in the column; None where all have one. What they have in
            common is only that nobody knows what they are, so they are no interest.
    """

    name: str
    code_I: NDArray[np.int32]
    labels: list[str]
    unlabelled: int | None = None

    @classmethod
    def of(cls, store: Store, wanted: str = AUTO) -> Entities:
        """Reads the entities of a store.

        Args:
            store: the store.
            wanted: `item`, `all`, a column of the item table, or `auto`: the column `category` if there is one and an
                item has a value in it, else everything together.

        Raises:
            DataError: the item table has no such column, or no item has a value in it.
        """
        if wanted == AUTO:
            found = cls._of_column(store, CATEGORY) if CATEGORY in store.items.columns else None
            if found is not None and found.labels != [NO_LABEL]:
                return found
            wanted = ALL
        if wanted == ALL:
            return cls(ALL, np.zeros(store.n_items, dtype=np.int32), ["any event"])
        if wanted == ITEM:
            return cls(ITEM, np.arange(store.n_items, dtype=np.int32), [str(item) for item in store.items["item"]])
        if wanted not in store.items.columns:
            known = ", ".join(column for column in store.items.columns if column != ITEM)
            raise DataError(
                f"The items of store '{store.name}' have no column '{wanted}'; they have: {known or 'none'}. '{ITEM}' "
                f"stands for each item by itself, '{ALL}' for everything that a user does."
            )
        found = cls._of_column(store, wanted)
        if found.labels == [NO_LABEL]:
            raise DataError(
                f"No item of store '{store.name}' has a value in column '{wanted}', so it tells no interests apart; "
                f"use '{ITEM}' for each item by itself, or '{ALL}' for everything that a user does."
            )
        return found

    @classmethod
    def _of_column(cls, store: Store, column: str) -> Entities:
        codes, labels = store.item_codes(column)
        return cls(column, codes, labels, labels.index(NO_LABEL) if NO_LABEL in labels else None)

    def labelled(self) -> Entities:
        """Returns the same without an entity for items that have no label: these have the code -1."""
        none = self.unlabelled
        if none is None:
            return self
        code_I = np.where(self.code_I == none, -1, self.code_I - (self.code_I > none)).astype(np.int32)
        return replace(self, code_I=code_I, labels=self.labels[:none] + self.labels[none + 1 :], unlabelled=-1)

    def count_unlabelled(self) -> str:
        """Says how many items have no label, as in "8 of 20 items"."""
        count = 0 if self.unlabelled is None else int((self.code_I == self.unlabelled).sum())
        return f"{count:,} of {len(self.code_I):,} items"
