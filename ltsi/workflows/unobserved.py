"""A "now" after the end of a log: nothing is known of the time between, and silence there is none of the users'."""

from __future__ import annotations

from ltsi.intensity.series import DAY
from ltsi.moments import as_date
from ltsi.store import Store


def seconds_unobserved(store: Store, now: int | None) -> int:
    """Returns how long after the last event of a log a moment is; 0 before it, without a moment, or without a clock."""
    last = store.manifest["time"].get("last")
    if now is None or last is None or not store.has_clock:
        return 0
    return max(now - int(last) - 1, 0)


def told(store: Store, seconds: int) -> str:
    """Says how long after the end of a log a moment is, and when that was."""
    last = as_date(int(store.manifest["time"]["last"]), "m")
    return f"{seconds / DAY:,.1f} days after the end of the log ({last})"
