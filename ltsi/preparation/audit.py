"""What is in a log that a reader of its results should know."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from ltsi.findings import Finding, Severity
from ltsi.store import NO_CLOCK, EncodedEvents, user_blocks

SHORT = 3  # events of a user that leave_one_out can test: one to train on, one to validate, one to test
MANY_TIES = 0.01
RESOLUTIONS = {"day": 86_400, "hour": 3_600, "minute": 60, "second": 1}


def audit(events: EncodedEvents, row: NDArray[np.int64], *, clock: bool) -> list[Finding]:
    """Audits a log in bounded memory.

    Args:
        events: the log, sorted by (user, time, row).
        row: row of each event in the file, `(events,)`.
        clock: whether times are times.

    Returns:
        The findings, in reading order.
    """
    counts = _count(events, row)
    users, items, total = len(events.offsets) - 1, len(np.unique(events.item)), len(events.item)
    steps = total - users
    findings = [
        Finding("info", "events", total, f"{total / users:.1f} a user; {', '.join(events.behaviors)}."),
        Finding("info", "users", users, _lengths(events)),
        Finding("info", "items", items, f"{total / items:.1f} events an item."),
    ]
    if clock:
        findings += _time_findings(events, counts, steps)
    else:
        findings.append(
            Finding("warn", "clock", "none", f"{NO_CLOCK}: time is the position; decay-fit and dates refuse.")
        )
    findings.append(_repeats(counts["repeats"], total))
    if clock:
        duplicates = counts["duplicates"]
        findings.append(
            Finding(
                "warn" if duplicates else "info",
                "duplicates",
                duplicates,
                "Events that agree with another in user, item, time and behavior"
                + (" (clean=duplicates drops them)." if duplicates else ": none."),
            )
        )
    findings.append(_short_users(events, users))
    return findings


def _count(events: EncodedEvents, row: NDArray[np.int64]) -> dict[str, int]:
    """Counts what needs the neighbours of an event, a block of users at a time."""
    found = {"ties": 0, "out_of_order": 0, "repeats": 0, "duplicates": 0}
    for first, last in user_blocks(events.offsets):
        rows = slice(int(events.offsets[first]), int(events.offsets[last]))
        user = np.repeat(np.arange(last - first), np.diff(events.offsets[first : last + 1]))
        step = user[1:] == user[:-1]
        item, time = events.item[rows].astype(np.int64), np.asarray(events.time[rows])
        behavior = events.behavior[rows]
        found["ties"] += int((step & (time[1:] == time[:-1])).sum())
        found["out_of_order"] += int((step & (row[rows][1:] < row[rows][:-1])).sum())
        order = np.lexsort((behavior, time, item, user))
        keys = np.stack([user, item, time, behavior])[:, order]
        same = keys[:, 1:] == keys[:, :-1]
        found["repeats"] += int(same[:2].all(axis=0).sum())
        found["duplicates"] += int(same.all(axis=0).sum())
    return found


def _time_findings(events: EncodedEvents, counts: dict[str, int], steps: int) -> list[Finding]:
    first, last = int(events.time.min()), int(events.time.max())
    unit = next(name for name, seconds in RESOLUTIONS.items() if not (events.time % seconds).any())
    share = counts["ties"] / steps if steps else 0.0
    late = counts["out_of_order"]
    return [
        Finding("info", "first_time", _date(first), "UTC."),
        Finding("info", "last_time", _date(last), f"UTC; the log spans {(last - first) / 86_400:,.1f} days."),
        Finding("info", "resolution", unit, f"Every time is a whole {unit}."),
        Finding(
            "warn" if share >= MANY_TIES else "info",
            "same_time_steps",
            round(share, 6),
            f"{counts['ties']:,} of {steps:,} steps of a user stay in one {unit}; their order is the file's.",
        ),
        Finding(
            "warn" if late else "info",
            "out_of_order",
            late,
            "Steps of a user that the file has the other way round; they were sorted by time."
            if late
            else "The file is in order of time.",
        ),
    ]


def _repeats(repeats: int, total: int) -> Finding:
    meaning = "seen items stay candidates" if repeats else "seen items are hidden"
    return Finding(
        "info", "repeats", repeats, f"{repeats / total:.1%} of events repeat an item of their user: {meaning}."
    )


def _lengths(events: EncodedEvents) -> str:
    low, middle, high = np.percentile(np.diff(events.offsets), [0, 50, 100]).astype(int)
    return f"Events a user: {low:,} at least, {middle:,} median, {high:,} at most."


def _short_users(events: EncodedEvents, users: int) -> Finding:
    short = int((np.diff(events.offsets) < SHORT).sum())
    severity: Severity = "info" if not short else ("error" if short == users else "warn")
    return Finding(
        severity,
        "short_users",
        short,
        f"Users with fewer than {SHORT} events: split=leave_one_out only trains on them.",
    )


def _date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
