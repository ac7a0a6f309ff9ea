"""What users did is the label: a buy is positive, a cart or an impression is not."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ltsi.errors import ConfigError, did_you_mean
from ltsi.objectives.labels.labels import EventLabeller, Labels
from ltsi.objectives.labels.outcome import next_of_item
from ltsi.sequences.split import Split
from ltsi.store import user_blocks

log = logging.getLogger(__name__)

MOST = 0.5
"""Share of the positives that may follow a negative with the same item before this is told."""

LOOKED_AT = 1_000_000
"""Events that are looked at for it."""


@dataclass(frozen=True)
class Behavior(Labels):
    """An example for every target event of the split (`split.target_behaviors`), positive by its behaviour.

    An event is one thing or the other: where a click follows an impression as an event of its own, the impression would
    be a negative though it was not left, and tell of the click that comes; see `ltsi.objectives.labels.outcome`.

    Attributes:
        positive: behaviours that are positive.
    """

    name: ClassVar[str] = "behavior"

    positive: Sequence[str] | str = ()

    def on(self, split: Split) -> BehaviorLabeller:
        """Reads the behaviours; see `Labels.on`."""
        known, target_code = split.store.behaviors, split.roles.target_code
        asked = known if target_code is None else [name for name, one in zip(known, target_code, strict=True) if one]
        positive = [self.positive] if isinstance(self.positive, str) else list(self.positive)
        for name in positive:
            if name not in asked:
                raise ConfigError(
                    f"objective.labels.positive: '{name}' is not one of the target behaviours."
                    f"{did_you_mean(name, asked)} "
                    f"In store '{split.store.name}' these are (split.target_behaviors): {', '.join(asked)}."
                )
        if not positive or set(positive) >= set(asked):
            raise ConfigError(
                f"objective.labels.positive={positive} must be some, not all, of the target behaviours "
                f"(split.target_behaviors): {', '.join(asked)}; or draw negatives with objective/labels=sampled."
            )
        return BehaviorLabeller(split, self.name, np.array([name in positive for name in known]))


class BehaviorLabeller(EventLabeller):
    """Labels by behaviour.

    Args:
        split: has the events.
        name: name of the labels.
        positive_code: bool `(behaviors,)`.
    """

    def __init__(self, split: Split, name: str, positive_code: NDArray[np.bool_]) -> None:
        super().__init__(split, name)
        self.positive_code = positive_code
        code = split.roles.target_code
        asked_code = np.ones_like(positive_code) if code is None else code
        self.positive, self.others = (
            [name for name, one in zip(split.store.behaviors, codes, strict=True) if one]
            for codes in (positive_code, asked_code & ~positive_code)
        )
        self.protocol = f"every target event is an example, and {' and '.join(self.positive)} positive"
        self._warn_of_pairs()

    def _warn_of_pairs(self) -> None:
        """Says where most positives follow a negative with the same item, by the users of a first block of the log."""
        store, (first, last) = self.split.store, next(iter(user_blocks(self.split.store.offsets, LOOKED_AT)))
        rows = slice(int(store.offsets[first]), int(store.offsets[last]))
        row_M = rows.start + np.flatnonzero(self.split.roles.is_target(store.behavior[rows]))
        user_M = np.searchsorted(store.offsets, row_M, side="right") - 1
        label_M, next_M = self.label(row_M), next_of_item(user_M, store.item[row_M])
        preceded = label_M[next_M[(next_M >= 0) & ~label_M]].sum()
        if preceded > MOST * label_M.sum():
            log.warning(
                "objective/labels=behavior: %.0f %% of the positive examples follow a negative one of the same user "
                "and item, which is then mislabelled and gives the positive one away. If these are showings and "
                "actions on them, predict what follows a showing: objective/labels=outcome "
                "'objective.labels.positive=[%s]' 'split.target_behaviors=[%s]'.",
                100 * preceded / label_M.sum(),
                ",".join(self.positive),
                ",".join(self.others),
            )

    def label(self, row_N: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Returns which events have a positive behaviour."""
        return np.asarray(self.positive_code[self.split.store.behavior[row_N]])
