"""How much each component of a pool counts, and how that is chosen for ranking on held-out events.

Shape suffixes: B histories, I items, K components, F features of the gate, N calibration targets, C candidates.
Sources: Genest & Zidek 1986, "Combining Probability Distributions: A Critique and an Annotated Bibliography" (the
logarithmic opinion pool); Hinton 1999, "Products of Experts"; Jacobs et al. 1991, "Adaptive Mixtures of Local Experts"
(the gate); Qin et al. 2010, "A General Approximation Framework for Direct Optimization of Information Retrieval
Measures", eq. 10 (the smooth rank).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ltsi.histories import RankingBatch

CANDIDATES_PER_COMPONENT = 50
"""An item that no component has among its best so many cannot come into the first ten."""

SMOOTHNESS = 0.3
"""Width, in log-probability, of the step from "ranks above" to "ranks below" in the smooth rank."""

FLOOR = 1e-2
"""Where the search for the floor of a counted component starts."""

TELLING = 1e-3
"""A feature that varies by less than this on the held-out events tells nothing: the gate does not look at it."""

FARTHEST = 5.0
"""Standard deviations from the mean at which a feature is cut off: beyond, held-out events showed nothing."""

GATE_PENALTY = 8.0
"""Of the gate's squared weights, in events: with few held-out events it could learn them by heart.

By cross-validation inside validation parts of 996, 1,090 and 8,192 events (Online Retail, Last.fm, Amazon Beauty), 8 is
the best or within two percent of it.
"""

STEPS = 100


class Pool(nn.Module):
    """A gate over components, and a floor under those that know some items only.

    A part is `w_k · log(p_k + floor_k)`, the score the sum of the parts. The floor is what a component that has never
    counted an item leaves to the others: without it, its zero would be a veto. Networks need none. The weights are a
    softplus of a linear function of what the gate sees, so no component counts against an item.

    It is chosen, not trained: its numbers are buffers.

    Args:
        n_features: F.
        floored: `(K,)`, which components have a floor.
        gated: whether the weights depend on the user; if not, they are the same for everybody.
    """

    weight_FK: Tensor
    bias_K: Tensor
    floor_K: Tensor
    mean_F: Tensor
    scale_F: Tensor
    chosen: Tensor

    def __init__(self, n_features: int, floored: Sequence[bool], gated: bool = True) -> None:
        super().__init__()
        self.floored, self.gated = list(floored), gated
        n_components = len(self.floored)
        self.register_buffer("weight_FK", torch.zeros(n_features, n_components))
        self.register_buffer("bias_K", torch.full((n_components,), _unsoftplus(1 / n_components)))
        self.register_buffer("floor_K", torch.where(torch.tensor(self.floored), FLOOR, 0.0))
        self.register_buffer("mean_F", torch.zeros(n_features))
        self.register_buffer("scale_F", torch.ones(n_features))
        self.register_buffer("chosen", torch.tensor(False))

    def gate(self, feature_BF: Tensor) -> Tensor:
        """Returns the weights `w_BK`, each above zero."""
        # A sum of products, which mixed precision leaves as precise as it is.
        linear_BK = (self.standardised(feature_BF)[:, :, None] * self.weight_FK).sum(dim=1)
        return functional.softplus(linear_BK + self.bias_K)

    def standardised(self, feature_BF: Tensor) -> Tensor:
        """Returns what the gate sees in standard deviations from the mean of the held-out events."""
        return ((feature_BF - self.mean_F) / self.scale_F).clamp(-FARTHEST, FARTHEST)

    def forward(self, scores: Sequence[Tensor], weight_BK: Tensor) -> list[Tensor]:
        """Returns each component's part of the score, `(B, I)` each, made in place of its log-probability."""
        parts = []
        for score_BI, floor, weight_B in zip(scores, self.floor_K.tolist(), weight_BK.unbind(1), strict=True):
            if floor > 0:
                score_BI.exp_().add_(floor).log_()
            parts.append(score_BI.mul_(weight_B[:, None]))
        return parts


@dataclass(frozen=True)
class Evidence:
    """What the components say about held-out targets, on the items that can matter.

    Attributes:
        score_NCK: log-probabilities of the candidates; candidate 0 is the target.
        feature_NF: what the gate sees.
        real_NC: which candidates count: the others are repetitions.
    """

    score_NCK: Tensor
    feature_NF: Tensor
    real_NC: Tensor


def collect_evidence(parts: Iterable[tuple[Sequence[Tensor], Tensor, RankingBatch]]) -> Evidence:
    """Reduces the components' answers to candidates.

    Args:
        parts: for each batch the log-probabilities of each component, `(B, I)` each, feature_BF and the batch. The
            log-probabilities are changed.
    """
    columns: list[tuple[Tensor, Tensor, Tensor]] = []
    for scores, feature_BF, batch in parts:
        target_B1 = batch.target_B[:, None]
        own = [score_BI.gather(1, target_B1) for score_BI in scores]
        hidden_BI = torch.zeros_like(scores[0], dtype=torch.bool)
        hidden_BI[batch.hidden_row, batch.hidden_item] = True
        best = []
        for score_BI in scores:
            score_BI[batch.hidden_row, batch.hidden_item] = -torch.inf
            best.append(score_BI.topk(min(CANDIDATES_PER_COMPONENT, score_BI.shape[1]), dim=1).indices)
        item_BC = torch.cat(best, dim=1).sort(dim=1).values
        repeated_BC = torch.cat([item_BC[:, :1] < 0, item_BC[:, 1:] == item_BC[:, :-1]], dim=1)
        real_BC = ~repeated_BC & (item_BC != target_B1) & ~hidden_BI.gather(1, item_BC)
        score_BCK = torch.stack(
            [torch.cat([o, score.gather(1, item_BC)], dim=1) for o, score in zip(own, scores, strict=True)], dim=2
        )
        columns.append((score_BCK, feature_BF, torch.cat([torch.ones_like(real_BC[:, :1]), real_BC], 1)))
    return Evidence(*(torch.cat(column) for column in zip(*columns, strict=True)))


def choose_pool(pool: Pool, evidence: Evidence) -> None:
    """Sets gate and floors so that the held-out targets rank high: they climb the smooth NDCG together.

    The weights' common scale matters to the smooth rank only; the climb is free to sharpen.
    """
    feature_NF = evidence.feature_NF
    # In double precision, or the mean of equal numbers is not theirs and a constant looks like a feature.
    mean_F, scale_F = feature_NF.double().mean(0), feature_NF.double().std(0, correction=0)
    pool.mean_F, pool.scale_F = mean_F.float(), torch.where(scale_F < TELLING, torch.inf, scale_F).float()
    seen_NF = pool.standardised(feature_NF)
    floored_K = torch.tensor(pool.floored, device=feature_NF.device)
    n_components = len(pool.floored)
    weight_FK = torch.zeros_like(pool.weight_FK, requires_grad=pool.gated)
    bias_K = torch.full_like(pool.bias_K, _unsoftplus(3 / n_components)).requires_grad_()
    log_floor_K = torch.full_like(pool.floor_K, math.log(FLOOR)).requires_grad_()
    optimizer = torch.optim.Adam([*([weight_FK] if pool.gated else []), bias_K, log_floor_K], lr=0.05)
    # A probability of zero has no logarithm to take a gradient of.
    probability_NCK = evidence.score_NCK.exp()
    log_NCK = evidence.score_NCK.clamp(min=-60.0)
    penalty = GATE_PENALTY / len(feature_NF)
    with torch.enable_grad():
        for _ in range(STEPS):
            w_NK = functional.softplus(seen_NF @ weight_FK + bias_K)
            part_NCK = torch.where(floored_K, (probability_NCK + log_floor_K.exp()).log(), log_NCK)
            score_NC = (part_NCK @ w_NK[..., None]).squeeze(2)
            above_NC = torch.sigmoid((score_NC[:, 1:] - score_NC[:, :1]) / SMOOTHNESS) * evidence.real_NC[:, 1:]
            gain = (1.0 / (2.0 + above_NC.sum(1)).log2()).mean()
            loss = penalty * weight_FK.square().sum() - gain
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    pool.weight_FK, pool.bias_K = weight_FK.detach(), bias_K.detach()
    pool.chosen.fill_(True)
    pool.floor_K = torch.where(floored_K, log_floor_K.detach().exp(), 0.0)


def _unsoftplus(weight: float) -> float:
    """Returns the number whose softplus is the weight."""
    return math.log(math.expm1(weight))
