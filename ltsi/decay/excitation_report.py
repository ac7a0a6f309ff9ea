"""Whether interest adds up, in numbers and in a sentence: the records of `excitation.parquet` and the printed table."""

from __future__ import annotations

from dataclasses import asdict, fields

from ltsi.decay.contest import FOLDS, TIE_ERRORS
from ltsi.decay.excitation import MODELS, Excitation, ExcitationModel, Lead
from ltsi.decay.kernels import EACH
from ltsi.decay.result import FitOptions
from ltsi.tables import Cell, Entry, Scalar, Table

TITLE = "Do earlier visits add up?"

COLUMNS = (
    "kernel",
    "memory",
    "rate_or_exponent",
    "half_life_days",
    "amount",
    "floor",
    "triggered",
    "aic",
    "gain",
    "gain_apart",
    "rate_or_exponent_apart",
)
FOR_PROGRAMS = (
    "low",
    "high",
    "log_likelihood",
    "gain_error",
    "gain_apart_error",
    "variance_apart",
)

_SAID = {True: "outside", False: "within"}


def excitation_records(found: Excitation) -> list[dict[str, Scalar]]:
    """Returns one record per model; without models they say why, and hold no numbers."""
    if found.models:
        return [asdict(one) for one in found.models]
    empty = dict.fromkeys([one.name for one in fields(ExcitationModel)])
    return [{**empty, "kernel": kernel, "memory": memory, "note": found.note} for kernel, memory in MODELS]


def excitation_table(found: Excitation, options: FitOptions) -> Table:
    """Returns the models, best on held-out users first, with the conclusion under them.

    Args:
        found: the comparison.
        options: how it was made.
    """
    ranked = sorted(found.models, key=lambda one: -one.heldout)
    noted = ["note"] if any(one.note for one in ranked) else []
    rows = [_entries(one, one is ranked[0]) + ([one.note] if noted else []) for one in ranked]
    notes = [conclusion(found), *([_kernels(found.kernel)] if found.kernel else [])]
    if found.models:
        notes += [
            "Rate of coming back: floor + amount · the traces of earlier visits, of the last one or of each; a trace "
            "fades exponentially (each: Hawkes) or as age^−d (each: ACT-R base level). All entities together, exact "
            f"likelihood in days, at risk from {options.session_gap_days:g} days after a visit, right-censored.",
            "rate_or_exponent: λ per day or d"
            + (
                f", with its {options.confidence:.0%} interval, {options.replicates} bootstrap replicates over users"
                if options.replicates
                else ""
            )
            + "; triggered: returns that the trace of one visit brings about, of the power law until the longest age "
            "in the log, and of memory=last if no return came between.",
            f"gain: log-likelihood of held-out users, in {FOLDS} folds, over exponential × last, ± its standard error "
            "over users.",
            "gain_apart, rate_or_exponent_apart: the same fits, and their gain on all users, if the rate of every user "
            "with every entity has a level of its own (a gamma factor), because users who come often also have many "
            "earlier visits.",
        ]
    return Table(
        title=TITLE, columns=[*COLUMNS, *FOR_PROGRAMS, *noted], rows=rows, notes=notes, data_columns=FOR_PROGRAMS
    )


def conclusion(found: Excitation) -> str:
    """Returns in a sentence whether earlier visits add up, which model says so and how sure that is."""
    ahead, apart = found.memory, found.memory_apart
    if ahead is None or apart is None:
        return f"Not compared: {found.note}."
    told = f"on held-out users {_told(ahead)}; with a level of its own for every user and entity {_told(apart)}"
    agree = ahead.first.memory == apart.first.memory
    if agree and ahead.clear and apart.clear:
        return f"{_verdict(ahead)}: {told}."
    if not agree and apart.clear:
        return f"{_verdict(apart)}, and users differ: {told}."
    if ahead.clear and ahead.first.memory == EACH:
        return f"Not settled, because users who differ look the same: {told}."
    return f"Not settled: {told}."


def _verdict(lead: Lead) -> str:
    return "Earlier visits add up" if lead.first.memory == EACH else "Only the last visit counts"


def _told(lead: Lead) -> str:
    return (
        f"{lead.first.name} is ahead of {lead.second.name} by {lead.gain:,.1f} ± {lead.error:,.1f} "
        f"({_SAID[lead.clear]} {TIE_ERRORS:g} errors)"
    )


def _kernels(lead: Lead) -> str:
    return f"Kernel: on held-out users {_told(lead)}."


def _entries(one: ExcitationModel, best: bool) -> list[Entry]:
    exponential = one.rate_per_day is not None
    symbol = "λ" if exponential else "d"
    value, apart = (one.rate_per_day, one.rate_per_day_apart) if exponential else (one.exponent, one.exponent_apart)
    ends = "" if one.low is None else f" ({one.low:.3g}–{one.high:.3g})"
    return [
        Cell(one.kernel, bold=best),
        Cell(one.memory, bold=best),
        Cell(value, f"{symbol} = {value:.3g}{ends}"),
        _short(one.half_life_days),
        _short(one.amount),
        _short(one.floor),
        _short(one.triggered),
        Cell(one.aic, f"{one.aic:,.1f}"),
        Cell(one.gain, _with_error(one.gain, one.gain_error)),
        Cell(one.gain_apart, _with_error(one.gain_apart, one.gain_apart_error)),
        Cell(apart, "no fall" if apart is None else f"{symbol} = {apart:.3g}"),
        one.low,
        one.high,
        one.log_likelihood,
        one.gain_error,
        one.gain_apart_error,
        one.variance_apart,
    ]


def _short(value: float | None) -> Cell:
    return Cell(value, "–" if value is None else f"{value:.3g}")


def _with_error(gain: float, error: float) -> str:
    # The model that gains are counted from has no error; adding 0 takes the sign from a gain that rounds to −0.
    return "0" if error == 0.0 else f"{round(gain, 1) + 0.0:,.1f} ± {error:,.1f}"
