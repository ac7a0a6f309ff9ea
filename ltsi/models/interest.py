"""The one contract of every model: a distribution over the next item, given a history and a now.

Shape suffixes: B histories, I items.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from ltsi.histories import Histories, RankingBatch, TrainingBatch
from ltsi.losses.next_item import NextItemLoss
from ltsi.models.fitted import Fitted

if TYPE_CHECKING:
    from ltsi.sequences.split import Split


class InterestModel(Fitted, ABC):
    """A distribution over the next item.

    A model may learn in three ways, and in this order: statistics counted once on the training part
    (`fit_statistics`), weights by gradient (`training_loss`), and a few mixing parameters chosen for ranking on the
    validation part (`calibrate`). All three live in its state dict.

    Attributes:
        learns: whether gradients train it; if not, statistics are all there is.
        calibrates: whether it has mixing parameters to choose on the validation part.
        remembers: whether it is about what the user has taken, and when that comes back.
    """

    learns: bool = False
    calibrates: ClassVar[bool] = False
    remembers: ClassVar[bool] = False

    @abstractmethod
    def forward(self, histories: Histories) -> Tensor:
        """Scores the catalogue.

        Args:
            histories: the batch. An empty history is answered with what everybody takes.

        Returns:
            score_BI, a log-probability up to a constant per row: `softmax(score)` is p(item | history, now). Minus
            infinity is a probability of zero. It is the caller's to change.
        """

    def scores_and_state(self, histories: Histories) -> tuple[Tensor, dict[str, Tensor]]:
        """Scores the catalogue and tells what the model thought of the user.

        Returns:
            score_BI as `forward` gives it, and columns `(B,)` worth keeping beside each user's rank, by name.
        """
        return self(histories), {}

    def scores_and_parts(self, histories: Histories) -> tuple[Tensor, dict[str, Tensor]]:
        """Scores the catalogue and takes the scores apart.

        Returns:
            score_BI as `forward` gives it, and its parts by name, `(B, I)` each, which add up to it; none where a score
            is of one piece.
        """
        return self(histories), {}

    def evidence(self, score_BI: Tensor, mass_B: Tensor) -> Tensor:
        """Says how much the model knows about each user, for a gate to weigh it by.

        Args:
            score_BI: what `forward` returned.
            mass_B: its `logsumexp`, which whoever wants probabilities has at hand.

        Returns:
            `(B,)`, any monotone scale; by default the log-probability of the item it is surest of.
        """
        return score_BI.amax(dim=1) - mass_B

    def fit_statistics(self, split: Split) -> None:
        """Counts what the model needs on the training part of a split, into buffers."""

    def training_loss(self, batch: TrainingBatch, loss: NextItemLoss) -> Tensor:
        """Returns the loss of a batch, a scalar: the sum over its targets divided by `batch.n_targets`."""
        raise NotImplementedError(f"{type(self).__name__} is not trained by gradient")

    def calibrate(self, batches: Iterable[RankingBatch]) -> None:
        """Chooses mixing parameters for ranking on validation events."""
