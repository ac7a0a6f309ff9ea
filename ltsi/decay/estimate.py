"""From statistics to the decay of every entity: which form, which rate, how sure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ltsi.decay.bootstrap import resampled_log_rates, user_weights
from ltsi.decay.curves import LN2
from ltsi.decay.forms import FORMS, Floats, Form, rate_bounds
from ltsi.decay.likelihood import Maximum, maximise
from ltsi.decay.result import AUTO, MIN_RETURNING_USERS, POOLED, DecayFit, EntityDecay, FitOptions
from ltsi.decay.statistics import ReturnStatistics

Watch = Callable[[str, float], None]
"""Is told what is being done and which share of it is done."""

NO_FALL = "the return rate does not fall with age"
TOO_FAST = "the return rate falls faster than visits can show; set a smaller session_gap_days"
NO_UPPER_END = "the log is too short to bound the half-life from above"

_AT_BOUND = 1e-3


def fit_statistics(
    statistics: ReturnStatistics, labels: Sequence[str], options: FitOptions, watch: Watch | None = None
) -> DecayFit:
    """Fits every entity, and all of them taken as one.

    Args:
        statistics: the statistics of `E` entities.
        labels: label of each entity.
        options: how to fit.
        watch: is told about progress.

    Returns:
        The fit.
    """
    pooled = _fit_entities(statistics.pooled(), [POOLED], options, _nobody)
    rows = _fit_entities(statistics, labels, options, watch or _nobody)
    return DecayFit(tuple(rows), pooled[0], statistics, options)


def _nobody(stage: str, share: float) -> None:
    """Watches nothing."""


def _fit_entities(
    statistics: ReturnStatistics, labels: Sequence[str], options: FitOptions, watch: Watch
) -> list[EntityDecay]:
    returns, exposure = (total[0] for total in statistics.totals())
    rows = _counted(statistics, labels, returns.sum(-1), exposure.sum(-1), options)
    enough = np.array([code for code, row in enumerate(rows) if not row.note], dtype=np.int64)
    names = list(FORMS) if options.form == AUTO else [options.form]
    fits = {name: maximise(FORMS[name], returns[enough], exposure[enough], statistics.edges) for name in names}
    criteria = np.stack([fits[name].aic() for name in names])
    for at, code in enumerate(enough):
        name = names[int(np.argmin(criteria[:, at]))]
        point = _with_point(rows[code], FORMS[name], fits[name], at, statistics.edges)
        rows[code] = replace(point, aic=dict(zip(names, criteria[:, at].tolist())))
    if options.replicates:
        _add_intervals(rows, enough, fits, statistics, options, watch)
    return rows


def _counted(
    statistics: ReturnStatistics, labels: Sequence[str], returns: Floats, exposure: Floats, options: FitOptions
) -> list[EntityDecay]:
    """Returns a row for each entity, with a note where its evidence is too thin to fit."""
    rows = []
    for code, label in enumerate(labels):
        count, users = int(returns[code]), int(statistics.returning_users[code])
        if count < options.min_returns:
            note = f"{count} returns, fewer than min_returns={options.min_returns}"
        elif users < MIN_RETURNING_USERS:
            note = f"only {users} users ever returned, fewer than {MIN_RETURNING_USERS}"
        else:
            note = ""
        rows.append(
            EntityDecay(
                entity=label,
                visits=int(statistics.visits[code]),
                returns=count,
                returning_users=users,
                exposure_days=float(exposure[code]),
                note=note,
            )
        )
    return rows


def _with_point(row: EntityDecay, form: Form, fit: Maximum, at: int, edges: Floats) -> EntityDecay:
    values = dict(zip(form.parameters, np.exp(fit.theta[at]).tolist()))
    amplitude, floor = values["amplitude"], values.get("floor", 0.0)
    slowest, fastest = np.log(rate_bounds(edges))
    overall = row.returns / row.exposure_days
    # At the maximum, expected and observed returns add up to the same; what the floor leaves is the fading part's.
    if fit.theta[at, 0] <= slowest + _AT_BOUND or (overall - floor) * row.exposure_days < 1:
        return replace(row, form=form.name, rate_per_day=0.0, amplitude=0.0, floor=overall, note=NO_FALL)
    if fit.theta[at, 0] >= fastest - _AT_BOUND:
        return replace(row, form=form.name, note=TOO_FAST)
    return replace(
        row,
        form=form.name,
        rate_per_day=values["rate_per_day"],
        half_life_days=LN2 / values["rate_per_day"],
        amplitude=amplitude,
        floor=floor,
    )


def _add_intervals(
    rows: list[EntityDecay],
    enough: NDArray[np.int64],
    fits: dict[str, Maximum],
    statistics: ReturnStatistics,
    options: FitOptions,
    watch: Watch,
) -> None:
    """Adds to each row that has a half-life the percentile interval of its bootstrap replicates."""
    fading = np.array([at for at, code in enumerate(enough) if rows[code].half_life_days is not None], dtype=np.int64)
    codes, finished = enough[fading], 0

    def done(count: int) -> None:
        nonlocal finished
        finished += count
        watch("bootstrap over users", finished / len(codes))

    weights = user_weights(statistics.n_groups, options.replicates, options.seed)
    starts = {name: fit.theta[fading] for name, fit in fits.items()}
    log_rates = resampled_log_rates(statistics, starts, codes, weights, done)
    for column, code in enumerate(codes):
        rows[code] = _with_interval(rows[code], log_rates[:, column], statistics.edges, options.confidence)


def _with_interval(row: EntityDecay, log_rates: Floats, edges: Floats, confidence: float) -> EntityDecay:
    tail = (1.0 - confidence) / 2
    low, high = np.quantile(log_rates, [tail, 1.0 - tail])
    # A replicate that ran to the slowest rate has no fall in it: the half-life then has no upper end.
    unbounded = low <= np.log(rate_bounds(edges)[0]) + _AT_BOUND
    return replace(
        row,
        half_life_low_days=LN2 / float(np.exp(high)),
        half_life_high_days=None if unbounded else LN2 / float(np.exp(low)),
        note=NO_UPPER_END if unbounded else row.note,
    )
