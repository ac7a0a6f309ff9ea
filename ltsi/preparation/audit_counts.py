"""Audit of what needs no clock: sizes, repeats, duplicates, short users, concentration."""

from __future__ import annotations

import numpy as np

from ltsi.findings import Finding
from ltsi.preparation.audit_block import Block
from ltsi.store import NO_CLOCK, EncodedEvents

SHORT = 3  # events of a user that leave_one_out can test: one to train on, one to validate, one to test


class Counts:
    """Sizes of a log, and how often its events repeat each other."""

    def __init__(self, events: EncodedEvents, n_items: int, *, clock: bool) -> None:
        self._lengths = np.diff(events.offsets)
        self._behaviors = events.behaviors
        self._clock = clock
        self._per_item = np.zeros(n_items, dtype=np.int64)
        self._repeats = self._duplicates = 0

    def add(self, block: Block) -> None:
        """Takes note of a block."""
        n_items = len(self._per_item)
        # Where items are many, a fresh array of counts a block would take longer than the counting.
        np.add.at(self._per_item, block.item, 1)
        self._repeats += _copies(block.user() * n_items + block.item)
        # Events are sorted by user and time, so copies of each other lie in one run of ties.
        tied = np.flatnonzero(_in_tie(block))
        run = np.cumsum(np.concatenate([[True], ~block.tied]))[tied]
        n_behaviors = len(self._behaviors)
        self._duplicates += _copies((run * n_items + block.item[tied]) * n_behaviors + block.behavior[tied])

    def findings(self) -> list[Finding]:
        """Says what was found in all blocks."""
        users, total, items = len(self._lengths), int(self._lengths.sum()), int((self._per_item > 0).sum())
        low, middle, high = np.percentile(self._lengths, [0, 50, 100]).astype(int)
        lengths = f"Events per user: {low:,} at least, {middle:,} median, {high:,} at most."
        found = [
            Finding("info", "events", total, f"{total / users:.1f} per user; {', '.join(self._behaviors)}."),
            Finding("info", "users", users, lengths),
            Finding("info", "items", items, f"{total / items:.1f} events per item."),
        ]
        if not self._clock:
            sentence = (
                f"{NO_CLOCK}: time is only the position in the sequence, so decay-fit and splits by time are not "
                "available."
            )
            found.append(Finding("warn", "clock", "none", sentence))
        found += [self._repeated(total)]
        if self._clock:
            found.append(self._duplicated())
        return [*found, self._short(), self._concentration(total)]

    def _repeated(self, total: int) -> Finding:
        meaning = "seen items stay candidates" if self._repeats else "seen items are hidden"
        sentence = f"{self._repeats / total:.1%} of events repeat an item of their user: {meaning}."
        return Finding("info", "repeats", self._repeats, sentence)

    def _duplicated(self) -> Finding:
        agree = "Events that agree with another in user, item, time and behavior"
        if not self._duplicates:
            return Finding("info", "duplicates", 0, f"{agree}: none.")
        return Finding("warn", "duplicates", self._duplicates, f"{agree} (clean=duplicates drops them).")

    def _short(self) -> Finding:
        short = int((self._lengths < SHORT).sum())
        sentence = f"Users with fewer than {SHORT} events: split=leave_one_out only trains on them."
        return Finding("warn" if short else "info", "short_users", short, sentence)

    def _concentration(self, total: int) -> Finding:
        most = max(1, len(self._per_item) // 100)
        head = int(np.partition(self._per_item, -most)[-most:].sum())
        top, user = int(self._per_item.max()) / total, int(self._lengths.max()) / total
        sentence = (
            f"Share of the most frequent item; the top 1 % of the items have {head / total:.1%} of the events, "
            f"the most active user {user:.1%}."
        )
        return Finding("info", "concentration", round(top, 6), sentence)


def _copies(keys: np.ndarray) -> int:
    """Counts keys beyond the first of their kind; reorders them."""
    keys.sort()
    return int((keys[1:] == keys[:-1]).sum())


def _in_tie(block: Block) -> np.ndarray:
    """Returns which events have their user and time in common with a neighbour, bool `(events,)`."""
    after, before = np.zeros(len(block.item), dtype=bool), np.zeros(len(block.item), dtype=bool)
    after[1:] = before[:-1] = block.tied
    return after | before
