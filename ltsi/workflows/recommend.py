"""`ltsi recommend`: what a user, or everybody, should be shown now, by the model of a run."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from rich.console import Console
from rich.progress import Progress

from ltsi.entities import CATEGORY, Entities
from ltsi.errors import ConfigError, DataError
from ltsi.intensity.options import STATES
from ltsi.intensity.series import DAY
from ltsi.intensity.states import interest_states
from ltsi.moments import as_date, parse_moment
from ltsi.runs.folder import RunFolder
from ltsi.sequences.split import Split
from ltsi.serving.decay_aware import NO_STATE, DecayAware, State
from ltsi.serving.known_states import KnownStates
from ltsi.serving.questions import Questions
from ltsi.serving.recommend import Answer, Recommender
from ltsi.store import Store
from ltsi.tables import Entry, Result, Table
from ltsi.workflows.trained import Trained, open_trained, require_next_item
from ltsi.workflows.unobserved import seconds_unobserved, told
from ltsi.workflows.users import find_user
from ltsi.writing import written_whole

STRATEGIES = ("plain", "decay-aware")
TITLES = ("title", "name", "description")
"""Columns of the item table that people know an item by, the best first, in any case."""

USERS_HELD, ROWS_HELD = 8192, 1_000_000
"""Users, and recommendations, held at a time: they are found in the order of the lengths of histories."""


def run(
    directory: Path,
    *,
    user: str | None = None,
    everybody: bool = False,
    k: int = 10,
    at: str | None = None,
    strategy: str = "plain",
    output: Path | None = None,
    trust: Sequence[str] = (),
) -> Result:
    """Recommends by the model of a run.

    Args:
        directory: the run folder.
        user: original id of a user.
        everybody: answer for all users, into a file.
        k: items for each user.
        at: histories are what happened before this time, which is the now; None: all of the log, at its end.
        strategy: `plain`, the model's own order, or `decay-aware`; see `ltsi.serving.decay_aware`.
        output: `.parquet` or `.csv` file for all users; None: `recommendations.parquet` in the run folder.
        trust: see `open_trained`.

    Raises:
        ConfigError: an option means nothing.
        RunError: the folder is not a run of a model of the next item.
        DataError: there is no such user, or the log has not what is asked for.
    """
    if (user is None) == (not everybody):
        raise ConfigError("recommend works for one user or for all users; give --user U or --all.")
    if k < 1:
        raise ConfigError(f"--k {k} recommends nothing; it must be at least 1.")
    if strategy not in STRATEGIES:
        raise ConfigError(f"--strategy {strategy} must be one of: {', '.join(STRATEGIES)}.")
    if output is not None and not everybody:
        raise ConfigError("--output takes the recommendations for all users; give --all.")
    if output is not None and output.suffix not in {".parquet", ".csv"}:
        raise ConfigError(f"--output {output} must end in .parquet or .csv.")
    moment = None if at is None else parse_moment(at, f"--at {at}")
    trained = require_next_item(open_trained(RunFolder(directory).require(), trust), "recommend")
    notes = [*_unobserved(trained.experiment.store, at, moment), *_foreseen(trained.experiment.split, at, moment)]
    index = None if user is None else find_user(trained.experiment.store, user)
    recommender = _recommender(trained, k, moment, strategy, index)
    if user is not None and index is not None:
        return _for_one(trained, recommender, user, index, notes)
    return _for_all(trained, recommender, output or directory / "recommendations.parquet", notes)


def _unobserved(store: Store, at: str | None, moment: int | None) -> list[str]:
    """Says what is not known of the time between the end of the log and the now.

    Raises:
        DataError: it is longer than the log, so no model can have learned what happens after such a long gap.
    """
    seconds, clock = seconds_unobserved(store, moment), store.manifest["time"]
    if not seconds:
        return []
    gap = f"--at {at} is {told(store, seconds)}"
    if seconds > max(int(clock["last"]) - int(clock["first"]), DAY):
        raise DataError(
            f"{gap}, longer than the log itself, so no model can have learned what happens after such a long gap; "
            "leave out --at for the end of the log, or train on a log that reaches further."
        )
    return [f"{gap}: nothing was observed since, and the model takes it for silence of the user."]


def _foreseen(split: Split, at: str | None, moment: int | None) -> list[str]:
    """Says where the model has learned from what came after the now, or nothing had come before it."""
    if moment is None or not split.store.has_clock:
        return []
    first, learned = split.store.manifest["time"].get("first"), split.training_end_time()
    if first is not None and moment <= int(first):
        return [
            f"--at {at} is {as_date(moment)}, and the log begins at {as_date(int(first))}, so nobody has a history; a "
            "bare number is read as seconds since 1970."
        ]
    if moment > learned:
        return []
    return [f"The model has learned from events up to {as_date(learned)}, some of them later than --at {at}."]


def _recommender(trained: Trained, k: int, moment: int | None, strategy: str, user: int | None) -> Recommender:
    split, hide = trained.experiment.split, trained.experiment.seen == "hide"
    if moment is not None:
        split.store.require_clock("--at")
    questions = Questions(split, int(trained.config.max_length), hide, moment)
    aware = _decay_aware(trained, questions, user) if strategy == "decay-aware" else None
    return Recommender(trained.model, questions, k, aware)


def _decay_aware(trained: Trained, questions: Questions, user: int | None) -> DecayAware:
    store = trained.experiment.store
    store.require_clock("--strategy decay-aware")
    found = Entities.of(store)
    if found.name != CATEGORY:
        without = "no value in the" if CATEGORY in store.items.columns else "no"
        raise DataError(
            f"--strategy decay-aware weighs interests in categories, and the items of store '{store.name}' have "
            f"{without} column 'category'; prepare it with one, or use --strategy plain."
        )
    category_I = found.code_I.astype(np.int64)
    if found.unlabelled is not None:
        category_I[category_I == found.unlabelled] = -1
    if (questions.end_row > store.offsets[:-1]).any():
        return DecayAware(category_I, _states(store, questions.at, len(found.labels), user))
    nothing = np.empty(0, dtype=np.int64)
    return DecayAware(category_I, KnownStates(nothing, nothing, nothing.astype(np.int8), len(found.labels)))


def _states(store: Store, at: int | None, n_categories: int, user: int | None) -> KnownStates:
    """Asks how interests stand, of one user or of all; what happens from `at` on is not looked at.

    After the end of the log nobody was watched: no interest falls dormant there.
    """
    users = None if user is None else np.array([user])
    watched = None if at is None else at - seconds_unobserved(store, at)
    found = interest_states(store, CATEGORY, now=watched, users=users)
    state_S = np.array([State[name] for name in STATES], dtype=np.int8)[found.state_S.astype(np.int64)]
    return KnownStates(found.series.user_S, found.series.entity_S, state_S, n_categories)


def _for_one(trained: Trained, recommender: Recommender, user: str, index: int, remarks: list[str]) -> Result:
    store, questions = trained.experiment.store, recommender.questions
    start = time.perf_counter()
    (answer,) = recommender.of(np.array([index]))
    seconds = time.perf_counter() - start
    shown = _Frames(store).of(answer).drop("user", "history_length")
    rows: list[list[Entry]] = [list(row) for row in shown.iter_rows()]
    length, name = int(answer.question.length_B[0]), trained.config.model.name
    when = "the end of the log" if questions.at is None else as_date(questions.at)
    model_sees = f", of which the model sees the last {questions.max_length}" if length > questions.max_length else ""
    notes = [
        f"From {length:,} events of the user before {when}{model_sees}; seen items are "
        f"{'left out' if questions.hide_seen else 'recommended like all others'} (seen={trained.experiment.seen})."
    ]
    if not length:
        notes = [f"The user has no event before {when}: this is what everybody takes, by {name}."]
    notes += remarks
    if len(rows) < recommender.k:
        notes.append(_too_few(len(rows), answer, store.n_items, name, recommender.k))
    if answer.recommended.part_P:
        notes.append("The parts of a score add up to it.")
    title = f"{name} on {store.name}: user {user}"
    return Result([Table(title, shown.columns, rows, notes)], [f"Answered in {seconds * 1000:,.0f} ms."])


def _too_few(found: int, answer: Answer, n_items: int, name: str, k: int) -> str:
    """Says why there are fewer items than were asked for."""
    hidden = len(answer.question.hidden_item.unique())
    if found < n_items - hidden:
        return f"{name} gives no other item a probability, so there are {found} and not {k}."
    but = f" but the {hidden} that the user has seen" if hidden else ""
    return f"These are all items of the catalogue{but}, {found} and not {k}."


def _for_all(trained: Trained, recommender: Recommender, path: Path, remarks: list[str]) -> Result:
    store, cold, n_rows = trained.experiment.store, 0, 0
    frames, start = _Frames(store), time.perf_counter()
    console = Console(stderr=True)
    with (
        _writing(path) as writer,
        Progress(console=console, transient=True, disable=not sys.stderr.isatty()) as progress,
    ):
        task = progress.add_task("users", total=store.n_users)
        size = max(1, min(USERS_HELD, ROWS_HELD // recommender.k))
        for first in range(0, store.n_users, size):
            users, block = [], []
            for answer in recommender.of(np.arange(first, min(first + size, store.n_users))):
                # Not the answers: with their histories they would be as large as the histories are long.
                users.append(answer.question.user_B[answer.recommended.row_P])
                block.append(frames.of(answer))
                cold += int((answer.question.length_B == 0).sum())
                progress.advance(task, len(answer.question.user_B))
            frame = pl.concat(block)[np.argsort(np.concatenate(users), kind="stable")]
            writer.write(frame)
            n_rows += frame.height
    seconds = time.perf_counter() - start
    columns = ["users", "of them without a history", "recommendations", "seconds", "users per second"]
    rows: list[list[Entry]] = [[store.n_users, cold, n_rows, round(seconds, 2), round(store.n_users / seconds, 1)]]
    title = f"{trained.config.model.name} on {store.name}: {recommender.k} items for every user"
    notes = [*remarks, *(["Users without a history are recommended what everybody takes."] if cold else [])]
    return Result([Table(title, columns, rows, notes)], [f"Wrote {path}"])


class _Frames:
    """Makes tables with original ids of answers.

    Attributes:
        items: the columns of the item table that are shown, by their name there; lists are one label each.
    """

    def __init__(self, store: Store) -> None:
        self.store, columns = store, {column.lower(): column for column in reversed(store.items.columns)}
        title = next((columns[name] for name in TITLES if name in columns), None)
        category = CATEGORY if CATEGORY in store.items.columns else None
        self.items = store.items.select(column for column in ("item", title, category) if column is not None)
        for column in self.items.select(pl.selectors.by_dtype(pl.List)).columns:
            codes, labels = store.item_codes(column)
            self.items = self.items.with_columns(pl.Series(column, labels).gather(codes))

    def of(self, answer: Answer) -> pl.DataFrame:
        found, question = answer.recommended, answer.question
        items = self.items[found.item_P]
        state = {}
        if answer.state_P is not None:
            names = [None if code == NO_STATE else State(code).name for code in answer.state_P]
            state = {"state": pl.Series(names, dtype=pl.String)}
        return pl.DataFrame(
            {
                "user": self.store.users["user"].gather(question.user_B[found.row_P]),
                "history_length": question.length_B[found.row_P],
                "place": found.place_P,
                **items.to_dict(),
                **state,
                "score": found.score_P.astype(np.float64),
                **{name: part_P.astype(np.float64) for name, part_P in found.part_P.items()},
            }
        )


class _Writer(Protocol):
    def write(self, frame: pl.DataFrame) -> None: ...


class _FileWriter:
    """Writes tables one after another into a file, Parquet or CSV by its name."""

    def __init__(self, partial: Path, *, parquet: bool) -> None:
        self.partial, self.parquet = partial, parquet
        self.file: pq.ParquetWriter | pacsv.CSVWriter | None = None

    def write(self, frame: pl.DataFrame) -> None:
        """Adds a table; the first one says which columns there are."""
        table: pa.Table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
        if self.file is None:
            open_file = pq.ParquetWriter if self.parquet else pacsv.CSVWriter
            self.file = open_file(self.partial, table.schema)
        self.file.write_table(table)

    def close(self) -> None:
        """Ends the file."""
        if self.file is not None:
            self.file.close()


@contextmanager
def _writing(path: Path) -> Iterator[_Writer]:
    """Yields a writer to a file beside the path, and moves it there if nothing went wrong.

    Raises:
        UnwritableError: the folder does not take it, which is found before anything is computed.
    """
    with written_whole(path, "give another place with --output FILE") as partial:
        partial.touch()
        writer = _FileWriter(partial, parquet=path.suffix == ".parquet")
        try:
            yield writer
        finally:
            writer.close()
