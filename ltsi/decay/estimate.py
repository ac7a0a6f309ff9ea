"""From statistics to the decay of every entity: which form, which rate, how sure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ltsi.decay.contest import Contest, hold_contest
from ltsi.decay.estimators import NEGATIVE_BINOMIAL, estimate_forms, family_of, settled_forms
from ltsi.decay.forms import FORMS, SIMPLE
from ltsi.decay.heterogeneity import explained_floors, false_tail, mixed_rates
from ltsi.decay.point import too_fast, with_point
from ltsi.decay.result import (
    AUTO,
    MIN_RETURNING_USERS,
    POOLED,
    SIMPLE_FORM,
    DecayFit,
    EntityDecay,
    FitOptions,
    too_thin,
)
from ltsi.decay.statistics import MAX_USERS, ReturnStatistics
from ltsi.decay.trust import add_frailty, add_intervals, add_partial_pooling, add_trust
from ltsi.errors import ConfigError

Watch = Callable[[str, float], None]
"""Is told what is being done and which share of it is done."""

NEVER_RETURNED = "nobody ever returned: every time at risk ends with the log"


def fit_statistics(
    statistics: ReturnStatistics,
    labels: Sequence[str],
    options: FitOptions,
    watch: Watch | None = None,
    earlier: ReturnStatistics | None = None,
    parents: NDArray[np.integer] | None = None,
    of_users: bool = False,
) -> DecayFit:
    """Fits every entity, and all of them taken as one.

    Args:
        statistics: the statistics of `E` entities.
        labels: label of each entity.
        options: how to fit.
        watch: is told about progress.
        earlier: the statistics of the first part of the log, for a contest of forms by later time.
        parents: `(E,)`, code of what each entity belongs to, for partial pooling; by default all belong together.
        of_users: whether every entity is a user. One user cannot be resampled: intervals are then from the profile
            likelihood alone.

    Returns:
        The fit.

    Raises:
        ConfigError: users are to differ and there are more of them than groups.
    """
    if options.estimator == NEGATIVE_BINOMIAL and statistics.n_users > statistics.n_groups:
        raise ConfigError(
            f"estimator=negative_binomial tells at most {MAX_USERS:,} users apart, and this log has "
            f"{statistics.n_users:,}; set estimator=poisson."
        )
    pooled = _fit_entities(
        statistics.pooled(), [POOLED], options, _nobody, None if earlier is None else earlier.pooled()
    )
    # A user who is held out leaves nothing to fit that user to: the form of all is the form of each.
    chosen = pooled.contest.winner if pooled.contest else SIMPLE_FORM
    each = replace(options, form=chosen) if of_users and options.form == AUTO else options
    own = _fit_entities(statistics, labels, each, watch or _nobody, earlier, of_users)
    rows, remarks = own.rows, []
    if options.replicates:
        rows = add_partial_pooling(rows, parents, options.confidence)
        family = family_of(options.estimator)
        remarks = [*explained_floors(pooled.rows[0], statistics), *mixed_rates(rows, statistics, family)]
        if own.contest and pooled.contest and all(row.aic for row in rows):
            remarks += false_tail(own.contest, pooled.contest)
    contests = own.contest, pooled.contest
    return DecayFit(tuple(rows), pooled.rows[0], statistics, options, *contests, tuple(remarks), of_users)


def _nobody(stage: str, share: float) -> None:
    """Watches nothing."""


class _Rows:
    """Rows of entities, and the contest of their forms."""

    def __init__(self, rows: list[EntityDecay], contest: Contest | None) -> None:
        self.rows, self.contest = rows, contest


def _fit_entities(
    statistics: ReturnStatistics,
    labels: Sequence[str],
    options: FitOptions,
    watch: Watch,
    earlier: ReturnStatistics | None,
    of_users: bool = False,
) -> _Rows:
    least_users = 1 if of_users else MIN_RETURNING_USERS
    rows = _counted(statistics, labels, options.min_returns, least_users)
    enough = np.array([code for code, row in enumerate(rows) if not row.note], dtype=np.int64)
    names = {AUTO: list(FORMS), SIMPLE_FORM: list(SIMPLE)}.get(options.form, [options.form])
    watch("fits", 0.0)
    returns, exposure = (total[0] for total in statistics.totals(enough))
    fits = estimate_forms(options.estimator, names, returns, exposure, statistics.edges)
    criteria = np.stack([fits[name].aic() for name in names])
    contest = None
    if options.form == AUTO and len(enough):
        starts = {name: fit.theta for name, fit in fits.items()}
        barred = np.stack([too_fast(FORMS[name], fits[name].theta, statistics.edges) for name in names])
        settled = settled_forms(fits, returns, exposure, statistics.edges)
        family = family_of(options.estimator)
        contest = hold_contest(statistics, enough, starts, family, options.seed, earlier, barred, settled)
    for at, code in enumerate(enough):
        name = contest.winners[at] if contest else names[int(np.argmin(criteria[:, at]))]
        bic = float(fits[name].bic(returns[at].sum())[at])
        row = replace(rows[code], aic=dict(zip(names, criteria[:, at].tolist())), bic=bic)
        if contest:
            row = replace(row, heldout_gain=contest.gain(at), heldout_gain_error=float(contest.gain_error[at]))
        if options.estimator == NEGATIVE_BINOMIAL:
            rows[code] = replace(row, form=name)
        else:
            rows[code] = with_point(row, FORMS[name], fits[name].theta[at], exposure[at], statistics.edges)
    if options.estimator == NEGATIVE_BINOMIAL:
        add_frailty(rows, enough, fits, statistics, options)
    elif options.replicates:
        add_trust(rows, enough, fits, statistics, options)
        if not of_users:
            add_intervals(rows, enough, fits, statistics, options, watch)
    return _Rows(rows, contest)


def _counted(
    statistics: ReturnStatistics, labels: Sequence[str], min_returns: int, least_users: int
) -> list[EntityDecay]:
    """Returns a row for each entity, with a note where its evidence is too thin to fit."""
    rows, (returns, exposure) = [], statistics.sums()
    for code, label in enumerate(labels):
        count, users = int(returns[code]), int(statistics.returning_users[code])
        note = too_thin(count, users, min_returns, least_users)
        if note and not count and exposure[code] > 0:
            note += f"; {NEVER_RETURNED}"
        rows.append(
            EntityDecay(
                entity=label,
                visits=int(statistics.visits[code]),
                returns=count,
                returning_users=users,
                exposure=float(exposure[code]),
                note=note,
            )
        )
    return rows
