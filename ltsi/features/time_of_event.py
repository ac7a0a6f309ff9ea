"""When an event happens, by the clock of the log (UTC).

```yaml
event: {hour: hour_of_day, weekday: day_of_week}   # 0 to 23 and Monday to Sunday, as codes 2, 3, ...
```
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ltsi.features.encoder import KNOWN, Layout

HOUR, DAY = 3_600, 86_400
THURSDAY = 3  # the first of January 1970, where Monday is 0


@dataclass(frozen=True)
class HourOfDay:
    """The hour, 24 codes."""

    values: ClassVar[int] = 24

    def code(self, time_B: Tensor) -> Tensor:
        """Returns the code of each time in seconds since 1970, int64 `(B,)`."""
        return KNOWN + time_B % DAY // HOUR

    def layout(self, name: str) -> Layout:
        """One column of codes; the codes of missing and unseen values stay unused."""
        return Layout(categorical={name: KNOWN + self.values})


@dataclass(frozen=True)
class DayOfWeek(HourOfDay):
    """The weekday, 7 codes."""

    values: ClassVar[int] = 7

    def code(self, time_B: Tensor) -> Tensor:
        """Returns the code of each time in seconds since 1970, int64 `(B,)`."""
        return KNOWN + (time_B // DAY + THURSDAY) % self.values
