"""What users did is the label: a buy is positive, a cart or an impression is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ltsi.errors import ConfigError, did_you_mean
from ltsi.objectives.labels.labels import EventLabeller, Labels
from ltsi.sequences.split import Split


@dataclass(frozen=True)
class Behavior(Labels):
    """An example for every target event of the split (`split.target_behaviors`), positive by its behaviour.

    With a behaviour such as `impression` among the targets, the negatives are what users were shown and left.

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
                    f"objective.labels.positive: '{name}' is no behaviour that is asked for."
                    f"{did_you_mean(name, asked)} "
                    f"In store '{split.store.name}' these are (split.target_behaviors): {', '.join(asked)}."
                )
        if not positive or set(positive) >= set(asked):
            raise ConfigError(
                f"objective.labels.positive={positive} must be some, not all, of what is asked for "
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
        positive = [name for name, one in zip(split.store.behaviors, positive_code, strict=True) if one]
        self.protocol = f"every target event is an example, and {' and '.join(positive)} positive"

    def label(self, row_N: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Returns which events have a positive behaviour."""
        return np.asarray(self.positive_code[self.split.store.behavior[row_N]])
