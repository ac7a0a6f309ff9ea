"""Models whose scores are linear in a faded history, made a distribution over the next item by one number.

Shape suffixes: B histories, I items, N left-out users.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import optimize, sparse
from torch import Tensor

from ltsi.histories import Histories
from ltsi.models.fading import Fading
from ltsi.models.interest import InterestModel
from ltsi.models.popularity import count_items
from ltsi.sequences.batches import RankingBatches
from ltsi.sequences.last_targets import last_targets
from ltsi.sequences.split import Split, Targets

LEFT_OUT_USERS = 1_000
"""Users that the sharpness is fitted on, and at most half of all: one number needs no more."""

LEFT_OUT_SCORES = 50_000_000
"""Their scores that are held at a time (200 MB); a huge catalogue has fewer left-out users, down to a hundred."""

LEFT_OUT_LENGTH = 50
"""Events of their histories that are looked at."""

SHARPNESS_RANGE = (1e-3, 1e4)
"""Sharpness that is looked for, in units of the largest score: from "nearly uniform" to "only the best"."""


class LinearModel(InterestModel):
    """`p(i) ∝ exp(sharpness · s_i)`, where the scores s are linear in the faded history, or nearly so.

    The models here come from ranking: their scores order the items and are no log-probabilities. `sharpness` is fitted
    by maximum likelihood of the last training event of some users, given the ones before it. The weights have seen that
    event, and would be sure of it; so they are first learned without these users, and then once more from all.

    Who has no history yet is answered with popularity, smoothed by one event an item.

    Args:
        n_items: size of the catalogue.
        fading: what past events still weigh.
    """

    sharpness: Tensor
    prior_I: Tensor

    def __init__(self, n_items: int, fading: Fading) -> None:
        super().__init__()
        self.n_items, self.fading = n_items, fading
        self.register_buffer("sharpness", torch.tensor(1.0))
        self.register_buffer("prior_I", torch.zeros(n_items))

    def fit_statistics(self, split: Split) -> None:
        """Counts the popularity of the items, for whoever has no history.

        Raises:
            DataError: `half_life` is given and the log has no clock.
        """
        if self.fading.half_life is not None:
            split.store.require_clock("model.half_life")
        self.prior_I = (count_items(split) + 1).log().to(self.prior_I.device)

    @abstractmethod
    def linear_scores(self, histories: Histories) -> Tensor:
        """Returns the scores s before they are made a distribution, `(B, I)`, the caller's to change."""

    def forward(self, histories: Histories) -> Tensor:
        """Scores the catalogue; see `InterestModel.forward`."""
        score_BI = self.linear_scores(histories).mul_(self.sharpness)
        score_BI[histories.length_B == 0] = self.prior_I.to(score_BI.dtype)
        return score_BI

    def fit_sharpness(self, left_out: LeftOut) -> None:
        """Fits the sharpness to users whom the weights have not seen; without any it stays as it is."""
        if len(left_out):
            sharpness = fit_sharpness(self.linear_scores, left_out.batches())
            self.sharpness = torch.tensor(sharpness, device=self.sharpness.device)


@dataclass(frozen=True)
class LeftOut:
    """Users who are left out of what is learned first, and their last training targets.

    Attributes:
        split: the split they are of.
        targets: the last target of each in the training part; users in ascending order.
    """

    split: Split
    targets: Targets

    def __len__(self) -> int:
        return len(self.targets)

    def batches(self) -> RankingBatches:
        """Returns their histories and targets, shortest first."""
        return RankingBatches(self.split.store, self.targets, LEFT_OUT_LENGTH, False, roles=self.split.roles)


def leave_out(split: Split) -> LeftOut:
    """Chooses users to leave out, spread evenly over those with a training target that an input precedes."""
    targets = last_targets(split)
    n_left_out = min(LEFT_OUT_USERS, len(targets) // 2, max(100, LEFT_OUT_SCORES // split.store.n_items))
    return LeftOut(split, targets.spread(n_left_out))


def fit_sharpness(scores: Callable[[Histories], Tensor], batches: RankingBatches) -> float:
    """Fits the sharpness by maximum likelihood: it lowers the mean of `logsumexp(β s) − β s_target`, convex in β.

    Args:
        scores: gives s_BI of histories.
        batches: at least one history, and what came next.

    Returns:
        β; 1 where the scores say nothing.
    """
    with torch.no_grad():
        held = [(scores(batch.histories), batch.target_B[:, None]) for batch in batches]
    largest = max(float(score_BI.abs().max()) for score_BI, _ in held)
    if largest == 0:
        return 1.0

    def loss(log_beta: float) -> float:
        beta = float(np.exp(log_beta)) / largest
        parts = (
            (score_BI * beta).logsumexp(1).double() - score_BI.gather(1, target_B1)[:, 0].double() * beta
            for score_BI, target_B1 in held
        )
        return float(torch.cat(list(parts)).mean())

    found = optimize.minimize_scalar(loss, bounds=np.log(SHARPNESS_RANGE), method="bounded", options={"xatol": 0.01})
    return float(np.exp(found.x)) / largest


def count_interactions(split: Split) -> sparse.csr_matrix:
    """Counts how often each user took each item in training, by the weights of the behaviours, float32 `(users, I)`."""
    weight, n_items, blocks = split.store.behavior_weight.astype(np.float32), split.store.n_items, []
    for block in split.training_blocks():
        where = (block.user() - block.first_user, block.item)
        blocks.append(sparse.csr_matrix((weight[block.behavior], where), shape=(len(block.offsets) - 1, n_items)))
    # The library `implicit` takes matrices, not arrays.
    counts = sparse.csr_matrix(sparse.vstack(blocks, format="csr"))
    counts.eliminate_zeros()
    return counts


def without_users(counts: sparse.csr_matrix, user_N: NDArray[np.int64]) -> sparse.csr_matrix:
    """Returns the table with the rows of some users empty."""
    kept = np.ones(counts.shape[0], dtype=bool)
    kept[user_N] = False
    rest = counts.copy()
    rest.data[~np.repeat(kept, np.diff(counts.indptr))] = 0.0
    rest.eliminate_zeros()
    return rest
