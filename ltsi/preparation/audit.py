"""What is in a log that a reader of its results should know."""

from __future__ import annotations

import time
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ltsi.findings import Finding
from ltsi.preparation.audit_block import Block, blocks
from ltsi.preparation.audit_counts import Counts
from ltsi.preparation.audit_drift import Drift
from ltsi.preparation.audit_pace import Pace
from ltsi.preparation.audit_ties import Ties
from ltsi.preparation.audit_times import Times
from ltsi.store import EncodedEvents

SAMPLE = 100_000  # times in the sample that the median and the precision are read from


class Check(Protocol):
    """Part of the audit that sees the log once, a block of users at a time."""

    def add(self, block: Block) -> None:
        """Takes note of a block."""
        ...

    def findings(self) -> list[Finding]:
        """Says what was found in all blocks."""
        ...


def audit(
    events: EncodedEvents,
    row: NDArray[np.int64],
    fraction: NDArray[np.int32] | None = None,
    *,
    clock: bool,
    ties: str = "file",
    now: int | None = None,
    block_events: int = 1_000_000,
) -> list[Finding]:
    """Audits a log in bounded memory: a block of events, and a few numbers for each user and each item.

    Args:
        events: the log, sorted by (user, time, fraction, row); its arrays may be memory-mapped.
        row: row of each event in the file, `(events,)`.
        fraction: nanoseconds of each event beside its second, `(events,)`; None if the log has none.
        clock: whether times are times.
        ties: what orders events of one time, of `store.TIES`.
        now: today, seconds since epoch UTC, to know the future by; None asks the computer.
        block_events: events in a block; it bounds memory and changes no finding.

    Returns:
        The findings, in reading order.
    """
    n_items = int(events.item.max()) + 1
    checks: list[Check] = [Counts(events, n_items, clock=clock)]
    if clock:
        sample = _sample(events.time)
        today = int(time.time()) if now is None else now
        checks += [Times(events, row, sample, today), Ties(events, n_items, ties), Pace()]
        checks.append(Drift(n_items, np.median(sample)))
    for block in blocks(events, row, fraction, block_events):
        for check in checks:
            check.add(block)
    return [finding for check in checks for finding in check.findings()]


def _sample(time: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns times drawn from all over the log, the same ones each time."""
    if len(time) <= SAMPLE:
        return np.asarray(time)
    drawn: NDArray[np.int64] = time[np.sort(np.random.default_rng(0).integers(0, len(time), SAMPLE))]
    return drawn
