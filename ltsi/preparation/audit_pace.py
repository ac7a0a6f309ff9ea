"""Audit of how fast users act: histories of one sitting, and rates that nobody has."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ltsi.findings import Finding
from ltsi.preparation.audit_block import Block

SITTING = 6 * 3_600  # seconds
OFTEN = 0.5  # share of the users that makes a log of sittings
PERIODS = {"minute": (60, 100), "day": (86_400, 1_000)}  # seconds, and events in them that nobody minds
FAR = 10  # times the busiest 1 % of the users


class Pace:
    """Span and busiest periods of each user."""

    def __init__(self) -> None:
        self._spans: list[NDArray[np.int64]] = []
        self._busiest: dict[str, list[NDArray[np.int64]]] = {period: [] for period in PERIODS}

    def add(self, block: Block) -> None:
        """Takes note of a block."""
        length = np.diff(block.offsets)
        start, end = block.offsets[:-1][length > 0], block.offsets[1:][length > 0]
        several = end - start > 1
        self._spans.append(block.time[end[several] - 1] - block.time[start[several]])
        for period, (seconds, _) in PERIODS.items():
            bucket = block.time // seconds
            runs = np.flatnonzero(np.concatenate([[True], ~block.step | (bucket[1:] != bucket[:-1])]))
            events = np.diff(runs, append=len(bucket))
            self._busiest[period].append(np.maximum.reduceat(events, np.searchsorted(runs, start)))

    def findings(self) -> list[Finding]:
        """Says what was found in all blocks."""
        return [*self._sittings(), *self._rates()]

    def _sittings(self) -> list[Finding]:
        spans = np.concatenate(self._spans)
        if not len(spans):
            return []
        share = float((spans <= SITTING).mean())
        sentence = (
            f"Share of the users whose whole history lies within {SITTING // 3_600} hours; "
            f"the median history takes {np.median(spans) / 86_400:,.2f} days"
        )
        if share < OFTEN:
            return [Finding("info", "sitting", round(share, 6), f"{sentence}.")]
        sentence += ": not suited to decay in wall-clock time, only the order counts."
        return [Finding("warn", "sitting", round(share, 6), sentence)]

    def _rates(self) -> list[Finding]:
        busiest = {period: np.concatenate(blocks) for period, blocks in self._busiest.items()}
        limits = {
            # The lower of two neighbours: among few users the higher one may be the robot.
            period: max(floor, int(FAR * np.percentile(busiest[period], 99, method="lower")))
            for period, (_, floor) in PERIODS.items()
        }
        over = {period: busiest[period] > limit for period, limit in limits.items()}
        bots = int(np.logical_or.reduce(list(over.values())).sum())
        if not bots:
            return []
        found = [period for period in PERIODS if over[period].any()]
        rates = " or ".join(f"{limits[one]:,} events in one {one} (up to {busiest[one].max():,})" for one in found)
        sentence = (
            f"Users with more than {rates}, far beyond 99 % of the users; to drop bots: clean=rate_limit "
            f"clean.rate_limit.events={limits[found[0]]} clean.rate_limit.minutes={PERIODS[found[0]][0] // 60}."
        )
        return [Finding("warn", "rate", bots, sentence)]
