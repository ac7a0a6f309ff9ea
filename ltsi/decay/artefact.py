"""A fitted decay as an artefact: the rates that models start from. `ltsi.runs.fitted_decay` writes and reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ltsi.errors import RunError
from ltsi.store import Store

TRAIN = "train"
ITEM, ALL = "item", "all"


@dataclass(frozen=True)
class DecayArtefact:
    """A fitted decay, read back.

    Attributes:
        path: the folder.
        digest: sha256 of `decay.json`, which holds that of the table.
        entity: what an entity is: `item`, `all`, or a column of the item table.
        part: what it was fitted on: `train` or `all`.
        split: the resolved configuration of the split whose training part that is.
        fingerprint: of the store.
        rate_per_day: `λ` by label, of the entities that have one, after borrowing.
        pooled_rate_per_day: `λ` of all entities taken as one; where their form has none, which happens where many rates
            mix, the geometric mean of those that fall.
    """

    path: Path
    digest: str
    entity: str
    part: str
    split: Mapping[str, Any]
    fingerprint: str
    rate_per_day: Mapping[str, float]
    pooled_rate_per_day: float

    def rates_per_day(self, labels: list[str]) -> NDArray[np.float64]:
        """Returns `λ` by label, `(E,)`: that of the entity, else that of all."""
        found = [self.rate_per_day.get(label, self.pooled_rate_per_day) for label in labels]
        return np.array(found, dtype=np.float64)

    def item_rates_per_day(self, store: Store) -> NDArray[np.float64]:
        """Returns `λ` of each item of a store, `(items,)`.

        Raises:
            DataError: the item table has not the column that the entities are from.
        """
        if self.entity == ALL:
            return np.full(store.n_items, self.pooled_rate_per_day)
        if self.entity == ITEM:
            return self.rates_per_day([str(item) for item in store.items["item"]])
        codes, labels = store.item_codes(self.entity)
        return self.rates_per_day(labels)[codes]

    def require_fit_for(self, store: Store, split: Mapping[str, Any]) -> None:
        """Refuses a decay that has seen more, or something else, than the training part of a split.

        Args:
            store: what is trained on.
            split: the resolved configuration of the split that is trained on.

        Raises:
            RunError: it has.
        """
        if self.fingerprint != store.fingerprint:
            raise RunError(
                f"decay={self.path} was fitted on another log than store '{store.name}'; fit it again with "
                f"`ltsi decay-fit data={store.name} part=train`."
            )
        if self.part != TRAIN:
            raise RunError(
                f"decay={self.path} was fitted on the whole log (part={self.part}), so it knows the events that are "
                "held out; fit it again with part=train."
            )
        if dict(self.split) != dict(split):
            raise RunError(
                f"decay={self.path} was fitted on the training part of another split ({_named(self.split)}) than this "
                f"one ({_named(split)}), so it may know events that are held out; fit it again on this split."
            )


def _named(split: Mapping[str, Any]) -> str:
    settings = [
        f"{key}={value}" for key, value in split.items() if key not in {"name", "_target_"} and value is not None
    ]
    return " ".join([str(split.get("name")), *settings])
