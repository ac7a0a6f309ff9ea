"""`ltsi compare`: runs into a table of models by metrics, with intervals and tests over users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ltsi import metrics as metrics_by_name
from ltsi.errors import ConfigError
from ltsi.evaluation.significance import bootstrap_means, holm, paired_p_values, percentile_interval
from ltsi.runs.ledger import Entry, Ledger, read_ledgers
from ltsi.sequences.split import PARTS
from ltsi.tables import Cell, Result, Scalar, Table

LEVEL = 0.95
REPLICATES = 1000
FLIPS = 10_000
MAIN_METRIC = "ndcg@10"


@dataclass(frozen=True)
class _Gain:
    """A gain over the baseline, in percent of the baseline's mean."""

    percent: float
    low: float
    high: float
    p_value: float


def run(directories: list[Path], *, metrics: list[str], split: str = "test", baseline: str = "exp_decay") -> Result:
    """Compares runs.

    Every number is a mean over seeds; the seeds of a model are averaged for each user before anything is resampled.

    Args:
        directories: folders of runs or of sweeps.
        metrics: names of the metrics, such as `ndcg@10`. Models are sorted and tested by `ndcg@10` if it is among
            them, else by the first.
        split: the part compared, `valid` or `test`.
        baseline: the model that gains are measured against: its name, or its label in the table where it occurs in
            several configurations.

    Returns:
        One table per store.

    Raises:
        ConfigError: an unknown metric or part, no metric, or an ambiguous baseline.
        RunError: a folder without runs, runs not evaluated, or runs that may not stand in one table.
    """
    if split not in PARTS:
        raise ConfigError(f"split={split} is not a part that can be compared; it must be one of: {', '.join(PARTS)}.")
    if not metrics:
        raise ConfigError("There is no metric to show; name one, such as ndcg@10.")
    names = list(dict.fromkeys(str(metrics_by_name.parse(name)) for name in metrics))
    ledgers, left_out = read_ledgers(directories, split)
    messages = [f"Left out, not evaluated on {split}: {path} (`ltsi eval run={path}`)." for path in left_out]
    return Result(tables=[_table(ledger, names, baseline) for ledger in ledgers], messages=messages)


def _table(ledger: Ledger, names: Sequence[str], baseline: str) -> Table:
    main = names.index(MAIN_METRIC) if MAIN_METRIC in names else 0
    users_EMN = np.stack([_user_means(ledger, entry, names) for entry in ledger.entries])
    replicates_REM = bootstrap_means(users_EMN.reshape(-1, ledger.n_users).T, REPLICATES).reshape(
        REPLICATES, len(ledger.entries), len(names)
    )
    low_EM, high_EM = percentile_interval(replicates_REM, LEVEL)
    mean_EM = users_EMN.mean(axis=2)
    against = _baseline(ledger.entries, baseline)
    gains = {} if against is None else _gains(users_EMN[:, main], replicates_REM[:, :, main], against)
    rows = []
    for e in np.argsort(-mean_EM[:, main], kind="stable"):
        entry, row = ledger.entries[e], []
        for m in range(len(names)):
            best = bool(mean_EM[e, m] == mean_EM[:, m].max()) and len(ledger.entries) > 1
            row += [Cell(float(mean_EM[e, m]), f"{mean_EM[e, m]:.4f}", best), _interval(low_EM[e, m], high_EM[e, m])]
        tail = () if against is None else _gain_cells(gains.get(int(e)))
        rows.append([entry.label, len(entry.records), *row, *tail, *_cost(entry)])
    columns = ["model", "seeds", *(column for name in names for column in (name, f"{name} {LEVEL:.0%}"))]
    columns += [] if against is None else [f"gain % ({names[main]})", f"gain {LEVEL:.0%}", "p"]
    store, first = ledger.store, ledger.first.evaluation
    return Table(
        title=f"{store}: {ledger.part} of {first.split}, {ledger.n_users:,} users",
        columns=[*columns, "parameters", "training s"],
        rows=rows,
        notes=_notes(ledger, names[main], baseline, None if against is None else ledger.entries[against].label),
    )


def _user_means(ledger: Ledger, entry: Entry, names: Sequence[str]) -> NDArray[np.float64]:
    """Averages each user's metrics over the seeds, `(metrics, users)`."""
    ranks_SN = ledger.ranks(entry)
    return np.stack([metrics_by_name.parse(name)(ranks_SN).mean(axis=0) for name in names])


def _baseline(entries: Sequence[Entry], name: str) -> int | None:
    labels = [entry.label for entry in entries]
    if name in labels:
        return labels.index(name)
    candidates = [index for index, entry in enumerate(entries) if entry.model == name]
    if len(candidates) > 1:
        found = "; ".join(f"'{labels[index]}'" for index in candidates)
        raise ConfigError(f"The baseline '{name}' occurs in several configurations: {found}; give one of these.")
    return candidates[0] if candidates else None


def _gains(users_EN: NDArray[np.float64], replicates_RE: NDArray[np.float64], against: int) -> dict[int, _Gain]:
    """Compares every entry with the baseline; empty where the baseline hits nothing and a ratio means nothing."""
    others = [e for e in range(len(users_EN)) if e != against]
    base = users_EN[against].mean()
    if not others or not replicates_RE[:, against].all():
        return {}
    p_values = holm(paired_p_values((users_EN[others] - users_EN[against]).T, FLIPS))
    ratios = replicates_RE[:, others] / replicates_RE[:, [against]] - 1
    low, high = percentile_interval(ratios, LEVEL)
    percent = users_EN[others].mean(axis=1) / base - 1
    return {
        e: _Gain(100 * float(percent[i]), 100 * float(low[i]), 100 * float(high[i]), float(p_values[i]))
        for i, e in enumerate(others)
    }


def _gain_cells(gain: _Gain | None) -> tuple[Cell, Cell, Cell]:
    if gain is None:
        return Cell(None), Cell(None), Cell(None)
    p_text = "<0.001" if gain.p_value < 0.001 else f"{gain.p_value:.3f}"
    return (
        Cell(gain.percent, f"{gain.percent:+.1f}"),
        Cell(f"[{gain.low:.4f}, {gain.high:.4f}]", f"[{gain.low:+.1f}, {gain.high:+.1f}]"),
        Cell(gain.p_value, p_text),
    )


def _interval(low: float, high: float) -> Cell:
    return Cell(f"[{low:.6f}, {high:.6f}]", f"[{low:.4f}, {high:.4f}]")


def _cost(entry: Entry) -> tuple[Scalar | Cell, Cell]:
    parameters, seconds = entry.mean_of("n_parameters"), entry.mean_of("train_seconds")
    return (
        None if parameters is None else round(parameters),
        Cell(seconds, None if seconds is None else f"{seconds:,.1f}"),
    )


def _notes(ledger: Ledger, main: str, baseline: str, found: str | None) -> list[str]:
    seen = ledger.first.evaluation.seen
    notes = [
        f"Means over seeds, with {LEVEL:.0%} bootstrap intervals over users ({REPLICATES:,} resamples). "
        f"Full ranking, ties in score count half, items the user has seen are "
        f"{'not ranked' if seen == 'hide' else 'ranked like others'} (seen={seen})."
    ]
    others = len(ledger.entries) - 1
    if found is None:
        known = ", ".join(sorted(entry.label for entry in ledger.entries))
        notes.append(f"No gains are shown: the baseline '{baseline}' is not among these runs ({known}).")
    elif others:
        notes.append(
            f"Gain: {main} over {found} on the same users; p: {FLIPS:,} random sign flips of the users' differences, "
            f"Holm-corrected for {others} comparison{'s' if others > 1 else ''}."
        )
    if ledger.n_repeated:
        notes.append(f"{ledger.n_repeated} earlier run(s) with the configuration and seed of a later one are left out.")
    return notes
