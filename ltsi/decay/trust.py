"""How sure the decay of an entity is: intervals, goodness of fit, and what it borrows from others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from ltsi.decay.bootstrap import resampled_log_rates, user_weights
from ltsi.decay.estimators import LIKELIHOODS, family_of
from ltsi.decay.forms import AT_BOUND, FORMS, LN2, SIMPLE, Floats, bounds
from ltsi.decay.frailty import fit_frailty, standard_errors
from ltsi.decay.goodness import dispersion, goodness_of_fit
from ltsi.decay.likelihood import Maximum
from ltsi.decay.pairs import Pairs
from ltsi.decay.point import with_ends, with_point
from ltsi.decay.pooling import partial_pool
from ltsi.decay.profile import profile_interval
from ltsi.decay.result import SIMPLE_FORM, EntityDecay, FitOptions
from ltsi.decay.statistics import ReturnStatistics

Codes = NDArray[np.int64]


def add_trust(
    rows: list[EntityDecay], enough: Codes, fits: dict[str, Maximum], statistics: ReturnStatistics, options: FitOptions
) -> None:
    """Adds dispersion, goodness of fit and profile intervals to the rows of entities with enough evidence.

    Args:
        rows: rows of all entities.
        enough: `(N,)`, codes of those that were fitted.
        fits: the maxima by form, `N` each.
        statistics: the statistics.
        options: how to fit.
    """
    family = family_of(options.estimator)
    for name, places in _by_form(rows, enough, fits):
        form, codes = FORMS[name], enough[places]
        returns, exposure = (total[0] for total in statistics.totals(codes))
        fit = fits[name].of(places)
        mean = form.mean_hazard(fit.theta, statistics.edges)[0]
        scale, variance = dispersion(Pairs.of(statistics, codes), mean, family), exposure * family.variance(mean)
        fit_p = goodness_of_fit(returns, exposure * mean, variance, len(form.parameters), scale)
        for at, code in enumerate(codes):
            rows[code] = replace(rows[code], dispersion=float(scale[at]), fit_p=float(fit_p[at]))
        fading = np.array(
            [at for at, code in enumerate(codes) if rows[code].half_life_days is not None], dtype=np.int64
        )
        if options.estimator not in LIKELIHOODS or not len(fading):
            continue
        data = returns[fading], exposure[fading], statistics.edges
        ends = profile_interval(form, fit.of(fading), *data, options.confidence, scale[fading], family)
        slowest = bounds(form, *data)[0][:, 0]
        for at, code in enumerate(codes[fading]):
            open_end = ends[0][at] <= slowest[at] + AT_BOUND
            rows[code] = replace(
                rows[code],
                profile_low_days=LN2 / float(np.exp(ends[1][at])),
                profile_high_days=None if open_end else LN2 / float(np.exp(ends[0][at])),
            )


def add_intervals(
    rows: list[EntityDecay],
    enough: Codes,
    fits: dict[str, Maximum],
    statistics: ReturnStatistics,
    options: FitOptions,
    watch: Callable[[str, float], None],
) -> None:
    """Adds to each row that fades the percentile interval of its bootstrap replicates.

    With `form=simple` every replicate chooses anew whether there is a floor; else the form of the row is taken for
    granted, because the rates of different forms do not mean the same.
    """
    weights = user_weights(statistics.n_groups, options.replicates, options.seed)
    groups = [("", np.arange(len(enough)))] if options.form == SIMPLE_FORM else list(_by_form(rows, enough, fits))
    fading = [(name, [at for at in places if rows[enough[at]].amplitude]) for name, places in groups]
    total, finished = sum(len(places) for _, places in fading), 0

    def done(count: int) -> None:
        nonlocal finished
        finished += count
        watch("bootstrap over users", finished / total)

    for name, places in fading:
        if not places:
            continue
        codes = enough[places]
        starts = {one: fits[one].theta[places] for one in (SIMPLE if options.form == SIMPLE_FORM else (name,))}
        found = resampled_log_rates(statistics, starts, codes, weights, options.estimator, done)
        for column, code in enumerate(codes):
            rows[code] = _with_interval(rows[code], found[:, column], statistics.edges, options.confidence)


def _by_form(rows: list[EntityDecay], enough: Codes, fits: dict[str, Maximum]) -> list[tuple[str, Codes]]:
    """Returns for each form the places, among those fitted, of the entities that have it."""
    forms = np.array([str(rows[code].form) for code in enough])
    return [(name, np.flatnonzero(forms == name)) for name in fits if np.any(forms == name)]


def _with_interval(row: EntityDecay, log_values: Floats, edges: Floats, confidence: float) -> EntityDecay:
    tail = (1.0 - confidence) / 2
    # Ranks among replicates plus one: the estimate is one more draw, and intervals of few replicates else fall short.
    low, high = np.quantile(log_values, [tail, 1.0 - tail], method="weibull")
    return with_ends(row, float(low), float(high), edges)


def add_frailty(
    rows: list[EntityDecay], enough: Codes, fits: dict[str, Maximum], statistics: ReturnStatistics, options: FitOptions
) -> None:
    """Gives rows that have a form the fits with differing users, and their intervals from the curvature."""
    quantile = stats.norm.ppf((1 + options.confidence) / 2)
    for name, places in _by_form(rows, enough, fits):
        form, codes = FORMS[name], enough[places]
        pairs, (returns, exposure) = Pairs.of(statistics, codes), (total[0] for total in statistics.totals(codes))
        fit = fit_frailty(form, pairs, returns, fits[name].theta[places])
        errors = standard_errors(form, pairs, fit) if options.replicates else np.full(len(codes), np.inf)
        # On the scale of the other estimators' criteria; the variance is a parameter, too.
        twice, size = 2 * (fit.log_likelihood + special.xlogy(returns, exposure).sum(-1)), fit.theta.shape[1] + 1
        aic, bic = 2 * size - twice, size * np.log(returns.sum(-1)) - twice
        for at, code in enumerate(codes):
            row = replace(rows[code], user_variance=float(fit.variance[at]), bic=float(bic[at]))
            row = replace(row, aic={name: float(aic[at])})
            row = with_point(row, form, fit.theta[at], fit.exposure[at], statistics.edges)
            if row.amplitude and np.isfinite(errors[at]):
                centre, reach = float(fit.theta[at, 0]), float(quantile * errors[at])
                row = with_ends(row, centre - reach, centre + reach, statistics.edges)
            rows[code] = row


def add_partial_pooling(
    rows: list[EntityDecay], parents: NDArray[np.integer] | None, confidence: float
) -> list[EntityDecay]:
    """Adds to every entity the rate that is believed after borrowing; thin ones then have one too.

    Only rates of one form, the one most entities have, mean the same and are pooled. An entity of another form keeps
    its own, and so does one that does not fade or fades too fast to be seen: only what was not fitted borrows all of
    it. A half-life that is bounded from below alone is as unsure as that end says.

    Args:
        rows: rows of all entities.
        parents: `(E,)`, what each entity belongs to.
        confidence: coverage of the intervals.
    """
    forms = [row.form for row in rows if row.half_life_days]
    common = max(FORMS, key=forms.count) if forms else None
    quantile = float(stats.norm.ppf((1 + confidence) / 2))
    estimate, error = np.zeros(len(rows)), np.full(len(rows), np.inf)
    for at, row in enumerate(rows):
        low, high = row.half_life_low_days or row.profile_low_days, row.half_life_high_days or row.profile_high_days
        if row.form == common and row.half_life_days and low:
            reach = np.log(high / low) / 2 if high else np.log(row.half_life_days / low)
            estimate[at], error[at] = -np.log(row.half_life_days), reach / quantile
    usable = np.isfinite(error) & (error > 0)
    if usable.sum() < 2:
        return rows
    error[~usable] = np.inf
    found = partial_pool(estimate, error, () if parents is None else (parents,))
    reach = np.exp(quantile * found.error)
    half_life = np.exp(-found.mean)
    return [
        replace(
            row,
            pooled_rate_per_day=LN2 / float(half_life[at]),
            pooled_half_life_days=float(half_life[at]),
            pooled_low_days=float(half_life[at] / reach[at]),
            pooled_high_days=float(half_life[at] * reach[at]),
            own_weight=float(found.own_weight[at]),
        )
        if usable[at] or row.form is None
        else row
        for at, row in enumerate(rows)
    ]
