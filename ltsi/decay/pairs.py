"""The statistics of each pair of an entity and a group of users: what held-out likelihood and frailty are made of.

Letters of the shapes: `N` entities, `B` age bins, `P` pairs (entity, group) with any exposure, `J` entries of the
sparse statistics. The expected number of returns of a pair is a sum over its intervals: what was crossed in full adds
the cumulative hazard up to a bin, the rest adds days times the bin's hazard. No table `(P, B)` is ever made.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ltsi.decay.families import BINOMIAL, Family
from ltsi.decay.forms import Floats
from ltsi.decay.statistics import ReturnStatistics

_TINY = 1e-300


def sums(place: NDArray[np.integer], value: Floats, length: int) -> Floats:
    """Adds up values by place, `(length,)`."""
    return np.bincount(place, value, minlength=length).astype(np.float64, copy=False)


@dataclass(frozen=True)
class Entries:
    """Entries of one sparse matrix: the pair, the bin and the value of each, `(J,)`."""

    pair: NDArray[np.int64]
    age_bin: NDArray[np.int64]
    value: Floats


@dataclass(frozen=True)
class Pairs:
    """Statistics by pair.

    Attributes:
        entity: `(P,)`, position of the pair's entity among the `N` chosen.
        group: `(P,)`, group of users.
        ended: intervals that ended in a bin.
        returned: those that ended by a return.
        partial: days those intervals had spent in that bin, or trials.
        returns: `(P,)`, returns of each pair.
        edges: `(B + 1,)`, edges of the age bins in days.
        n_entities: `N`.
    """

    entity: NDArray[np.int64]
    group: NDArray[np.int64]
    ended: Entries
    returned: Entries
    partial: Entries
    returns: Floats
    edges: Floats
    n_entities: int

    @classmethod
    def of(cls, statistics: ReturnStatistics, entities: NDArray[np.int64]) -> Pairs:
        """Takes the pairs of some entities, `(N,)` codes."""
        bins, groups = statistics.n_bins, statistics.n_groups
        found = [matrix[:, entities].tocoo() for matrix in (statistics.ended, statistics.returned, statistics.partial)]
        codes = [one.col.astype(np.int64) * groups + one.row // bins for one in found]
        distinct, place = np.unique(np.concatenate(codes), return_inverse=True)
        parts = np.split(place, np.cumsum([len(one) for one in codes])[:-1])
        ended, returned, partial = (
            Entries(pair, one.row.astype(np.int64) % bins, one.data.astype(np.float64))
            for pair, one in zip(parts, found)
        )
        returns = sums(returned.pair, returned.value, len(distinct))
        entity, group = distinct // groups, distinct % groups
        return cls(entity, group, ended, returned, partial, returns, statistics.edges, len(entities))

    def expected(self, hazard: Floats) -> Floats:
        """Returns the expected returns of each pair, `(P,)`, for mean hazards `(P or 1 per entity, B)` by pair's row.

        Args:
            hazard: `(N, B)`, mean hazard of each entity in each bin.
        """
        cumulative = np.concatenate([np.zeros((len(hazard), 1)), np.cumsum(hazard * np.diff(self.edges), 1)], 1)
        return self._sum(self.ended, cumulative[:, :-1]) + self._sum(self.partial, hazard)

    def log_likelihood(self, hazard: Floats, family: Family, row: NDArray[np.int64] | None = None) -> Floats:
        """Returns the log-likelihood of each pair, `(P,)`, up to a constant of the data.

        Args:
            hazard: mean hazards, one row for each entity or as `row` says, `(rows, B)`.
            family: Poisson or binomial.
            row: `(P,)`, the row of `hazard` that holds for each pair; by default that of its entity.
        """
        rows = self.entity if row is None else row
        log_hazard = np.log(np.maximum(hazard, _TINY))
        if family is BINOMIAL:
            missed = np.log1p(-np.minimum(hazard, 1.0 - 1e-9))
            return (
                self._sum(self.returned, log_hazard - missed, rows)
                + self._sum(self.partial, missed, rows)
            )  # fmt: skip
        cumulative = np.concatenate([np.zeros((len(hazard), 1)), np.cumsum(hazard * np.diff(self.edges), 1)], 1)
        spent = self._sum(self.ended, cumulative[:, :-1], rows) + self._sum(self.partial, hazard, rows)
        return self._sum(self.returned, log_hazard, rows) - spent

    def weighted_exposure(self, weight: Floats) -> Floats:
        """Returns the exposure of each entity in each bin, `(N, B)`, with each pair counted `weight` times, `(P,)`."""
        bins = len(self.edges) - 1

        def total(entries: Entries) -> Floats:
            cell = self.entity[entries.pair] * bins + entries.age_bin
            found = sums(cell, entries.value * weight[entries.pair], self.n_entities * bins)
            return found.reshape(self.n_entities, bins)

        ended = total(self.ended)
        crossed = np.cumsum(ended[:, ::-1], axis=1)[:, ::-1] - ended
        exposure: Floats = crossed * np.diff(self.edges) + total(self.partial)
        return exposure

    def by_entity(self, value: Floats) -> Floats:
        """Sums the values of pairs, `(P,)`, over the groups: `(N,)`."""
        return sums(self.entity, value, self.n_entities)

    def _sum(self, entries: Entries, by_bin: Floats, row: NDArray[np.int64] | None = None) -> Floats:
        rows = self.entity if row is None else row
        value = entries.value * by_bin[rows[entries.pair], entries.age_bin]
        return sums(entries.pair, value, len(self.entity))
