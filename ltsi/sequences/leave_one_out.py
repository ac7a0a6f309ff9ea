"""Each user's last event is the test, the one before it the validation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from ltsi.sequences.leave_n import LeaveN


@dataclass(frozen=True)
class LeaveOneOut(LeaveN):
    """Leaves out a target event for the test and one for the validation; the test history contains the validation.

    Users with fewer than `min_events` events are only trained on.

    Attributes:
        min_events: events a user must have to be tested; at least 3.
    """

    name: ClassVar[str] = "leave_one_out"

    n: int = field(default=1, init=False)
    min_events: int = 3
