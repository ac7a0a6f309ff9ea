"""The contest of forms: which of them predicts users and times it has not seen.

Held-out likelihood by users decides: users are dealt into folds, every form is fitted to all folds but one and judged
on the users left out. A form ties with the best if its held-out log-likelihood is behind by less than two standard
errors of their paired difference over users, or by odds that are no strong evidence; among those that tie the one with
the fewest parameters wins. This is the one-standard-error rule of Breiman et al. 1984, "Classification and Regression
Trees", section 3.4.3, with two, because each of thirteen others has a chance to look better; the odds are those of
Royall 1997, "Statistical Evidence", because the error of a difference between nested forms is itself near nothing.

What is judged, for every entity with parameters of its own: all entities together, whose winner is the form of the log,
and each entity alone, which leaves the log's form only where its own users say so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ltsi.decay.families import Family
from ltsi.decay.forms import FORMS, Floats
from ltsi.decay.likelihood import maximise
from ltsi.decay.pairs import Pairs, sums
from ltsi.decay.statistics import ReturnStatistics

FOLDS = 5
TIE_ERRORS = 2.0
TIE_ODDS = 32.0
_LEAST_GAIN = 1e-5


@dataclass(frozen=True)
class Contest:
    """Held-out log-likelihoods of `F` forms on `N` entities.

    Attributes:
        names: the forms.
        winner: the form of the log.
        winners: the form of each entity, `N` of them.
        alone: the form that would win on an entity's own evidence, `N` of them.
        by_users: `(F,)`, held-out log-likelihood of all entities together.
        behind_error: `(F,)`, standard error over users of the difference to the best form.
        by_entity: `(F, N)`, held-out log-likelihood of each entity.
        gain_error: `(N,)`, standard error of an entity's gain of its winner over the plain exponential.
        by_time: `(F,)`, log-likelihood of the last part of the log under fits to what came before; None if not asked.
    """

    names: tuple[str, ...]
    winner: str
    winners: tuple[str, ...]
    alone: tuple[str, ...]
    by_users: Floats
    behind_error: Floats
    by_entity: Floats
    gain_error: Floats
    by_time: Floats | None = None

    def score(self, name: str) -> float:
        """Returns the held-out log-likelihood of a form on all entities together."""
        return float(self.by_users[self.names.index(name)])

    def refutes(self, name: str) -> bool:
        """Returns whether held-out users speak against a form: it is behind the best by more than a tie."""
        margin = max(TIE_ERRORS * float(self.behind_error[self.names.index(name)]), math.log(TIE_ODDS))
        return float(self.by_users.max()) - self.score(name) > margin

    def gain(self, at: int) -> float:
        """Returns the held-out gain of an entity's winner over the plain exponential, in log-likelihood."""
        won, plain = self.names.index(self.winners[at]), self.names.index("exponential")
        return float(self.by_entity[won, at] - self.by_entity[plain, at])


def hold_contest(
    statistics: ReturnStatistics,
    entities: NDArray[np.int64],
    starts: dict[str, Floats],
    family: Family,
    seed: int,
    earlier: ReturnStatistics | None = None,
    barred: NDArray[np.bool_] | None = None,
    settled: dict[str, list[str]] | None = None,
) -> Contest:
    """Holds the contest.

    Args:
        statistics: the statistics.
        entities: `(N,)`, codes of the entities that hold enough evidence, at least one.
        starts: for each form, `(N, K)`, log-parameters fitted to all users.
        family: the likelihood.
        seed: of the deal of users into folds.
        earlier: the same statistics with everybody's observation ended earlier; what is more in `statistics` happened
            later.
        barred: `(F, N)`, fits that may not win, such as those that ran into a bound and say nothing of the fall.
        settled: for each form, the `N` forms that its fits amount to, which entities have in place of it.
    """
    names = tuple(starts)
    barred = np.zeros((len(names), len(entities)), dtype=bool) if barred is None else barred
    pairs = Pairs.of(statistics, entities)
    fold = deal(statistics.n_groups, seed)
    returns, exposure = statistics.totals(entities, (fold[None, :] != np.arange(FOLDS)[:, None]).astype(np.float64))
    bins, row = statistics.n_bins, fold[pairs.group] * len(entities) + pairs.entity
    scores = []
    for name in names:
        start = np.tile(starts[name], (FOLDS, 1))
        counts, days = returns.reshape(-1, bins), exposure.reshape(-1, bins)
        theta = maximise(FORMS[name], counts, days, statistics.edges, start, _LEAST_GAIN, family).theta
        scores.append(pairs.log_likelihood(FORMS[name].mean_hazard(theta, statistics.edges)[0], family, row))
    score = np.stack(scores)
    by_group = np.stack([sums(pairs.group, one, statistics.n_groups) for one in score])
    # A form is out of the contest of the log if it is for most entities.
    winner, behind_error = _pick(names, by_group, None, barred.mean(1) > 0.5)
    winners = _entity_winners(names, score, pairs, winner, barred)
    if settled is not None:
        winners = tuple(settled[name][at] for at, name in enumerate(winners))
    plain = score[names.index("exponential")] if "exponential" in names else score[0]
    won = score[np.array([names.index(one) for one in winners])[pairs.entity], np.arange(len(pairs.entity))]
    return Contest(
        names=names,
        winner=winner,
        winners=winners,
        alone=_entity_winners(names, score, pairs, None, barred),
        by_users=score.sum(1),
        behind_error=behind_error,
        by_entity=np.stack([pairs.by_entity(one) for one in score]),
        gain_error=_error(pairs, won - plain),
        by_time=None if earlier is None else _by_time(statistics, earlier, entities, starts, family),
    )


def deal(n_groups: int, seed: int) -> NDArray[np.int64]:
    """Deals groups of users into folds, `(n_groups,)`."""
    return np.random.default_rng(seed).permutation(np.arange(n_groups) % FOLDS)


def _pick(names: Sequence[str], score: Floats, preferred: str | None, barred: NDArray[np.bool_]) -> tuple[str, Floats]:
    """Returns the winner and each form's standard error behind the best, for scores by unit `(F, units)`."""
    total = score.sum(1)
    allowed = ~barred if not barred.all() else np.ones_like(barred)
    best = int(np.argmax(np.where(allowed, total, -np.inf)))
    behind = score[best] - score
    spread = ((behind - behind.mean(1, keepdims=True)) ** 2).sum(1)
    error = np.sqrt(spread * behind.shape[1] / max(behind.shape[1] - 1, 1))
    margin = np.maximum(TIE_ERRORS * error, math.log(TIE_ODDS))
    tied = np.flatnonzero(allowed & (total[best] - total <= margin)).tolist()
    if preferred is not None and names.index(preferred) in tied:
        return preferred, error
    chosen = min(tied, key=lambda at: (len(FORMS[names[at]].parameters), -total[at]))
    return names[chosen], error


def _entity_winners(
    names: Sequence[str], score: Floats, pairs: Pairs, preferred: str | None, barred: NDArray[np.bool_]
) -> tuple[str, ...]:
    order = np.argsort(pairs.entity, kind="stable")
    ends = np.cumsum(np.bincount(pairs.entity, minlength=pairs.n_entities))
    return tuple(
        _pick(names, score[:, order[end - size : end]], preferred, barred[:, at])[0]
        for at, (end, size) in enumerate(zip(ends, np.diff(ends, prepend=0), strict=True))
    )


def _error(pairs: Pairs, difference: Floats) -> Floats:
    """Returns the standard error over groups of a sum of differences, `(N,)`, for differences by pair `(P,)`."""
    count = np.maximum(np.bincount(pairs.entity, minlength=pairs.n_entities), 2)
    mean = pairs.by_entity(difference) / count
    spread: Floats = pairs.by_entity((difference - mean[pairs.entity]) ** 2)
    error: Floats = np.sqrt(spread * count / (count - 1))
    return error


def _by_time(
    statistics: ReturnStatistics,
    earlier: ReturnStatistics,
    entities: NDArray[np.int64],
    starts: dict[str, Floats],
    family: Family,
) -> Floats:
    """Returns each form's log-likelihood of what happened later, `(F,)`, fitted to what happened before."""
    returns, exposure = (total[0] for total in statistics.totals(entities))
    before, exposure_before = (total[0] for total in earlier.totals(entities))
    # Sums in another order leave a rounding error where nothing happened later.
    after, exposure_after = np.maximum(returns - before, 0.0), np.maximum(exposure - exposure_before, 0.0)
    scores = []
    for name, start in starts.items():
        fit = maximise(FORMS[name], before, exposure_before, statistics.edges, start, _LEAST_GAIN, family)
        mean = FORMS[name].mean_hazard(fit.theta, statistics.edges)[0]
        scores.append(float(family.terms(after, exposure_after, mean)[0].sum()))
    return np.array(scores)
