"""What an event of the past still weighs: a plain history, and one that fades with every step and with time.

Shape suffixes: B histories, L positions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ltsi.decay.statistics import SECONDS_PER_DAY
from ltsi.errors import ConfigError
from ltsi.histories import Histories


@dataclass(frozen=True)
class Fading:
    """The weight of an event: `fade^(steps ago) · 2^(−age / half_life)`; steps and age are counted from the last event.

    The time since the last event is left out: it is a factor that all events of a history share. It would change no
    rank, and make a user who comes back after years a user without a past.

    Attributes:
        fade: weight of an event relative to the one after it, above 0; 1: steps do not matter.
        half_life: days after which half the weight is left; None: time does not matter.

    Raises:
        ConfigError: a value is out of its range.
    """

    fade: float = 1.0
    half_life: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.fade <= 1:
            raise ConfigError(f"model.fade={self.fade} must be above 0 and at most 1; 1 is a plain history.")
        if self.half_life is not None and self.half_life <= 0:
            raise ConfigError(f"model.half_life={self.half_life} must be above 0 days, or null: time does not matter.")

    def __call__(self, histories: Histories) -> Tensor:
        """Weighs each event, float32 `(B, L)`: 1 the last one, 0 padding."""
        position_L = torch.arange(histories.item_BL.shape[1], device=histories.item_BL.device)
        steps_BL = (histories.length_B[:, None] - 1 - position_L).clamp(min=0)
        weight_BL = self.fade ** steps_BL.float()
        if self.half_life is not None:
            age_BL = (histories.last(histories.time_BL)[:, None] - histories.time_BL).clamp(min=0)
            weight_BL = weight_BL * torch.exp2(-age_BL.float() / (self.half_life * SECONDS_PER_DAY))
        return weight_BL * histories.real_BL()
