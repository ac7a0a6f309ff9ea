"""Sufficient statistics of the return hazard, collected in one pass over the events.

The events of one user with one entity (an item, a category, ...) are cut into visits: events at most `session_gap`
apart are one visit. From the last event of a visit the user is at risk of coming back, first at age `session_gap` (an
earlier event would have belonged to the visit) and until the next visit or the end of the observation. An interval cut
off by the end is right-censored: it adds exposure and no return.

An interval is kept as the age bin it ends in and the days it spent in that bin; all bins before it were crossed in
full. Returns and exposure in every bin follow by summing from the right, so the table has at most one entry per visit.
It is kept per group of users: resampling users then reweights the table and never reads the log again.

Exposure is counted in days, or in trials: the days on which the user was active at all, or the user's events, each of
which could have been a return (`ltsi.decay.trials`). Trials lie at single ages, so they are counted in their bins and
nothing is summed from the right.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ltsi.decay.forms import Floats
from ltsi.decay.intervals import EventBlock, Events, find_intervals
from ltsi.decay.trials import DAYS, count_trials
from ltsi.sparse_sum import SparseSum

SECONDS_PER_DAY = 86_400.0
MAX_USERS = 32_768
"""As many users are told apart."""

GROUPS = 4_096
"""More users are dealt into so many groups, so that memory, folds and bootstrap stay bounded for millions of them. A
standard error over so many groups is known to a hundredth of itself (one over the root of twice their number)."""

_BINS = 64


@dataclass(frozen=True)
class ReturnStatistics:
    """Returns and exposure by age, for `E` entities, `B` age bins and `G` groups of users.

    Entities alone are columns: most of many have hardly an event, and an empty column costs four bytes.

    Attributes:
        edges: `(B + 1,)`, edges of the age bins in days; the first is the session gap.
        ended: `(G·B, E)`, intervals that ended in a bin, by a return or by censoring.
        returned: `(G·B, E)`, intervals that ended in a bin by a return.
        partial: `(G·B, E)`, days those intervals had spent in that bin; with trials, the trials in each bin, and
            `ended` is empty.
        visits: int64 `(E,)`.
        returning_users: int64 `(E,)`, users with at least one return to the entity.
        returning_users_overall: users with at least one return to any entity.
        n_users: users behind the groups.
    """

    edges: Floats
    ended: sparse.csc_array
    returned: sparse.csc_array
    partial: sparse.csc_array
    visits: NDArray[np.int64]
    returning_users: NDArray[np.int64]
    returning_users_overall: int
    n_users: int

    @property
    def n_entities(self) -> int:
        """Number of entities `E`."""
        return len(self.visits)

    @property
    def n_bins(self) -> int:
        """Number of age bins `B`."""
        return len(self.edges) - 1

    @property
    def n_groups(self) -> int:
        """Number of groups of users `G`."""
        return int(self.ended.shape[0]) // self.n_bins

    def sums(self) -> tuple[Floats, Floats]:
        """Sums groups and bins: returns of each entity and its exposure in days or trials, each `(E,)`."""
        before = np.tile(self.edges[:-1] - self.edges[0], self.n_groups)
        return self.returned.sum(axis=0), self.ended.T @ before + self.partial.sum(axis=0)

    def totals(self, entities: NDArray[np.int64] | None = None, weights: Floats | None = None) -> tuple[Floats, Floats]:
        """Sums the groups.

        Args:
            entities: `(N,)`, codes of entities; by default all.
            weights: `(R, G)`, how often each replicate counts each group; by default once.

        Returns:
            Returns and exposure in days or trials, each `(R, N, B)`, with `R = 1` without weights.
        """
        chosen = np.arange(self.n_entities) if entities is None else entities
        many = np.ones((1, self.n_groups)) if weights is None else weights
        ended, returned, partial = (
            self._weighted(matrix[:, chosen], many) for matrix in (self.ended, self.returned, self.partial)
        )
        crossed = np.cumsum(ended[..., ::-1], axis=-1)[..., ::-1] - ended
        return returned, crossed * np.diff(self.edges) + partial

    def pooled(self) -> ReturnStatistics:
        """Returns the same statistics with all entities taken as one; a return is still to the same entity."""
        ended, returned, partial = (
            sparse.csc_array(matrix.sum(axis=1)[:, None]) for matrix in (self.ended, self.returned, self.partial)
        )
        return ReturnStatistics(
            edges=self.edges,
            ended=ended,
            returned=returned,
            partial=partial,
            visits=self.visits.sum(keepdims=True),
            returning_users=np.array([self.returning_users_overall]),
            returning_users_overall=self.returning_users_overall,
            n_users=self.n_users,
        )

    def of_groups(self, count: int) -> ReturnStatistics:
        """Returns the statistics of the first groups of users; counts of visits and users stay those of all."""
        rows = slice(count * self.n_bins)
        first = [sparse.csc_array(matrix[rows]) for matrix in (self.ended, self.returned, self.partial)]
        ended, returned, partial = first
        return replace(self, ended=ended, returned=returned, partial=partial)

    def _weighted(self, matrix: sparse.csc_array, weights: Floats) -> Floats:
        """Sums the groups of `(G·B, N)` as often as each replicate counts them, `(R, N, B)`."""
        replicates, n_entities = len(weights), matrix.shape[1]
        by_group = sparse.csr_array(matrix.reshape(self.n_groups, self.n_bins * n_entities).T)
        summed: Floats = (by_group @ weights.T).T.reshape(replicates, self.n_bins, n_entities).transpose(0, 2, 1)
        return summed


def age_edges(session_gap_days: float, longest_days: float) -> Floats:
    """Returns the edges of the age bins in days, `(B + 1,)`: from the session gap to the longest age, ever wider.

    Args:
        session_gap_days: where the risk of a return starts.
        longest_days: the longest age that can be observed, more than the session gap.
    """
    reach = longest_days - session_gap_days
    # A bin that is wide beside the age at which it begins hides the fall of a power law from the quadrature.
    finest = min(max(session_gap_days / 8, reach * 1e-4), session_gap_days, reach / _BINS)
    return session_gap_days + np.concatenate([[0.0], np.geomspace(finest, reach, _BINS)])


def count_groups(n_users: int) -> int:
    """Returns into how many groups users are dealt: everybody is one, or there are `GROUPS`."""
    return n_users if n_users <= MAX_USERS else GROUPS


def collect(
    blocks: Iterable[EventBlock],
    entity_of_item: NDArray[np.integer] | None,
    n_entities: int,
    observation_end: NDArray[np.int64],
    edges: Floats,
    exposure: str = DAYS,
) -> ReturnStatistics:
    """Collects the statistics in one pass.

    Args:
        blocks: events in blocks of whole users.
        entity_of_item: `(items,)`, the entity each item belongs to, -1: to none; None: every user is an entity, and any
            event a return.
        n_entities: number of entities.
        observation_end: `(users,)`, seconds until when each user was watched; what comes later is not read.
        edges: edges of the age bins in days, from `age_edges`.
        exposure: a name in `EXPOSURES`.

    Returns:
        The statistics.
    """
    n_groups, n_bins = count_groups(len(observation_end)), len(edges) - 1
    ended, returned, partial = (SparseSum((n_groups * n_bins, n_entities), "csc") for _ in range(3))
    visits, returning_users = (np.zeros(n_entities, dtype=np.int64) for _ in range(2))
    overall = 0
    for block in blocks:
        events = Events.watched(block, observation_end)
        found = find_intervals(events, entity_of_item, n_entities, observation_end, float(edges[0]) * SECONDS_PER_DAY)
        visits += found.visits
        days = found.seconds / SECONDS_PER_DAY
        age_bin = np.clip(np.searchsorted(edges, days, side="left") - 1, 0, n_bins - 1)
        row, column, came = found.user % n_groups * n_bins + age_bin, found.entity, found.returned
        returned.add(np.ones(came.sum()), row[came], column[came])
        if exposure == DAYS:
            ended.add(np.ones(len(days)), row, column)
            partial.add(days - edges[age_bin], row, column)
        else:
            partial.add(np.ones(came.sum()), row[came], column[came])
            for count, user, place in count_trials(found, events, edges, exposure):
                entity, at = np.divmod(place, n_bins)
                partial.add(count, user % n_groups * n_bins + at, entity)
        pairs = np.unique(found.user[came] * n_entities + found.entity[came])
        returning_users += np.bincount(pairs % n_entities, minlength=n_entities)
        overall += len(np.unique(pairs // n_entities))
    sums = (ended.total(), returned.total(), partial.total())
    return ReturnStatistics(edges, *sums, visits, returning_users, overall, len(observation_end))
