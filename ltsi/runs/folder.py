"""A run folder: everything one training leaves behind, and the only place that knows its file names.

```
config.yaml                  the resolved configuration
environment.json             commit, versions, device, seed, store and its fingerprint, parameters, times
metrics.csv                  one row per epoch
features.json                fitted features, if some are declared
valid.json, test.json        metrics of a part of the split and how they were obtained
per_user/<part>.parquet      one row per target: user, target, rank, history_length, gap_seconds, ...
                             of clicks, one per example: user, item, label, probability, history_length, gap_seconds
                             of intensity, one per forecast: user, entity, origin, step, actual, mean, median, low,
                             high
checkpoints/{best,last}.ckpt
train.log
.lock                        only while a process trains or evaluates it, see `ltsi.runs.hold`
```

Every file is written beside its place and moved there in one step, so a killed process leaves the old file or the new
one, never a piece of one.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ltsi.errors import RunError
from ltsi.writing import written_whole

if TYPE_CHECKING:
    import polars as pl

PER_USER_COLUMNS = ("user", "target", "rank", "history_length", "gap_seconds")
PER_EXAMPLE_COLUMNS = ("user", "item", "label", "probability", "history_length", "gap_seconds")
PER_FORECAST_COLUMNS = ("user", "entity", "origin", "step", "actual", "scale", "mean", "median", "low", "high")
NEXT_ITEM, CLICK, INTENSITY = "next_item", "click", "intensity"
"""Objectives whose answers a run can hold."""


@dataclass(frozen=True)
class Evaluation:
    """What `valid.json` or `test.json` says; on disk the metrics stand beside the other keys.

    Attributes:
        n_targets: number of targets ranked, of examples told apart, or of forecasts.
        split: name of the split, such as `leave_one_out`.
        seen: `hide` if items of the user's history were not ranked, `keep` if they were.
        eval_seconds: wall-clock seconds of scoring and ranking.
        metrics: each metric by name, such as `ndcg@10`; NaN where it is not defined.
        objective: what the part was judged for, such as `next_item`.
    """

    n_targets: int
    split: str
    seen: str
    eval_seconds: float
    metrics: dict[str, float] = field(default_factory=dict)
    objective: str = NEXT_ITEM


class RunFolder:
    """A run folder, to be written or read. Nothing is checked or touched until a file is asked for.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    def require(self) -> RunFolder:
        """Returns this run if the folder is one.

        Raises:
            RunError: there is no such folder, or it is not a run.
        """
        if not self.path.is_dir():
            raise RunError(f"There is no folder {self.path}; give the folder of a run, as printed by `ltsi train`.")
        missing = self._missing()
        if missing:
            raise RunError(
                f"{self.path} is not a run folder: it has no {' and no '.join(missing)}; "
                "give the folder of a run, as printed by `ltsi train`."
            )
        return self

    @property
    def is_run(self) -> bool:
        """Whether the folder is a run, finished or not."""
        return not self._missing()

    def checkpoint(self, which: str = "best") -> Path:
        """Returns the checkpoint to load.

        Args:
            which: `best` (on the validation metric) or `last`.

        Raises:
            RunError: the folder is not a run, or its training ended before the first checkpoint.
        """
        path = self.checkpoint_path(which)
        if not path.is_file():
            self.require()
            raise RunError(
                f"Run {self.path} has no checkpoints/{which}.ckpt: its training did not finish; train again."
            )
        return path

    def checkpoint_path(self, which: str) -> Path:
        """Returns where the checkpoint `best` or `last` belongs."""
        return self.path / "checkpoints" / f"{which}.ckpt"

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration.

        Raises:
            RunError: the folder is not a run, or the file cannot be read.
        """
        path = self._existing("config.yaml")
        try:
            config = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise RunError(_unreadable(path, error)) from error
        if not isinstance(config, dict):
            raise RunError(f"{path} is not a configuration (it holds no keys); the run is damaged, train again.")
        return config

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Writes the resolved configuration, plain dictionaries, lists and scalars only."""
        self._write_text("config.yaml", yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True))

    @property
    def environment(self) -> dict[str, Any]:
        """What surrounded the run, see `ltsi.runs.environment`.

        Raises:
            RunError: the folder is not a run, or the file cannot be read.
        """
        return self._read_json(self._existing("environment.json"))

    def write_environment(self, facts: Mapping[str, Any]) -> None:
        """Writes `environment.json`, in place of one that may be there."""
        self._write_json("environment.json", facts)

    def update_environment(self, facts: Mapping[str, Any]) -> None:
        """Adds facts to `environment.json`, replacing facts of the same name."""
        self._write_json("environment.json", {**self.environment, **facts})

    def epochs(self) -> list[dict[str, str]]:
        """Returns the rows of `metrics.csv` as text; empty if no epoch has ended. A metric not measured is ''."""
        path = self.path / "metrics.csv"
        if not path.is_file():
            return []
        with path.open(newline="", encoding="utf-8") as file:
            return [dict(row) for row in csv.DictReader(file)]

    def append_epoch(self, row: Mapping[str, float | int | str]) -> None:
        """Adds an epoch to `metrics.csv`.

        Columns may appear later than the first row. Rows of the same or a later epoch are replaced: a run that was
        killed after an epoch's row and before its checkpoint does that epoch again.

        Args:
            row: values by column; `epoch` is required.
        """
        epoch = int(row["epoch"])
        kept: list[Mapping[str, Any]] = [old for old in self.epochs() if int(old["epoch"]) < epoch]
        rows = [*kept, row]
        columns = list(dict.fromkeys(column for entry in rows for column in entry))
        with written_whole(self.path / "metrics.csv") as part, part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    def has_evaluation(self, part: str) -> bool:
        """Returns whether `part` (`valid` or `test`) was evaluated."""
        return (self.path / f"{part}.json").is_file()

    def evaluation(self, part: str) -> Evaluation:
        """Returns the metrics of a part.

        Args:
            part: `valid` or `test`.

        Raises:
            RunError: the folder is not a run, the part was not evaluated, or the file cannot be read.
        """
        path = self._evaluated(f"{part}.json", part)
        facts = self._read_json(path)
        names = [entry.name for entry in fields(Evaluation) if entry.name != "metrics"]
        facts.setdefault("objective", NEXT_ITEM)  # the only one there was, where a run does not tell
        missing = [name for name in names if name not in facts]
        if missing:
            raise RunError(f"{path} has no '{missing[0]}'; {_eval_again(self.path, part)}.")
        metrics = {key: math.nan if value is None else float(value) for key, value in facts.items() if key not in names}
        return Evaluation(**{name: facts[name] for name in names}, metrics=metrics)

    def write_evaluation(self, part: str, evaluation: Evaluation) -> None:
        """Writes `valid.json` or `test.json`."""
        facts = asdict(evaluation)
        self._write_json(f"{part}.json", {**facts.pop("metrics"), **facts})

    @property
    def features_path(self) -> Path:
        """Where fitted features belong."""
        return self.path / "features.json"

    def write_features(self, state: Mapping[str, Any]) -> None:
        """Writes the state of fitted features, plain data."""
        self._write_text(self.features_path.name, json.dumps(state, ensure_ascii=False) + "\n")

    def discard_evaluations(self) -> None:
        """Removes what was measured with a model that is about to change."""
        for part in ("valid", "test"):
            for name in (f"{part}.json", f"per_user/{part}.parquet"):
                (self.path / name).unlink(missing_ok=True)

    def discard_training(self) -> None:
        """Removes the epochs of a training that begins anew: they would be taken for its own."""
        for path in (self.path / "metrics.csv", self.checkpoint_path("best"), self.checkpoint_path("last")):
            path.unlink(missing_ok=True)

    def per_user(self, part: str, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Returns one row per target, or per example.

        Args:
            part: `valid` or `test`.
            columns: the columns to read; None reads all.

        Raises:
            RunError: the folder is not a run, the part was not evaluated, or the file cannot be read.
        """
        import polars as pl

        path = self._evaluated(f"per_user/{part}.parquet", part)
        try:
            return pl.read_parquet(path, columns=None if columns is None else list(columns))
        except (pl.exceptions.PolarsError, OSError) as error:
            raise RunError(f"{_unreadable(path, error)} ({_eval_again(self.path, part)})") from error

    def write_per_user(self, part: str, table: pl.DataFrame) -> None:
        """Writes one row per target, per example or per forecast.

        Args:
            part: `valid` or `test`.
            table: has the columns that `ltsi.runs.folder` lists, with original ids; more is welcome.

        Raises:
            ValueError: one of these columns is missing.
        """
        needed: Sequence[str] = PER_EXAMPLE_COLUMNS if "probability" in table.columns else PER_USER_COLUMNS
        needed = PER_FORECAST_COLUMNS if "actual" in table.columns else needed
        missing = [column for column in needed if column not in table.columns]
        if missing:
            raise ValueError(f"the per-user table of {part} lacks {missing}")
        with written_whole(self.path / f"per_user/{part}.parquet") as partial:
            table.write_parquet(partial)

    def _missing(self) -> list[str]:
        return [name for name in ("config.yaml", "environment.json") if not (self.path / name).is_file()]

    def _existing(self, name: str) -> Path:
        path = self.path / name
        if not path.is_file():
            self.require()
        return path

    def _evaluated(self, name: str, part: str) -> Path:
        path = self._existing(name)
        if not path.is_file():
            raise RunError(f"Run {self.path} has no {name}; {_eval_again(self.path, part)}.")
        return path

    def _read_json(self, path: Path) -> dict[str, Any]:
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise RunError(_unreadable(path, error)) from error
        if not isinstance(facts, dict):
            raise RunError(f"{path} holds no keys; the run is damaged, train or evaluate it again.")
        return facts

    def _write_json(self, name: str, facts: Mapping[str, Any]) -> None:
        # NaN is not JSON: a metric that is not defined is null.
        clean = {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in facts.items()}
        self._write_text(name, json.dumps(clean, indent=2, allow_nan=False) + "\n")

    def _write_text(self, name: str, text: str) -> None:
        with written_whole(self.path / name) as partial:
            partial.write_text(text, encoding="utf-8")


def find_runs(directory: Path) -> list[RunFolder]:
    """Finds the runs in a folder: the folder itself, or every run anywhere below it, as a sweep leaves them.

    Args:
        directory: the folder of a run or of a sweep.

    Returns:
        The runs, sorted by path with numbers in numeric order (job 2 before job 10).

    Raises:
        RunError: there is no such folder, or no run in it.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise RunError(f"There is no folder {directory}; give the folder of a run or of a sweep.")
    found = [file.parent for file in directory.rglob("config.yaml") if (file.parent / "environment.json").is_file()]
    if not found:
        raise RunError(
            f"There is no run in {directory}: no folder there has both config.yaml and environment.json; "
            "give the folder of a run or of a sweep, as printed by `ltsi train`."
        )
    return [RunFolder(path) for path in sorted(found, key=_numeric_order)]


def _numeric_order(path: Path) -> list[tuple[int, str]]:
    return [(int(part), part) if part.isdecimal() else (-1, part) for part in path.parts]


def _unreadable(path: Path, error: Exception) -> str:
    reason = " ".join(str(error).split())
    return f"{path} cannot be read ({reason}); the run is damaged, train or evaluate it again."


def _eval_again(path: Path, part: str) -> str:
    return f"run `ltsi eval run={path} split={part}` first" if part != "test" else f"run `ltsi eval run={path}` first"
