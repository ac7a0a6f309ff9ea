"""`ltsi compare`: runs into a table of models by metrics, with intervals and tests over users."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from ltsi.errors import ConfigError, did_you_mean
from ltsi.evaluation.significance import holm, paired_p_values, percentile_interval
from ltsi.metrics import LABELS, RANKS, VALUES, parse, parse_all
from ltsi.runs.folder import CLICK, INTENSITY, NEXT_ITEM
from ltsi.runs.ledger import Entry, Ledger, read_ledgers
from ltsi.runs.record import told_labels
from ltsi.runs.user_sums import UserSums, user_sums
from ltsi.sequences.split import PARTS
from ltsi.tables import Cell, Result, Table

BASELINE = "exp_decay"
"""What gains are measured against if nobody names something else; it need not be there."""
LEVEL = 0.95
REPLICATES = 1000
FLIPS = 10_000
SHOWN = {
    NEXT_ITEM: ("hr@10", "ndcg@10", "mrr"),
    CLICK: ("auc", "gauc", "log_loss", "accuracy", "f1"),
    INTENSITY: ("mae", "mse", "r2", "mase", "coverage"),
}
"""Metrics of an objective unless others are asked for."""
MAIN = {NEXT_ITEM: ("ndcg@10",), CLICK: ("gauc", "log_loss"), INTENSITY: ("mae", "mse")}
"""Metrics that models are sorted and tested by, the first that is shown."""
READS = {NEXT_ITEM: RANKS, CLICK: LABELS, INTENSITY: VALUES}


@dataclass(frozen=True)
class _Estimate:
    """Numbers with their intervals, arrays of one shape."""

    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True)
class _Gains:
    """Gains over a baseline on the main metric.

    Attributes:
        against: index of the baseline's entry.
        percent: `(entries,)`, of the baseline's mean; NaN for the baseline, and for all if its mean is zero. The
            bounds are NaN also if its mean is zero in a resample.
        p_value: `(entries,)`, corrected; NaN for the baseline.
    """

    against: int
    percent: _Estimate
    p_value: NDArray[np.float64]


def run(
    directories: list[Path], *, metrics: list[str] | None = None, split: str = "test", baseline: str = BASELINE
) -> Result:
    """Compares runs.

    Every number is a mean over seeds; the seeds of a model are averaged for each user before anything is resampled. The
    folds of a split are put together: a user is one draw, with all that was asked about them in any fold.

    Args:
        directories: folders of runs or of sweeps.
        metrics: names of the metrics, such as `ndcg@10`; None: those of the objective. Models are sorted and tested by
            `ndcg@10`, or of clicks by `gauc` or `log_loss`, if it is among them, else by the first that can be tested.
        split: the part compared, `valid` or `test`.
        baseline: the model that gains are measured against: its name, or its label in the table where it occurs in
            several configurations.

    Returns:
        One table per store.

    Raises:
        ConfigError: an unknown metric or part, a metric of another objective, no metric, or an unknown or ambiguous
            baseline.
        RunError: a folder without runs, runs not evaluated, or runs that may not stand in one table.
    """
    if split not in PARTS:
        raise ConfigError(f"split={split} is not a part that can be compared; it must be one of: {', '.join(PARTS)}.")
    if metrics is not None and not metrics:
        raise ConfigError("There is no metric to show; name one, such as ndcg@10.")
    for name in metrics or ():
        parse(name)
    ledgers, left_out = read_ledgers(directories, split)
    _require_known(baseline, ledgers)
    with _progress() as progress:
        tables = [_table(ledger, _names(ledger, metrics), baseline, progress) for ledger in ledgers]
    messages = [f"Left out, not evaluated on {split}: {path} (`ltsi eval run={path}`)." for path in left_out]
    return Result(tables=tables, messages=messages)


def _require_known(baseline: str, ledgers: Sequence[Ledger]) -> None:
    """Refuses a baseline that somebody named and that is in no table."""
    entries = [entry for ledger in ledgers for entry in ledger.entries]
    known = {name for entry in entries for name in (entry.model, entry.label)}
    if baseline not in {BASELINE, *known}:
        labels = ", ".join(sorted({entry.label for entry in entries}))
        raise ConfigError(
            f"--baseline {baseline} is not among these runs.{did_you_mean(baseline, known)} They are: {labels}."
        )


def _progress() -> Progress:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())


def _names(ledger: Ledger, metrics: Sequence[str] | None) -> tuple[str, ...]:
    objective = ledger.objective
    return parse_all(SHOWN[objective] if metrics is None else metrics, READS[objective], f"objective={objective}")


def _table(ledger: Ledger, names: Sequence[str], baseline: str, progress: Progress) -> Table:
    task = progress.add_task(f"Reading {len(ledger.entries)} models on {ledger.store}", total=None)
    entries, sums = ledger.entries, user_sums(ledger, names)
    main = _main(ledger, names, sums)
    progress.update(task, description=f"Resampling {ledger.n_users:,} users")
    # A ratio of sums over the resampled users: users are the sample, and some have several targets.
    replicates_REM = sums.replicates(REPLICATES)
    metrics_EM = _Estimate(sums.value_EM, *percentile_interval(replicates_REM, LEVEL))
    progress.update(task, description=f"Testing {len(entries)} models")
    against, gains = _baseline(entries, baseline), None
    if against is not None and sums.paired(main) and parse(names[main]).orders_models:
        worth = -1 if parse(names[main]).lower_is_better else 1
        gains = _gains(sums.numerator_EMU[:, main], replicates_REM[:, :, main], against, worth)
    progress.remove_task(task)
    columns = ["model", "seeds", *(column for name in names for column in _with_bounds(name))]
    columns += [] if gains is None else [*_with_bounds("gain %"), "p"]
    rows, best_M = [], [_best(name, metrics_EM.mean[:, m]) for m, name in enumerate(names)]
    descending = 1 if parse(names[main]).lower_is_better else -1
    for e in np.argsort(descending * metrics_EM.mean[:, main], kind="stable"):
        row = [Cell(entries[e].label), Cell(len(entries[e].seeds))]
        for m in range(len(names)):
            best = len(entries) > 1 and bool(metrics_EM.mean[e, m] == best_M[m])
            row += _estimate_cells(metrics_EM, (e, m), ".4f", best)
        if gains is not None:
            row += [*_estimate_cells(gains.percent, (e,), "+.1f"), _p_cell(float(gains.p_value[e]))]
        rows.append([*row, *_cost_cells(entries[e])])
    return Table(
        title=f"{ledger.store}: {ledger.part} of {ledger.first.evaluation.split}{_folds(ledger)}, {_sample(ledger)}",
        columns=[*columns, "parameters", "train s"],
        rows=rows,
        notes=[
            _protocol(ledger),
            _gain_note(entries, names[main], baseline, gains, against),
            *_warnings(ledger),
        ],
        data_columns=[column for column in columns if column.endswith((" low", " high"))],
    )


def _main(ledger: Ledger, names: Sequence[str], sums: UserSums) -> int:
    """Returns the index of the metric that models are sorted and tested by: the first that can be tested."""
    preferred = [name for name in MAIN[ledger.objective] if name in names]
    order = [names.index(name) for name in [*preferred, *names]]
    return next((index for index in order if sums.paired(index) and parse(names[index]).orders_models), order[0])


def _best(name: str, value_E: NDArray[np.float64]) -> float:
    defined = value_E[~np.isnan(value_E)]
    if not len(defined) or not parse(name).orders_models:
        return float("nan")
    return float(defined.min() if parse(name).lower_is_better else defined.max())


def _folds(ledger: Ledger) -> str:
    folds = [fold for fold in ledger.folds if fold is not None]
    return f" (fold{'s' if len(folds) > 1 else ''} {', '.join(map(str, folds))})" if folds else ""


def _sample(ledger: Ledger) -> str:
    users = f"{ledger.n_users:,} users"
    if ledger.objective == INTENSITY:
        return f"{ledger.n_targets:,} forecasts of {len(ledger.first_forecasts):,} series of {users}"
    asked = "examples" if ledger.objective == CLICK else "targets"
    return users if ledger.n_targets == ledger.n_users else f"{ledger.n_targets:,} {asked} of {users}"


def _baseline(entries: Sequence[Entry], name: str) -> int | None:
    labels = [entry.label for entry in entries]
    if name in labels:
        return labels.index(name)
    candidates = [index for index, entry in enumerate(entries) if entry.model == name]
    if len(candidates) > 1:
        found = "; ".join(f"'{labels[index]}'" for index in candidates)
        raise ConfigError(f"The baseline '{name}' occurs in several configurations: {found}; give one of these.")
    return candidates[0] if candidates else None


def _gains(users_EU: NDArray[np.float64], replicates_RE: NDArray[np.float64], against: int, worth: int) -> _Gains:
    """Compares with the baseline; `worth` is -1 where less of the metric is better."""
    others = np.delete(np.arange(len(users_EU)), against)
    percent_3E, p_value_E = np.full((3, len(users_EU)), np.nan), np.full(len(users_EU), np.nan)
    if len(others):
        p_value_E[others] = holm(paired_p_values((users_EU[others] - users_EU[against]).T, FLIPS))
    means_E = users_EU.mean(axis=1)
    if means_E[against] > 0:
        percent_3E[0, others] = worth * 100 * (means_E[others] / means_E[against] - 1)
    # With few users there are resamples in which the baseline scores nothing: their gain, and so the interval, is open.
    if (replicates_RE[:, against] > 0).all():
        ratios_RO = replicates_RE[:, others] / replicates_RE[:, [against]]
        percent_3E[1:, others] = 100 * np.stack(percentile_interval(worth * (ratios_RO - 1), LEVEL))
    return _Gains(against, _Estimate(*percent_3E), p_value_E)


def _with_bounds(name: str) -> list[str]:
    return [name, f"{name} low", f"{name} high"]


def _estimate_cells(estimate: _Estimate, at: tuple[int, ...], digits: str, bold: bool = False) -> list[Cell]:
    mean, low, high = (float(numbers[at]) for numbers in (estimate.mean, estimate.low, estimate.high))
    if np.isnan(mean):
        return [Cell(None), Cell(None), Cell(None)]
    text = f"{mean:{digits}}"
    if not np.isnan(low):
        text += f" ±{(high - low) / 2:{digits.lstrip('+')}}"
    return [Cell(mean, text, bold), Cell(low), Cell(high)]


def _p_cell(p_value: float) -> Cell:
    if np.isnan(p_value):
        return Cell(None)
    return Cell(p_value, "<0.001" if p_value < 0.001 else f"{p_value:.3f}")


def _cost_cells(entry: Entry) -> tuple[Cell, Cell]:
    parameters, seconds = entry.mean_of("n_parameters"), entry.mean_of("train_seconds")
    return (
        Cell(None if parameters is None else round(parameters)),
        Cell(seconds, None if seconds is None else f"{seconds:,.1f}"),
    )


def _protocol(ledger: Ledger) -> str:
    seen = ledger.first.evaluation.seen
    treated = "not ranked" if seen == "hide" else "ranked like all others"
    how = f"Full ranking, ties in score count half (rounded down), items the user has seen are {treated} (seen={seen})."
    if ledger.objective == CLICK:
        how = (
            f"Two classes, {told_labels(ledger.first)}; positive is predicted from a probability of 0.5 on. auc "
            "compares examples of different users, so it has no interval here; gauc compares those of one."
        )
    if ledger.objective == INTENSITY:
        how = (
            "Forecasts over a horizon from origins that roll through the part; r2 is not a mean over users, so it has "
            "no interval here; coverage is best at 0.9, the level of the intervals; "
            f"{ledger.n_silent:,} of the series are zero throughout the part."
        )
    return (
        f"Means over seeds; ± is half the width of the {LEVEL:.0%} bootstrap interval over users "
        f"({REPLICATES:,} resamples; --format json or csv has the bounds). {how}"
    )


def _gain_note(entries: Sequence[Entry], main: str, baseline: str, gains: _Gains | None, against: int | None) -> str:
    if against is None:
        known = ", ".join(sorted(entry.label for entry in entries))
        return f"No gains are shown: the baseline '{baseline}' is not among these runs ({known})."
    if gains is None:
        why = "it is not a mean over users" if parse(main).orders_models else "a higher value is not always better"
        return f"No gains are shown for {main} because {why}; add another metric."
    label, n_tests = entries[gains.against].label, len(entries) - 1
    if not n_tests:
        return f"No gains are shown: only the baseline {label} was found."
    measure = f"less {main} than" if parse(main).lower_is_better else f"{main} over"
    note = (
        f"Gain: {measure} {label} on the same users; p: {FLIPS:,} random sign flips of their differences, "
        f"Holm-corrected for {n_tests} comparison{'s' if n_tests > 1 else ''}."
    )
    if np.isnan(gains.percent.mean).all():
        note += f" There is no gain in percent: {main} of {label} is zero."
    return note


def _warnings(ledger: Ledger) -> Iterator[str]:
    order_warning = ledger.first.environment.get("order_warning")
    if order_warning:
        yield f"Order inside ties of time: {order_warning}"
    stopped = [str(record.path) for e in ledger.entries for record in e.records if "finished" not in record.environment]
    if stopped:
        yield f"Stopped before the end of the training, shown as of their best epoch: {', '.join(stopped)}."
    if ledger.n_repeated:
        yield f"{ledger.n_repeated} earlier run(s) with the configuration and seed of a later one are left out."
