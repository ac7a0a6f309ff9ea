"""The contract of an objective, and of an objective on a split."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray
from torch import Tensor

from ltsi.errors import ConfigError
from ltsi.features.space import FeatureSpace
from ltsi.metrics import parse, parse_all
from ltsi.models.click import ClickModel
from ltsi.models.forecaster import Forecaster
from ltsi.models.interest import InterestModel
from ltsi.sequences.augmentation import Augmentation
from ltsi.sequences.batches import Shard
from ltsi.sequences.serving import PartPass, TrainingPass
from ltsi.sequences.split import Split

Answers = Mapping[str, NDArray[Any]]
"""What a model answered about a part: columns `(N,)` in the order of the part."""

Model = TypeVar("Model", InterestModel, ClickModel, Forecaster)
Batch = TypeVar("Batch")


class Objective(ABC):
    """What a configuration chooses.

    Attributes:
        name: as in `objective=NAME`.
        monitor: the metric that early stopping and the best checkpoint go by on the validation part.
        metrics: what is measured unless the configuration names others.
        reads: what metrics are read off: `ranks`, `labels` or `values`.
    """

    name: ClassVar[str]
    monitor: ClassVar[str]
    metrics: ClassVar[tuple[str, ...]]
    reads: ClassVar[str]

    @abstractmethod
    def on(self, split: Split, features: FeatureSpace | None) -> Task[Any, Any]:
        """Puts the objective on a split.

        Args:
            split: what is learned and judged.
            features: fitted on the split, if the configuration declares some.

        Raises:
            ConfigError: the objective has no use for features, or its settings do not fit the split.
            DataError: the log has not what the objective needs.
        """

    def checked_metrics(self, names: Iterable[str] | str | None) -> tuple[str, ...]:
        """Returns names of metrics, each once; one may stand by itself, and None stands for the objective's own.

        Raises:
            ConfigError: there is no such metric, or it does not fit the objective, or there is none.
        """
        chosen = self.metrics if names is None else [names] if isinstance(names, str) else names
        if not chosen:
            raise ConfigError("metrics=[] measures nothing; name one, such as metrics=[ndcg@10], or leave it out.")
        return parse_all(chosen, self.reads, f"objective={self.name}")

    def monitored(self, names: Sequence[str]) -> tuple[str, ...]:
        """Adds the metric that selection goes by."""
        return tuple(dict.fromkeys([*names, str(parse(self.monitor))]))


class Task(ABC, Generic[Model, Batch]):
    """An objective on a split.

    Args:
        objective: the objective.
        split: what is learned and judged.
    """

    def __init__(self, objective: Objective, split: Split) -> None:
        self.objective, self.split = objective, split

    @property
    @abstractmethod
    def asked(self) -> str:
        """What a part consists of, heading of a column of numbers."""

    @property
    def report(self) -> dict[str, int]:
        """Counts worth keeping with a run, beside those of the split."""
        return {}

    def fit_statistics(self, model: Model) -> None:
        """Lets a model count what it needs on the training part."""
        assert not isinstance(model, Forecaster), "a forecaster is fitted on series"
        model.fit_statistics(self.split)

    @abstractmethod
    def model(self, model: InterestModel | Forecaster) -> Model:
        """Makes of a model what is trained for this task.

        Raises:
            ConfigError: the model is none for this task.
        """

    @abstractmethod
    def check_loss(self, loss: object) -> None:
        """Refuses a loss of another objective.

        Raises:
            ConfigError: it is.
        """

    @abstractmethod
    def training(
        self, max_length: int, batch_size: int, seed: int, shard: Shard, augmentation: Sequence[Augmentation] = ()
    ) -> TrainingPass:
        """Returns the training batches; see `Serving.training`.

        Raises:
            ConfigError: the objective has no windows to augment.
        """

    @abstractmethod
    def part(self, part: str, max_length: int, hide_seen: bool, shard: Shard, limit: int | None = None) -> PartPass:
        """Returns the batches of `valid` or `test`; see `Serving.part`."""

    @abstractmethod
    def loss(self, model: Model, batch: Batch, loss: Any) -> Tensor:
        """Returns the loss of this process's part of a training batch, a scalar."""

    @abstractmethod
    def answers(self, model: Model, batch: Any) -> dict[str, Tensor]:
        """Answers a batch of a part.

        Returns:
            Columns `(N,)`; `index` orders them through the part.
        """

    @abstractmethod
    def summary(self, answers: Answers, metrics: Sequence[str]) -> dict[str, float]:
        """Returns metrics of a whole part by name.

        Raises:
            DataError: there is nothing to measure.
        """

    @abstractmethod
    def table(self, part: str, answers: Answers) -> pl.DataFrame:
        """Returns what a run keeps of each answer, with original ids."""

    @abstractmethod
    def protocol(self, seen: str) -> str:
        """Says in a sentence how a part is judged.

        Args:
            seen: `hide` or `keep`.
        """


def gap_seconds(split: Split, now: NDArray[np.int64], history_end: NDArray[np.int64]) -> pl.Series:
    """Returns the time from the last input of each history to its now; null where there is no clock.

    Args:
        split: has the events.
        now: int64 `(N,)`.
        history_end: int64 `(N,)`, one past the position of the last input.
    """
    if not split.store.has_clock:
        return pl.Series([None] * len(now), dtype=pl.Int64)
    return pl.Series(now - split.store.time[split.roles.row(history_end - 1)])


def refuse_forecaster(model: object, objective: str) -> None:
    """Refuses a model that knows series only.

    Raises:
        ConfigError: it is one.
    """
    if isinstance(model, Forecaster):
        raise ConfigError(
            f"{type(model).__name__} forecasts intensity series and cannot score items, so objective={objective} "
            "cannot use it; choose objective=intensity or another model."
        )


def refuse_features(features: FeatureSpace | None, objective: str) -> None:
    """Refuses features that nobody would look at.

    Raises:
        ConfigError: there are some.
    """
    if features is not None:
        raise ConfigError(f"objective={objective} does not use features, but some are declared; set features=none.")
