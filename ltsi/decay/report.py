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
    for one in _rows(fit):
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
    rows = _rows(fit)
    first, rest = rows[: len(rows) - len(fit.entities)], rows[len(rows) - len(fit.entities) :]
    most = sorted(rest, key=lambda one: -one.returns)[:MAX_ROWS]
    shown = first + sorted(most, key=lambda one: (_missing_last(one.half_life_days), one.entity))
    columns = [entity, "half_life_days", "low", "high", "rate_per_day", "form", "visits", "returns"]
    planted = ["planted_days", "covered"] if truth else []
    noted = ["note"] if any(one.note for one in shown) else []
    return Table(
        title=title,
        columns=[*columns, *planted, *noted],
        rows=[_entries(one, fit, truth, bool(noted)) for one in shown],
        notes=_notes(fit, hidden=len(rest) - len(most)),
    )


def _rows(fit: DecayFit) -> list[EntityDecay]:
    return list(fit.entities) if len(fit.entities) == 1 else [fit.pooled, *fit.entities]


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
        notes.append(f"{thin} of {len(fit.entities)} entities could not be fitted; the column note says why.")
    if hidden:
        notes.append(f"Shown are the {MAX_ROWS} with the most returns; {hidden} more are in decay.parquet.")
    return notes


def _days(value: float | None) -> Cell:
    return Cell(value, "–" if value is None else f"{value:.3g}")


def _missing_last(value: float | None) -> float:
    return math.inf if value is None else value
