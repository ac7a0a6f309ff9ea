"""`ltsi decay-fit run=DIR`: the decay that a trained model implies, beside that of the log it was trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltsi.decay.implied import ImpliedDecay, fit_implied, implied_curves, implied_edges
from ltsi.decay.result import POOLED, DecayFit, EntityDecay, FitOptions
from ltsi.decay.return_decay import fit_return_decay
from ltsi.decay.statistics import SECONDS_PER_DAY
from ltsi.errors import ConfigError
from ltsi.histories import Histories
from ltsi.runs.folder import RunFolder
from ltsi.sequences.batches import gather
from ltsi.sequences.split import Split
from ltsi.tables import Cell, Entry, Result, Table
from ltsi.workflows.trained import Trained, named_run, open_trained, require_next_item
from ltsi.writing import write_parquet

HISTORIES = 200
"""Histories that are aged, spread evenly over the users."""

AT_ONCE = 50
MAX_ROWS = 30
COLUMNS = ("half_life_days", "low", "high", "form", "histories", "log_half_life_days", "log_low", "log_high")


def open_aged(run: str, trust: Sequence[str] = ()) -> Trained:
    """Opens the run whose model is asked; see `open_trained`.

    Raises:
        RunError: it is none, or its model does not answer what comes next.
        DataError: its store is gone, has changed or has no clock.
    """
    trained = require_next_item(open_trained(RunFolder(named_run(run)).require(), trust), "decay-fit run=DIR")
    trained.experiment.store.require_clock("decay-fit")
    return trained


def run(
    trained: Trained, entity: str, codes: NDArray[np.integer], labels: list[str], options: FitOptions, folder: Path
) -> Result:
    """Ages histories of the training part and fits what the model makes of that.

    Args:
        trained: the run.
        entity: what an entity is.
        codes: `(items,)`, code of the entity of each item, -1: of none.
        labels: label of each code.
        options: how the log's own decay is fitted; form, replicates, confidence and seed hold for both.
        folder: takes `implied.parquet`.

    Returns:
        Half-lives of the model beside those of the training part.

    Raises:
        ConfigError: every history holds every entity.
    """
    split, name = trained.experiment.split, str(trained.config.model.name)
    longest = _span_days(split)
    batches = list(_batches(split, int(trained.config.max_length)))
    held, compact = _held(batches, codes, len(labels))
    curves = implied_curves(trained.model, batches, compact, len(held) + 2, implied_edges(longest))
    if not curves.n_compared:
        raise ConfigError(
            f"entity={entity}: every history holds every one, so there is nothing to compare an interest with; set "
            "entity=item, or a column of the item table with more values."
        )
    if not curves.looks_at_time:
        return Result(
            messages=[
                f"{name} implies no decay: {curves.n_histories} histories aged by up to {longest:,.0f} days, and not "
                "one score moved against another. It does not look at the time of the question."
            ]
        )
    # What no history holds stays beside the entities; what no label tells apart is no interest.
    implied = fit_implied(curves.first(len(held) + 1), [*(labels[code] for code in held), ""], options)
    implied = implied[: len(held) + 1]
    own = fit_return_decay(split, codes, labels, options)
    path = _write(implied, folder / "implied.parquet")
    shown = _most(implied)
    notes = [
        f"{curves.n_histories} histories of the training part, aged by up to {longest:,.0f} days. The model's half-"
        "life is of the weight of an interest against what its history does not hold; the log's is of the rate of "
        "returns, which also falls when users leave for good.",
        *([f"Intervals of {options.confidence:.0%} are over histories, and over users."] if options.replicates else []),
        *left_out(entity, codes),
    ]
    if len(implied) > len(shown):
        notes.append(f"{len(implied) - len(shown)} more in {path.name}.")
    title = f"Decay that {name} ({trained.folder.path}) implies, by {entity}"
    return Result([_table(shown, own, title, entity, notes)], [f"Wrote {path}"], value=implied[0].half_life_days)


def left_out(entity: str, codes: NDArray[np.integer] | None) -> list[str]:
    """Says how many items have no label, if there are any; they have the code -1."""
    count = 0 if codes is None else int((codes < 0).sum())
    if codes is None or not count:
        return []
    return [
        f"Items without a value in '{entity}': {count:,} of {len(codes):,}. They are left out: what users do with them "
        "is neither a visit nor a return."
    ]


def _table(shown: list[ImpliedDecay], own: DecayFit, title: str, entity: str, notes: list[str]) -> Table:
    noted = any(one.note for one in shown)
    if len(shown) > 1:
        notes = [*notes, f"{POOLED}: the mean over all interests of all histories, so a mixture of the rates below."]
    columns = [entity, *COLUMNS, *(["note"] if noted else [])]
    rows = [_row(one, _own(one.entity, own))[: len(columns)] for one in shown]
    return Table(title, columns, rows, notes)


def _span_days(split: Split) -> float:
    first = min(int(block.time.min()) for block in split.training_blocks() if len(block.time))
    return max((split.training_end_time() - first) / SECONDS_PER_DAY, 1 / SECONDS_PER_DAY)


def _batches(split: Split, max_length: int) -> Iterator[Histories]:
    """Yields histories of the training part, as training ends."""
    start = split.roles.position(np.asarray(split.store.offsets[:-1]))
    end = split.roles.position(np.asarray(split.train_end))
    some = np.flatnonzero(end > start)
    some = some[np.linspace(0, len(some) - 1, min(HISTORIES, len(some))).astype(np.int64)]
    for first in range(0, len(some), AT_ONCE):
        user = some[first : first + AT_ONCE]
        now = np.asarray(split.store.time[split.roles.row(end[user] - 1)])
        yield gather(split.store, np.maximum(start[user], end[user] - max_length), end[user], now, split.roles, user)


def _held(
    batches: list[Histories], codes: NDArray[np.integer], n_entities: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the codes of the entities in the histories, and for each item its place among them.

    One behind them are the items of other entities, two behind them the items of none.
    """
    item = np.unique(np.concatenate([batch.item_BL.numpy().ravel() for batch in batches]))
    held = np.unique(codes[item[item < len(codes)]]).astype(np.int64)
    held = held[held >= 0]
    place = np.full(n_entities + 1, len(held), dtype=np.int64)
    place[held] = np.arange(len(held))
    place[-1] = len(held) + 1  # where the code -1 looks
    return held, place[codes]


def _own(label: str, fit: DecayFit) -> EntityDecay:
    if label == POOLED:
        return fit.pooled
    return next(one for one in fit.entities if one.entity == label)


def _most(implied: list[ImpliedDecay]) -> list[ImpliedDecay]:
    """Returns all together and the entities in most histories, by half-life."""
    most = sorted(implied[1:], key=lambda one: -one.histories)[:MAX_ROWS]
    return [implied[0], *sorted(most, key=lambda one: (one.half_life_days or float("inf"), one.entity))]


def _row(one: ImpliedDecay, own: EntityDecay) -> list[Entry]:
    return [
        one.entity,
        _days(one.half_life_days),
        _days(one.half_life_low_days),
        _days(one.half_life_high_days),
        one.form,
        one.histories,
        _days(own.half_life_days),
        _days(own.half_life_low_days),
        _days(own.half_life_high_days),
        one.note,
    ]


def _days(value: float | None) -> Cell:
    return Cell(value, None if value is None else f"{value:.3g}")


def _write(implied: list[ImpliedDecay], path: Path) -> Path:
    numbers = ("rate_per_day", "half_life_days", "half_life_low_days", "half_life_high_days")
    types = {"form": pl.String, **dict.fromkeys(numbers, pl.Float64)}
    table = pl.DataFrame([asdict(one) for one in implied], schema_overrides=types, infer_schema_length=None)
    return write_parquet(table, path)
