"""Audit of ties: events of a user at one time, whose order is not the user's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ltsi.findings import Finding
from ltsi.preparation.audit_block import Block
from ltsi.store import TIES, EncodedEvents, user_blocks

MANY = 0.01  # share of the steps that makes ties matter
BASKET = 5  # events at one time, on average, that make a basket
REACH = 8  # places between two events of a tie that are compared
MAX_PAIRS = 2_000_000  # pairs that are compared
ENOUGH = 10  # contradictions that chance would make, to tell an order from none


class Ties:
    """Runs of events of one user at one time."""

    def __init__(self, events: EncodedEvents, n_items: int, order: str) -> None:
        self._events, self._n_items, self._owner = events, n_items, TIES[order]
        self._steps = self._ties = self._unordered = self._runs = 0

    def add(self, block: Block) -> None:
        """Takes note of a block."""
        tied = block.tied
        self._steps += int(block.step.sum())
        self._ties += int(tied.sum())
        self._unordered += int(block.unordered.sum())
        self._runs += int(tied[:1].sum() + (tied[1:] & ~tied[:-1]).sum())

    def findings(self) -> list[Finding]:
        """Says what was found in all blocks."""
        share = self._ties / self._steps if self._steps else 0.0
        counted = f"{self._ties:,} of {self._steps:,} steps of a user stay at one time"
        sentence = f"{counted}; their order is {self._owner}."
        if told := self._ties - self._unordered:
            rest = f"; that of the others is {self._owner}" if self._unordered else ""
            sentence = f"{counted} by whole seconds; fractions of a second order {told:,} of them{rest}."
        matters = self._unordered >= MANY * self._steps > 0
        found = [Finding("warn" if matters else "info", "same_time_steps", round(share, 6), sentence)]
        if not self._ties:
            return found
        return [*found, self._baskets(), self._order(matters=matters)]

    def _baskets(self) -> Finding:
        inside = self._ties + self._runs
        size, share = inside / self._runs, inside / len(self._events.item)
        sentence = f"Times at which a user has several events, {size:.1f} on average, {share:.1%} of all events"
        if size < BASKET or share < 0.5:
            return Finding("info", "baskets", self._runs, f"{sentence}.")
        advice = (
            "a step inside a basket is not a step in time; see 'augmentation=[shuffle_ties,later]' of `ltsi train`."
        )
        return Finding("warn", "baskets", self._runs, f"{sentence}: {advice}")

    def _order(self, *, matters: bool) -> Finding:
        pairs = compare_ties(self._events, self._n_items, MAX_PAIRS)
        if pairs.ascending in {0, pairs.total} and pairs.total > 2 * ENOUGH:
            return _one_order(f"all {pairs.total:,} tied pairs{pairs.where} are in the order of the item ids", matters)
        counted = (
            f"{pairs.contradicted:,} of {pairs.repeated:,} pairs of items that are tied more than once{pairs.where} "
            f"occur in both orders, {pairs.expected:,.0f} would by chance"
        )
        if pairs.expected < ENOUGH:
            return Finding("info", "tie_order", "unknown", f"Too little to tell: {counted}.")
        if pairs.contradicted <= 0.01 * pairs.expected:
            return _one_order(counted, matters)
        if pairs.contradicted < 0.5 * pairs.expected:
            return Finding("info", "tie_order", "partly one order", f"Some order of the items shows: {counted}.")
        return Finding("info", "tie_order", "random", f"No order of the items shows: {counted}.")


def _one_order(evidence: str, matters: bool) -> Finding:
    sentence = (
        "A model can learn this order, which says nothing of interests; compare with a store of ties=shuffle "
        f"({evidence})."
    )
    return Finding("warn" if matters else "info", "tie_order", "one global order of items", sentence)


@dataclass(frozen=True)
class TiedPairs:
    """Pairs of different items that a user has at one time.

    Attributes:
        total: pairs of events.
        ascending: those whose first item has the lower index.
        repeated: different pairs of items that occur more than once.
        contradicted: those that occur in both orders.
        expected: how many would, if each occurrence had an order of its own.
        where: what was compared, if not everything.
    """

    total: int
    ascending: int
    repeated: int
    contradicted: int
    expected: float
    where: str


def compare_ties(events: EncodedEvents, n_items: int, max_pairs: int, block_events: int = 250_000) -> TiedPairs:
    """Compares the orders in which ties have the same two items, in bounded memory.

    Args:
        events: the log.
        n_items: number of items.
        max_pairs: about how many pairs of events to look at; blocks of users are drawn until they are reached.
        block_events: events in a block.
    """
    found: list[NDArray[np.int64]] = []
    size = users = 0
    users_of = list(user_blocks(events.offsets, block_events))
    for chosen in np.random.default_rng(0).permutation(len(users_of)):
        first, last = users_of[chosen]
        found.append(_keys(events, first, last, n_items))
        users, size = users + last - first, size + len(found[-1])
        if size >= max_pairs:
            break
    keys = np.sort(np.concatenate(found))
    pair, ascending = keys >> 1, keys & 1
    starts = np.flatnonzero(np.diff(pair, prepend=-1))
    count = np.diff(starts, append=len(pair))
    up = np.add.reduceat(ascending, starts) if len(starts) else ascending
    n_users = len(events.offsets) - 1
    return TiedPairs(
        total=len(keys),
        ascending=int(ascending.sum()),
        repeated=int((count > 1).sum()),
        contradicted=int(((up > 0) & (up < count)).sum()),
        expected=float((1 - 0.5 ** (count - 1)).sum()),
        where="" if users == n_users else f" in a sample of {users / n_users:.1%} of the users",
    )


def _keys(events: EncodedEvents, first: int, last: int, n_items: int) -> NDArray[np.int64]:
    """Numbers the pairs of tied events of different items, by the two items and whether the lower one comes first."""
    offsets = np.asarray(events.offsets[first : last + 1])
    rows = slice(int(offsets[0]), int(offsets[-1]))
    item, time = events.item[rows].astype(np.int64), np.asarray(events.time[rows])
    user = np.repeat(np.arange(last - first), np.diff(offsets))
    found = []
    for reach in range(1, REACH + 1):
        both = np.flatnonzero((time[reach:] == time[:-reach]) & (user[reach:] == user[:-reach]))
        if not len(both):
            break
        earlier, later = item[both], item[both + reach]
        low, high = np.minimum(earlier, later), np.maximum(earlier, later)
        found.append(((low * n_items + high) * 2 + (earlier < later))[low < high])
    return np.concatenate(found) if found else np.empty(0, dtype=np.int64)
