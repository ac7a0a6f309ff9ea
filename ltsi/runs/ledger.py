"""The ledger: many runs, sorted into what may stand in one table and what is the same model under another seed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltsi.errors import RunError
from ltsi.metrics import Forecasts
from ltsi.runs.folder import CLICK, INTENSITY, NEXT_ITEM, find_runs
from ltsi.runs.record import NOT_OF_THE_MODEL, Record, read_record, require_comparable

# Columns of a run's table: what was asked, and what the model answered.
_QUESTION = {
    NEXT_ITEM: ("user", "target"),
    CLICK: ("user", "item", "label"),
    INTENSITY: ("user", "entity", "origin", "step", "actual", "scale"),
}
_ANSWER = {NEXT_ITEM: ("rank",), CLICK: ("probability",), INTENSITY: ("mean", "median", "low", "high")}
# What follows each other when several folds are put together.
_UNIT = {NEXT_ITEM: ("user",), CLICK: ("user",), INTENSITY: ("user", "entity")}


@dataclass(frozen=True)
class Entry:
    """One model configuration under all its seeds, on all folds.

    Attributes:
        label: the model's name, and what tells it from other configurations of the same model.
        records: its runs, one a seed and fold, sorted by seed, then by fold.
    """

    label: str
    records: tuple[Record, ...]

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.records[0].model

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of the runs."""
        return tuple(dict.fromkeys(record.seed for record in self.records))

    def mean_of(self, fact: str) -> float | None:
        """Averages a number of `environment.json` over the runs; None if a run does not tell it."""
        values = [record.environment.get(fact) for record in self.records]
        return None if None in values else float(np.mean([float(value) for value in values if value is not None]))


@dataclass(frozen=True)
class Ledger:
    """Runs that answered the same questions: same store and objective, same targets, same items allowed.

    Of a split with folds, the questions of all folds are put together.

    Attributes:
        part: `valid` or `test`.
        entries: the model configurations, each with the same folds under each of its seeds.
        n_repeated: runs left out because a later run has the same configuration and seed.
    """

    part: str
    entries: tuple[Entry, ...]
    n_repeated: int = 0

    @property
    def first(self) -> Record:
        """A run to ask for what all have in common."""
        return self.entries[0].records[0]

    @property
    def store(self) -> str:
        """Name of the store."""
        return str(self.first.environment["store"])

    @property
    def objective(self) -> str:
        """What the runs are judged for."""
        return self.first.evaluation.objective

    @property
    def folds(self) -> tuple[int | None, ...]:
        """Folds that every model was evaluated on; one None of a split without folds."""
        return tuple(record.fold for record in self.entries[0].records if record.seed == self.first.seed)

    @cached_property
    def _asked(self) -> dict[int | None, pl.DataFrame]:
        """Questions of each fold."""
        records = self.entries[0].records[: len(self.folds)]
        return {record.fold: self._answers(record).drop(*_ANSWER[self.objective]) for record in records}

    @cached_property
    def _order(self) -> NDArray[np.uint32]:
        """Order in which users, or series, of all folds follow each other."""
        unit = _UNIT[self.objective]
        rows = pl.concat([asked.select(unit) for asked in self._asked.values()]).with_row_index("row")
        return rows.sort(unit, maintain_order=True)["row"].to_numpy()

    @cached_property
    def _questions(self) -> pl.DataFrame:
        return pl.concat(self._asked.values())[self._order]

    @property
    def n_users(self) -> int:
        """Number of users asked about.

        Raises:
            RunError: see `ranks`.
        """
        return len(self.first_targets)

    @property
    def labels(self) -> NDArray[np.bool_]:
        """Whether each example is positive, `(examples,)`, in the order of `probabilities`."""
        return self._questions["label"].cast(pl.Boolean).to_numpy()

    @cached_property
    def first_targets(self) -> NDArray[np.int64]:
        """Column of each user's first target, example or forecast, `(users,)`; those of a user follow each other."""
        return self._starts("user")

    @cached_property
    def first_forecasts(self) -> NDArray[np.int64]:
        """Column of each intensity series' first forecast, `(series,)`; those of a series follow each other."""
        return self._starts("user", "entity")

    @property
    def n_targets(self) -> int:
        """Number of targets ranked, or of examples told apart."""
        return self._questions.height

    def ranks(self, entry: Entry) -> NDArray[np.int64]:
        """Reads the ranks of a model's targets; column i is the same target in every entry of this ledger.

        Args:
            entry: an entry of this ledger.

        Returns:
            `(seeds, targets)`, targets in the order of their users.

        Raises:
            RunError: a run's per-user results are missing, unreadable, or of other users or targets.
        """
        return self._collected(entry, "rank")

    def probabilities(self, entry: Entry) -> NDArray[np.float64]:
        """Reads the probabilities that a model gives to examples, `(seeds, examples)`; see `ranks`."""
        return self._collected(entry, "probability")

    def forecasts(self, entry: Entry) -> list[Forecasts]:
        """Reads the forecasts of a model, one set a seed; see `ranks`."""
        actual, scale = (self._questions[name].to_numpy() for name in ("actual", "scale"))
        columns = (self._collected(entry, name) for name in _ANSWER[INTENSITY])
        return [
            Forecasts(actual, mean, median, low, high, scale) for mean, median, low, high in zip(*columns, strict=True)
        ]

    @property
    def n_silent(self) -> int:
        """Number of series that are zero throughout the part."""
        return int((np.add.reduceat(self._questions["actual"].to_numpy(), self.first_forecasts) == 0).sum())

    def _starts(self, *unit: str) -> NDArray[np.int64]:
        changed = pl.any_horizontal(pl.all() != pl.all().shift(1)).fill_null(value=True)
        return np.flatnonzero(self._questions.select(unit).select(changed).to_series().to_numpy())

    def _collected(self, entry: Entry, column: str) -> NDArray[Any]:
        found = []
        for record in entry.records:
            answers = self._answers(record)
            if not answers.drop(*_ANSWER[self.objective]).equals(self._asked[record.fold]):
                first = self.entries[0].records[self.folds.index(record.fold)]
                raise RunError(
                    f"Runs {first.path} and {record.path} cannot be compared in one table: they were evaluated on "
                    f"different users or targets in {self.part}; evaluate both again, or compare them separately."
                )
            found.append(answers[column].to_numpy())
        n = len(self.folds)
        seeds = [np.concatenate(found[first : first + n]) for first in range(0, len(found), n)]
        return np.stack(seeds)[:, self._order]

    def _answers(self, record: Record) -> pl.DataFrame:
        question = _QUESTION[self.objective]
        answers = record.folder.per_user(self.part, [*question, *_ANSWER[self.objective]])
        # Equal targets of a user have equal histories, so equal ranks. Equal examples may differ in their time: they
        # stay in the order of the split.
        return answers.sort("user" if self.objective == CLICK else question, maintain_order=True)


def read_ledgers(directories: Sequence[Path], part: str) -> tuple[list[Ledger], list[Path]]:
    """Gathers runs into one ledger per store.

    Args:
        directories: folders of runs or of sweeps; a run reached twice counts once.
        part: `valid` or `test`.

    Returns:
        The ledgers by name of the store, and the runs left out because the part was not evaluated.

    Raises:
        RunError: a folder holds no run; no run was evaluated; a run's files cannot be read; runs on one store differ
            in objective, split, seen items or the store's contents; a model lacks a fold that others have.
    """
    folders = {run.path.resolve(): run for directory in directories for run in find_runs(directory)}.values()
    evaluated = [run for run in folders if run.has_evaluation(part)]
    left_out = [run.path for run in folders if not run.has_evaluation(part)]
    if not evaluated:
        left_out_run = next(iter(folders))
        left_out_run.evaluation(part)  # says what is missing and how to get it
    stores: dict[str, list[Record]] = {}
    for run in evaluated:
        record = read_record(run, part)
        stores.setdefault(str(record.environment["store"]), []).append(record)
    return [_ledger(stores[name], part) for name in sorted(stores)], left_out


def _ledger(records: list[Record], part: str) -> Ledger:
    first = records[0]
    for other in records[1:]:
        require_comparable(first, other)
    latest: dict[tuple[str, int, int | None], Record] = {}
    of = _configurations(records)
    # The latest of those that were trained to their end, if there are any.
    for record in sorted(records, key=lambda one: ("finished" in one.environment, one.environment.get("started", ""))):
        latest[of[record.path], record.seed, record.fold] = record
    configurations: dict[str, list[Record]] = {}
    for (settings, *_), record in latest.items():
        configurations.setdefault(settings, []).append(record)
    entries = [
        Entry(group[0].model, tuple(sorted(group, key=lambda record: (record.seed, record.fold or 0))))
        for group in configurations.values()
    ]
    for entry in entries:
        _require_folds(entry, {record.fold for record in records})
    return Ledger(part, tuple(_labelled(entries)), n_repeated=len(records) - len(latest))


def _configurations(records: list[Record]) -> dict[Path, str]:
    """Returns what tells the model of each run from others, by the run's folder."""
    exact = {record.path: _text(record.settings) for record in records}
    loose = {record.path: _text(record.settings_on_any_fold) for record in records}
    # Where a fold was given several decays, nothing says which of them goes with which of another fold.
    given: dict[tuple[str, int, int | None], set[str]] = {}
    for record in records:
        given.setdefault((loose[record.path], record.seed, record.fold), set()).add(exact[record.path])
    unclear = {settings for (settings, *_), several in given.items() if len(several) > 1}
    return {
        record.path: exact[record.path] if record.fold is None or loose[record.path] in unclear else loose[record.path]
        for record in records
    }


def _text(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True, default=str)


def _require_folds(entry: Entry, folds: set[int | None]) -> None:
    for seed in entry.seeds:
        missing = folds - {record.fold for record in entry.records if record.seed == seed}
        if missing:
            fold = min(missing, key=lambda fold: fold or 0)
            raise RunError(
                f"{entry.model} with seed={seed} has no run on fold {fold}, which others here have "
                f"({entry.records[0].path} is its first run): train it with split.fold={fold}, or compare the folds "
                "separately."
            )


def _labelled(entries: list[Entry]) -> Iterator[Entry]:
    """Adds to the names of models that occur in several configurations what makes each different."""
    for entry in entries:
        rivals = [rival for rival in entries if rival.model == entry.model]
        mine = rivals.index(entry)
        runs = [rival.records[0] for rival in rivals]
        ways = (
            [_overrides(rival) for rival in rivals],
            [_listed(run.settings_on_any_fold) for run in runs],
            [_listed(run.settings) for run in runs],
        )
        apart = (found for found in map(_differing, ways) if len(set(map(tuple, found))) == len(rivals))
        told = next(apart, _differing(ways[-1]))
        yield replace(entry, label=f"{entry.model} ({', '.join(told[mine])})" if told[mine] else entry.model)


def _listed(settings: Mapping[str, Any]) -> list[str]:
    return [f"{key}={value}" for key, value in settings.items()]


def _differing(lists: list[list[str]]) -> list[list[str]]:
    common = set.intersection(*map(set, lists))
    return [[text for text in texts if text not in common] for texts in lists]


def _overrides(entry: Entry) -> list[str]:
    """Returns what the command line set in all runs of an entry, as it was typed."""
    typed = [list(map(str, record.environment.get("overrides", []))) for record in entry.records]
    everywhere = set.intersection(*map(set, typed))
    keys = {text: text.lstrip("+~").partition("=")[0] for text in typed[0]}
    return [
        text
        for text, key in keys.items()
        if text in everywhere and key not in NOT_OF_THE_MODEL and not key.startswith("hydra")
    ]
