"""What an interest is in: an item, a column of the item table, or anything at all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ltsi.errors import DataError
from ltsi.store import Store

CATEGORY = "category"
ALL, AUTO, ITEM = "all", "auto", "item"


@dataclass(frozen=True)
class Entities:
    """What the items of a store stand for.

    Attributes:
        name: `item`, `all`, or the column.
        code_I: int32 `(items,)`, entity of each item.
        labels: name of each entity.
    """

    name: str
    code_I: NDArray[np.int32]
    labels: list[str]

    @classmethod
    def of(cls, store: Store, wanted: str = AUTO) -> Entities:
        """Reads the entities of a store.

        Args:
            store: the store.
            wanted: `item`, `all`, a column of the item table, or `auto`: the column `category` if there is one, else
                everything together.

        Raises:
            DataError: the item table has no such column.
        """
        if wanted == AUTO:
            wanted = CATEGORY if CATEGORY in store.items.columns else ALL
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
        codes, labels = store.item_codes(wanted)
        return cls(wanted, codes, labels)
