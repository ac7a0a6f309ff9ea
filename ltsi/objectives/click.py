"""Clicks: will this user act on this item now, yes or no?"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import numpy as np
import polars as pl
from torch import Tensor

from ltsi.errors import ConfigError, RunError
from ltsi.examples import ExampleBatch, Examples
from ltsi.features.space import FeatureSpace
from ltsi.losses.click import ClickLoss
from ltsi.metrics import LABELS, label_summary
from ltsi.models.click import ClickModel, ClickNetwork, ScoredClicks
from ltsi.models.clsr import Clsr
from ltsi.models.forecaster import Forecaster
from ltsi.models.interest import InterestModel
from ltsi.models.network import SequenceNetwork
from ltsi.objectives.example_batches import ExampleMaker, PartExamples, TrainingExamples, as_they_happen
from ltsi.objectives.labels.labels import Labels
from ltsi.objectives.objective import Answers, Objective, Task, gap_seconds, refuse_forecaster
from ltsi.sequences.augmentation import Augmentation
from ltsi.sequences.batches import Shard, history_positions
from ltsi.sequences.split import Split


class Click(Objective):
    """Two classes, by cross-entropy: any network with dense layers over user, item, crosses and features.

    Args:
        labels: which examples there are and which are positive.
        hidden: widths of the dense layers.
        dropout: dropout after each dense layer.
        feature_dim: width of the embedding of a feature.
        traces: half-lives at which earlier events with the item, and with its category, fade; 0: none is looked at, as
            in runs of before there were any.

    Raises:
        ConfigError: a size makes no sense.
    """

    name: ClassVar[str] = "click"
    monitor: ClassVar[str] = "auc"
    metrics: ClassVar[tuple[str, ...]] = ("accuracy", "precision", "recall", "f1", "auc", "gauc", "log_loss")
    reads: ClassVar[str] = LABELS

    def __init__(
        self, labels: Labels, hidden: Sequence[int], dropout: float, feature_dim: int, traces: int = 0
    ) -> None:
        if any(isinstance(width, bool) or not isinstance(width, int) or width < 1 for width in [*hidden, feature_dim]):
            raise ConfigError(
                f"objective.hidden={list(hidden)} and objective.feature_dim={feature_dim} must be whole numbers from 1."
            )
        if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0 <= dropout < 1:
            raise ConfigError(f"objective.dropout={dropout} must be at least 0 and below 1.")
        if isinstance(traces, bool) or not isinstance(traces, int) or traces < 0:
            raise ConfigError(f"objective.traces={traces} must be a whole number from 0.")
        self.labels = labels
        self.network = partial(ClickNetwork, feature_dim=feature_dim, hidden=hidden, dropout=dropout, traces=traces)

    def on(self, split: Split, features: FeatureSpace | None) -> ClickTask:
        """Puts the objective on a split; see `Objective.on`."""
        return ClickTask(self, split, features or FeatureSpace())


class ClickTask(Task[ClickModel, ExampleBatch]):
    """Every target of a split, to be told from negatives.

    Args:
        objective: the objective.
        split: what is learned and judged.
        features: fitted features.
    """

    @property
    def asked(self) -> str:
        """See `Task.asked`."""
        return "examples"

    def __init__(self, objective: Click, split: Split, features: FeatureSpace) -> None:
        super().__init__(objective, split)
        self.network, self.layout = objective.network, features.layout
        self.maker = ExampleMaker(split, objective.labels.on(split), features.encode(split.store))

    def model(self, model: InterestModel | Forecaster) -> ClickModel:
        """Puts dense layers on a network, a calibration on a counted model; see `Task.model`."""
        refuse_forecaster(model, self.objective.name)
        assert isinstance(model, InterestModel)
        if isinstance(model, Clsr) and model.contrast:
            raise ConfigError(
                f"model.contrast={model.contrast:g} is a loss of next items, which objective=click does not add; set "
                "model.contrast=0."
            )
        if isinstance(model, SequenceNetwork):
            return self.network(model, self.layout, of_items=not self.maker.labeller.passes_over_taken)
        if model.learns:
            raise ConfigError(
                f"objective=click cannot use {type(model).__name__}: it takes one network, such as model=lstm, or "
                "a counted model, such as model=popularity."
            )
        return ScoredClicks(model)

    def check_loss(self, loss: object) -> None:
        """Refuses a loss of the next item; see `Task.check_loss`."""
        if not isinstance(loss, ClickLoss):
            raise ConfigError("This loss does not fit objective=click, a two-class problem; choose loss=two_class.")

    def training(
        self, max_length: int, batch_size: int, seed: int, shard: Shard, augmentation: Sequence[Augmentation] = ()
    ) -> TrainingExamples:
        """Returns `ExampleBatch`es over all training positions; see `Task.training`."""
        if augmentation:
            raise ConfigError("augmentation changes windows of next items, not examples; choose augmentation=none.")
        return TrainingExamples(self.maker, max_length, batch_size, seed, shard)

    def part(
        self,
        part: str,
        max_length: int,
        hide_seen: bool,  # noqa: ARG002
        shard: Shard,
        limit: int | None = None,
    ) -> PartExamples:
        """Returns `Examples` of the events of a part; see `Task.part`."""
        return PartExamples(self.maker, part, max_length, shard, limit)

    def loss(self, model: ClickModel, batch: ExampleBatch, loss: ClickLoss) -> Tensor:
        """Returns the mean loss of the examples; see `Task.loss`."""
        return model.training_loss(batch.groups, loss) / batch.n_examples

    def answers(self, model: ClickModel, batch: Examples) -> dict[str, Tensor]:
        """Returns the probability of each example; see `Task.answers`."""
        # In double precision: in single, all that is more certain than 1 − 6e-8 is equally certain.
        probability_E = model.logits([batch]).double().sigmoid()
        return {
            "index": batch.index_E,
            "user": batch.user_E,
            "item": batch.item_E,
            "label": batch.label_E,
            "probability": probability_E,
        }

    def summary(self, answers: Answers, metrics: Sequence[str]) -> dict[str, float]:
        """Evaluates metrics over the examples; see `Task.summary`."""
        probability = answers["probability"]
        if np.isnan(probability).any():
            raise RunError(
                "The model gives probabilities that are NaN: its training diverged; train again with a lower learning "
                "rate or gradient clipping."
            )
        return label_summary(answers["label"] > 0, probability, answers["user"], metrics)

    def table(self, part: str, answers: Answers) -> pl.DataFrame:
        """Returns one row an example: `user`, `item`, `label`, `probability`, `history_length`, `gap_seconds`."""
        split, targets = self.split, as_they_happen(self.split, part)
        start, end = history_positions(split.store, targets, split.roles)
        target = answers["index"] // self.maker.labeller.per_event
        return pl.DataFrame(
            {
                "user": split.store.users["user"].gather(answers["user"]),
                "item": split.store.items["item"].gather(answers["item"]),
                "label": answers["label"].astype(np.uint8),
                "probability": answers["probability"],
                "history_length": (end - start)[target],
                "gap_seconds": gap_seconds(split, targets.now, end).gather(target),
            }
        )

    def protocol(self, seen: str) -> str:  # noqa: ARG002
        """Says what the examples are; see `Task.protocol`."""
        return f"{self.maker.labeller.protocol}; positive is predicted from a probability of 0.5 on, ties count half"
