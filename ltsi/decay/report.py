"""A decay fit in numbers: the records of `decay.parquet` and the table a person reads."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import fields

import numpy as np

from ltsi.decay.contest import FOLDS, TIE_ERRORS, TIE_ODDS
from ltsi.decay.estimators import NEGATIVE_BINOMIAL
from ltsi.decay.forms import EXPONENT, FORMS, RISE, SHAPE, SLOW_AMPLITUDE, SLOW_RATIO
from ltsi.decay.result import DecayFit, EntityDecay
from ltsi.decay.trials import DAYS, UNITS
from ltsi.tables import Cell, Entry, Scalar, Table

FURTHER = (EXPONENT, SHAPE, SLOW_RATIO, SLOW_AMPLITUDE, RISE)
"""Parameters that only some forms have."""

MAX_ROWS = 30
"""Rows of the printed table; the rest is in the file."""


def records(fit: DecayFit) -> Iterator[dict[str, Scalar]]:
    """Yields one record per entity, after one for all entities together if there are several.

    What could not be estimated is None, never NaN; `note` then says why.
    """
    for one in _with_pooled(fit, list(fit.entities)):
        record = {each.name: getattr(one, each.name) for each in fields(one)}
        criteria, note, given = record.pop("aic"), record.pop("note"), record.pop("parameters")
        further = {name: given.get(name) for name in FURTHER}
        yield {**record, **further, **{f"aic_{name}": criteria.get(name) for name in FORMS}, "note": note}


def forms_table(fit: DecayFit) -> Table | None:
    """Returns the forms ranked by the likelihood of held-out users, or nothing if no contest was held."""
    contest = fit.contest or fit.pooled_contest
    if contest is None:
        return None
    pooled, ranked = fit.pooled_contest, np.argsort(-contest.by_users)
    best, best_later = contest.by_users.max(), -np.inf if contest.by_time is None else contest.by_time.max()
    columns = ["form", "parameters", "behind_users", "error", "behind_later", "aic_all", "behind_users_all", "wins"]
    rows: list[list[Entry]] = []
    for at in ranked:
        name = contest.names[at]
        behind = float(best - contest.by_users[at])
        later = None if contest.by_time is None else float(best_later - contest.by_time[at])
        together = None if pooled is None else float(pooled.by_users.max() - pooled.by_users[at])
        rows.append(
            [
                Cell(name, bold=name == contest.winner),
                len(FORMS[name].parameters),
                _one(behind),
                _one(float(contest.behind_error[at])),
                _one(later),
                _one(fit.pooled.aic.get(name)),
                _one(together),
                contest.winners.count(name),
            ]
        )
    notes = [
        "behind_users: held-out log-likelihood behind the best, users in "
        f"{FOLDS} folds, every entity with parameters of its own; error: its standard error over users.",
        f"The winner is the form with the fewest parameters among those behind by less than {TIE_ERRORS:g} errors "
        f"or odds of {TIE_ODDS:g}: {contest.winner}; wins: entities that have the form in the end.",
        "behind_later: the same for the last quarter of the log, fitted to the three before it.",
    ]
    if fit.of_users:
        notes.append("Shown is the contest of all users as one curve: the form of all is the form of each.")
    elif fit.contest is None:
        notes.append(
            "No entity alone holds enough evidence for the contest: shown is that of all of them as one curve."
        )
    elif pooled is not None:
        notes.append(f"aic_all, behind_users_all: all entities as one curve; there the winner is {pooled.winner}.")
    return Table(title="Forms, by what they say of users they have not seen", columns=columns, rows=rows, notes=notes)


def covers(one: EntityDecay, half_life_days: float) -> bool | None:
    """Returns whether the interval of an entity holds a half-life; None if it has none."""
    low, high = one.half_life_low_days, one.half_life_high_days
    return None if low is None else low <= half_life_days <= (math.inf if high is None else high)


def is_comparable(fit: DecayFit) -> bool:
    """Returns whether half-lives that were planted are of what is fitted: returns per day, not per trial."""
    return fit.options.exposure == DAYS


def decay_table(fit: DecayFit, title: str, entity: str, truth: Mapping[str, float] | None = None) -> Table:
    """Returns the fit as a table, all entities together first, then by half-life.

    Args:
        fit: the fit.
        title: what the table shows.
        entity: what an entity is, such as "category"; heads the first column.
        truth: planted half-life in days by label, where it is known; shown beside a fit per day alone.
    """
    comparable = truth if is_comparable(fit) else None
    most = [fit.entities[code] for code in fit.most_returned(MAX_ROWS)]
    most.sort(key=lambda one: (math.inf if one.half_life_days is None else one.half_life_days, one.entity))
    shown = _with_pooled(fit, most)
    columns = [entity, "half_life_days", "low", "high", "rate_per_day", "form", "visits", "returns"]
    power = ["exponent"] if any(EXPONENT in one.parameters for one in shown) else []
    trust = ["dispersion", "fit_p"] if _is_judged(fit) else []
    borrowed = ["pooled_days"] if fit.options.replicates else []
    planted = ["planted_days", "covered"] if comparable else []
    noted = ["note"] if any(one.note for one in shown) else []
    return Table(
        title=title,
        columns=[*columns, *power, *trust, *borrowed, *planted, *noted],
        rows=[_entries(one, fit, comparable, bool(power), bool(noted)) for one in shown],
        notes=_notes(fit, len(fit.entities) - len(most), bool(truth) and not comparable),
    )


def _with_pooled(fit: DecayFit, rows: list[EntityDecay]) -> list[EntityDecay]:
    """Puts all entities together before the rows, unless there is only one entity."""
    return rows if len(fit.entities) == 1 else [fit.pooled, *rows]


def _entries(
    one: EntityDecay, fit: DecayFit, truth: Mapping[str, float] | None, power: bool, noted: bool
) -> list[Entry]:
    unbounded = one.half_life_low_days is not None and one.half_life_high_days is None
    entries: list[Entry] = [
        one.entity,
        _days(one.half_life_days),
        _days(one.half_life_low_days),
        Cell(None, "∞") if unbounded else _days(one.half_life_high_days),
        Cell(one.rate_per_day, "–" if one.rate_per_day is None else f"{one.rate_per_day:.3g}"),
        one.form,
        one.visits,
        one.returns,
    ]
    if power:
        low, high = one.exponent_low, one.exponent_high
        given = one.parameters.get(EXPONENT)
        text = "–" if given is None else f"{given:.2f}" + ("" if low is None else f" ({low:.2f}–{high:.2f})")
        entries.append(Cell(given, text))
    if _is_judged(fit):
        entries += [_two(one.dispersion), _two(one.fit_p)]
    if fit.options.replicates:
        entries.append(_days(one.pooled_half_life_days))
    if truth:
        planted = None if one is fit.pooled else truth.get(one.entity)
        covered = None if planted is None else covers(one, planted)
        entries += [_days(planted), Cell(covered, {None: "–", True: "yes", False: "no"}[covered])]
    return entries + ([one.note] if noted else [])


def _is_judged(fit: DecayFit) -> bool:
    """Returns whether fits were held against Poisson's scatter; where users differ there is none."""
    return bool(fit.options.replicates) and fit.options.estimator != NEGATIVE_BINOMIAL


def _notes(fit: DecayFit, hidden: int, incomparable: bool) -> list[str]:
    options = fit.options
    notes = [
        f"Fitted by {options.estimator}: returns to the same entity per {UNITS[options.exposure]} at risk, by days "
        f"since the last visit; events up to {options.session_gap_days:g} days apart are one visit; open intervals are "
        "right-censored."
    ]
    if options.replicates and options.estimator == NEGATIVE_BINOMIAL:
        notes.append(f"low, high: {options.confidence:.0%} interval of the half-life, from the likelihood's curvature.")
    elif options.replicates:
        notes.append(
            f"low, high: {options.confidence:.0%} interval of the half-life, {options.replicates} bootstrap replicates "
            f"over users, seed {options.seed}"
            + ("; of all together, for one user cannot be resampled." if fit.of_users else ".")
        )
    if _is_judged(fit):
        notes.append(
            "dispersion: variance of the users' counts over Poisson's; fit_p: goodness of fit, small where the form "
            "does not describe the curve."
        )
    if options.replicates:
        notes.append("pooled_days: half-life after borrowing from the level above.")
    if incomparable:
        notes.append(
            "Planted half-lives are not shown: they are those of the returns per day at risk, not per "
            f"{UNITS[options.exposure]}; set exposure=days."
        )
    notes += fit.remarks
    thin = sum(one.amplitude is None for one in fit.entities)
    if thin:
        notes.append(
            f"{thin} of {len(fit.entities)} entities could not be fitted; notes, here or in decay.parquet, say why."
        )
    if hidden:
        notes.append(f"Shown are the {MAX_ROWS} with the most returns; {hidden} more are in decay.parquet.")
    return notes


def _one(value: float | None) -> Cell:
    return Cell(value, "–" if value is None else f"{value:,.1f}")


def _two(value: float | None) -> Cell:
    return Cell(value, "–" if value is None else f"{value:.2f}")


def _days(value: float | None) -> Cell:
    return Cell(value, "–" if value is None else f"{value:.3g}")
