"""A decay fit in numbers: the records of `decay.parquet` and the table a person reads."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict

from ltsi.decay.forms import FORMS
from ltsi.decay.result import DecayFit, EntityDecay
from ltsi.tables import Cell, Entry, Scalar, Table

MAX_ROWS = 30
"""Rows of the printed table; the rest is in the file."""


def records(fit: DecayFit) -> list[dict[str, Scalar]]:
    """Returns one record per entity, after one for all entities together if there are several.

    What could not be estimated is None, never NaN; `note` then says why.
    """
    found = []
    for one in _with_pooled(fit, list(fit.entities)):
        record = asdict(one)
        criteria, note = record.pop("aic"), record.pop("note")
        found.append({**record, **{f"aic_{name}": criteria.get(name) for name in FORMS}, "note": note})
    return found


def covers(one: EntityDecay, half_life_days: float) -> bool:
    """Returns whether the interval of an entity holds a half-life; an entity without an interval covers nothing."""
    low, high = one.half_life_low_days, one.half_life_high_days
    return low is not None and low <= half_life_days <= (math.inf if high is None else high)


def decay_table(fit: DecayFit, title: str, entity: str, truth: Mapping[str, float] | None = None) -> Table:
    """Returns the fit as a table, all entities together first, then by half-life.

    Args:
        fit: the fit.
        title: what the table shows.
        entity: what an entity is, such as "category"; heads the first column.
        truth: planted half-life in days by label, where it is known.
    """
    most = [fit.entities[code] for code in fit.most_returned(MAX_ROWS)]
    most.sort(key=lambda one: (math.inf if one.half_life_days is None else one.half_life_days, one.entity))
    shown = _with_pooled(fit, most)
    columns = [entity, "half_life_days", "low", "high", "rate_per_day", "form", "visits", "returns"]
    planted = ["planted_days", "covered"] if truth else []
    noted = ["note"] if any(one.note for one in shown) else []
    return Table(
        title=title,
        columns=[*columns, *planted, *noted],
        rows=[_entries(one, fit, truth, bool(noted)) for one in shown],
        notes=_notes(fit, hidden=len(fit.entities) - len(most)),
    )


def _with_pooled(fit: DecayFit, rows: list[EntityDecay]) -> list[EntityDecay]:
    """Puts all entities together before the rows, unless there is only one entity."""
    return rows if len(fit.entities) == 1 else [fit.pooled, *rows]


def _entries(one: EntityDecay, fit: DecayFit, truth: Mapping[str, float] | None, noted: bool) -> list[Entry]:
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
    if truth:
        planted = None if one is fit.pooled else truth.get(one.entity)
        covered = None if planted is None else covers(one, planted)
        entries += [_days(planted), Cell(covered, {None: "–", True: "yes", False: "no"}[covered])]
    return entries + ([one.note] if noted else [])


def _notes(fit: DecayFit, hidden: int) -> list[str]:
    options = fit.options
    notes = [
        "Fitted: the rate of returns to the same entity by days since the last visit; events up to "
        f"{options.session_gap_days:g} days apart are one visit; open intervals are right-censored."
    ]
    if options.replicates:
        notes.append(
            f"low, high: {options.confidence:.0%} interval of the half-life, {options.replicates} bootstrap replicates "
            f"over users, seed {options.seed}."
        )
    thin = sum(one.rate_per_day is None for one in fit.entities)
    if thin:
        notes.append(
            f"{thin} of {len(fit.entities)} entities could not be fitted; notes, here or in decay.parquet, say why."
        )
    if hidden:
        notes.append(f"Shown are the {MAX_ROWS} with the most returns; {hidden} more are in decay.parquet.")
    return notes


def _days(value: float | None) -> Cell:
    return Cell(value, "–" if value is None else f"{value:.3g}")
