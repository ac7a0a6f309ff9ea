"""The next item, ranked among the whole catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import numpy as np
import polars as pl
import torch
from torch import Tensor

from ltsi.errors import ConfigError
from ltsi.evaluation.ranking import target_ranks
from ltsi.features.space import FeatureSpace
from ltsi.histories import RankingBatch, TrainingBatch
from ltsi.losses.click import ClickLoss
from ltsi.losses.intensity import IntensityLoss
from ltsi.losses.next_item import NextItemLoss
from ltsi.metrics import RANKS, summary
from ltsi.models.forecaster import Forecaster
from ltsi.models.interest import InterestModel
from ltsi.models.items import holding_vectors
from ltsi.objectives.objective import Answers, Objective, Task, gap_seconds, refuse_features, refuse_forecaster
from ltsi.sequences.augmentation import Augmentation, AugmentedBatches, augmented
from ltsi.sequences.batches import RankingBatches, Shard, TrainingBatches, history_positions
from ltsi.sequences.split import PARTS, Split
from ltsi.side_by_side import side_by_side

PIECE_SCORES = 2_000_000
"""Scores of a piece of a batch: so few that what a model makes of them stays near its core."""

PIECE_ROWS = 8
"""Histories of a piece at least: each piece reads the vectors of the whole catalogue. Of a million items of width 64, a
history is ranked in 5.0 ms eight at a time, and in 11.6 two at a time."""


class NextItem(Objective):
    """What comes next: a softmax over the catalogue, judged by the rank of what came."""

    name: ClassVar[str] = "next_item"
    monitor: ClassVar[str] = "ndcg@10"
    metrics: ClassVar[tuple[str, ...]] = ("hr@5", "hr@10", "hr@20", "ndcg@5", "ndcg@10", "ndcg@20", "mrr")
    reads: ClassVar[str] = RANKS

    def on(self, split: Split, features: FeatureSpace | None) -> NextItemTask:
        """Puts the objective on a split; see `Objective.on`."""
        refuse_features(features, self.name)
        return NextItemTask(self, split)


class NextItemTask(Task[InterestModel, TrainingBatch]):
    """Every target of a split, to be ranked."""

    @property
    def asked(self) -> str:
        """Users, or targets where some users have several; see `Task.asked`."""
        parts = [self.split.part(name) for name in PARTS]
        return "targets" if any(len(np.unique(part.user)) < len(part) for part in parts) else "users"

    def model(self, model: InterestModel | Forecaster) -> InterestModel:
        """Returns the model: this is what it is for."""
        refuse_forecaster(model, self.objective.name)
        assert isinstance(model, InterestModel)
        return model

    def check_loss(self, loss: object) -> None:
        """Refuses a loss of another objective; see `Task.check_loss`."""
        if isinstance(loss, IntensityLoss):
            raise ConfigError("This is a forecasting loss, but objective=next_item ranks items; choose loss=softmax.")
        if isinstance(loss, ClickLoss):
            raise ConfigError("This is a loss for clicks, but objective=next_item ranks items; choose loss=softmax.")

    def training(
        self, max_length: int, batch_size: int, seed: int, shard: Shard, augmentation: Sequence[Augmentation] = ()
    ) -> TrainingBatches | AugmentedBatches:
        """Returns `TrainingBatch`es, one pass over all training windows; see `Task.training`."""
        return augmented(TrainingBatches(self.split, max_length, batch_size, seed, shard), augmentation)

    def part(
        self, part: str, max_length: int, hide_seen: bool, shard: Shard, limit: int | None = None
    ) -> RankingBatches:
        """Returns `RankingBatch`es over the targets of a part; see `Task.part`."""
        split = self.split
        return RankingBatches(split.store, split.part(part), max_length, hide_seen, shard, limit, split.roles)

    def loss(self, model: InterestModel, batch: TrainingBatch, loss: NextItemLoss) -> Tensor:
        """Returns the model's own loss; see `Task.loss`."""
        return model.training_loss(batch, loss)

    def answers(self, model: InterestModel, batch: RankingBatch) -> dict[str, Tensor]:
        """Ranks the targets of a batch, on a CPU in pieces side by side; see `Task.answers`."""
        if batch.target_B.device.type != "cpu":
            return _ranked(model, batch)
        pieces = batch.pieces(max(PIECE_ROWS, PIECE_SCORES // self.split.store.n_items))
        if len(pieces) < torch.get_num_threads():
            return _ranked(model, batch)
        with holding_vectors(model):
            answers = side_by_side(partial(_ranked, model), pieces)
        return {name: torch.cat([piece[name] for piece in answers]) for name in answers[0]}

    def summary(self, answers: Answers, metrics: Sequence[str]) -> dict[str, float]:
        """Averages metrics over the targets; see `Task.summary`."""
        return summary(answers["rank"], metrics)

    def table(self, part: str, answers: Answers) -> pl.DataFrame:
        """Returns one row a target: `user`, `target`, `rank`, `history_length`, `gap_seconds`, and the model's own."""
        split, targets = self.split, self.split.part(part)
        start, end = history_positions(split.store, targets, split.roles)
        return pl.DataFrame(
            {
                "user": split.store.users["user"].gather(targets.user),
                "target": split.store.items["item"].gather(split.store.item[targets.event]),
                "rank": answers["rank"],
                "history_length": end - start,
                "gap_seconds": gap_seconds(split, targets.now, end),
                **{name: column for name, column in answers.items() if name not in {"index", "rank"}},
            }
        )

    def protocol(self, seen: str) -> str:
        """Says how targets are ranked; see `Task.protocol`."""
        return f"full ranking, seen items: {seen}, ties in score count half"


@torch.no_grad()
def _ranked(model: InterestModel, batch: RankingBatch) -> dict[str, Tensor]:
    score_BI, state = model.scores_and_state(batch.histories)
    rank_B = target_ranks(score_BI, batch.target_B, batch.hidden_row, batch.hidden_item)
    return {"index": batch.index_B, "rank": rank_B, **state}
