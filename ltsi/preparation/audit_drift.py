"""Audit of drift: whether what is popular stays so."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import jensenshannon

from ltsi.findings import Finding
from ltsi.preparation.audit_block import Block

MOSTLY = 0.5


class Drift:
    """Item counts of the earlier and the later half of a log."""

    def __init__(self, n_items: int, cut: float) -> None:
        """Prepares for one pass.

        Args:
            n_items: number of items.
            cut: time that halves the events.
        """
        self._cut = cut
        self._all = np.zeros(n_items, dtype=np.int64)
        # By time, and for comparison by lot.
        self._later = {name: np.zeros(n_items, dtype=np.int64) for name in ("time", "lot")}

    def add(self, block: Block) -> None:
        """Takes note of a block."""
        event = np.arange(block.start, block.start + len(block.item), dtype=np.uint64)
        # The top bit of a multiplicative hash: the same for a log, whatever its blocks.
        lot = (event * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(63)
        np.add.at(self._all, block.item, 1)
        for name, half in (("time", block.time >= self._cut), ("lot", lot == 1)):
            np.add.at(self._later[name], block.item[half], 1)

    def findings(self) -> list[Finding]:
        """Says what was found in all blocks."""
        late, by_lot = self._later["time"], self._later["lot"]
        early = self._all - late
        if not early.sum() or not late.sum():
            return []
        new = float(late[early == 0].sum() / late.sum())
        by_time, by_chance = _distance(early, late), _distance(self._all - by_lot, by_lot)
        sentence = (
            "Share of the later half of the events whose item does not occur in the earlier half; the Jensen-Shannon "
            f"distance of the halves is {by_time:.2f}, and {by_chance:.2f} for random halves"
        )
        if new < MOSTLY:
            return [Finding("info", "drift", round(new, 6), f"{sentence}.")]
        return [Finding("warn", "drift", round(new, 6), f"{sentence}: a split by time meets mostly new items.")]


def _distance(one: NDArray[np.int64], other: NDArray[np.int64]) -> float:
    return float(jensenshannon(one, other, base=2)) if one.any() and other.any() else 0.0
