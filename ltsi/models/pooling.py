"""How much each component of a pool counts, and how that is chosen for ranking on held-out events.

Shape suffixes: B histories, I items, K components, F features of the gate, N calibration targets, C candidates.
Sources: Genest & Zidek 1986, "Combining Probability Distributions: A Critique and an Annotated Bibliography" (the
logarithmic opinion pool); Hinton 1999, "Products of Experts"; Jacobs et al. 1991, "Adaptive Mixtures of Local Experts"
(the gate); Qin et al. 2010, "A General Approximation Framework for Direct Optimization of Information Retrieval
Measures", eq. 10 (the smooth rank).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ltsi.histories import Histories, RankingBatch
from ltsi.side_by_side import side_by_side

log = logging.getLogger(__name__)

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

BLOCK = 512
"""Targets that are looked at together: their candidates stay in a processor's cache."""

LEAST = -60.0
"""Log-probabilities are no lower: a probability of zero has no logarithm to weigh."""

SURELY = 2.576
"""Standard errors by which all must rank better than memory alone to be heard about what was taken,"""

BY_HEART = 1.6
"""and by this times the share of later histories that nobody has learned from, as a share of the gain.

Learning by heart alone made all look 1.14 times as good on Online Retail, where that share is 0.125: they have to be
1.2 times as good there. Where one event is left out of histories of forty, what is known by heart is known later too.
"""

KNOWN = -3.0
"""Where the search begins for what stands in for the others' log-probability of an item that was taken."""


class Pool(nn.Module):
    """A gate over components, and a floor under those that know some items only.

    A part is `w_k · log(p_k + floor_k)`, the score the sum of the parts. The floor is what a component that has never
    counted an item leaves to the others: without it, its zero would be a veto. Networks need none. The weights are a
    softplus of a linear function of what the gate sees, so no component counts against an item.

    What a user has taken, among the events that are shown, may be left to the components that remember: for the others
    all of it is as likely, `w_k · known_k`, and they only tell the items apart that would be new. On validation events
    they look better at it than they are: the histories before these end where training ends, so everything in them has
    been learned by heart, of this very user. Later histories hold events that nobody has learned from, few where single
    events are left out and many where a log is cut by time; docs/models.md has the measurement.

    It is chosen, not trained: its numbers are buffers.

    Args:
        n_features: F.
        floored: `(K,)`, which components have a floor.
        remembering: `(K,)`, which components remember.
        gated: whether the weights depend on the user; if not, they are the same for everybody.
    """

    weight_FK: Tensor
    bias_K: Tensor
    floor_K: Tensor
    known_K: Tensor
    mean_F: Tensor
    scale_F: Tensor
    memory_alone: Tensor
    chosen: Tensor

    def __init__(
        self, n_features: int, floored: Sequence[bool], remembering: Sequence[bool], gated: bool = True
    ) -> None:
        super().__init__()
        self.floored, self.remembering, self.gated = list(floored), list(remembering), gated
        n_components = len(self.floored)
        self.register_buffer("weight_FK", torch.zeros(n_features, n_components))
        self.register_buffer("bias_K", torch.full((n_components,), _unsoftplus(1 / n_components)))
        self.register_buffer("floor_K", torch.where(torch.tensor(self.floored), FLOOR, 0.0))
        self.register_buffer("known_K", torch.full((n_components,), KNOWN))
        self.register_buffer("mean_F", torch.zeros(n_features))
        self.register_buffer("scale_F", torch.ones(n_features))
        self.register_buffer("memory_alone", torch.tensor(False))
        self.register_buffer("chosen", torch.tensor(False))

    def gate(self, feature_BF: Tensor) -> Tensor:
        """Returns the weights `w_BK`, each above zero."""
        # A sum of products, which mixed precision leaves as precise as it is.
        linear_BK = (self.standardised(feature_BF)[:, :, None] * self.weight_FK).sum(dim=1)
        return functional.softplus(linear_BK + self.bias_K)

    def standardised(self, feature_BF: Tensor) -> Tensor:
        """Returns what the gate sees in standard deviations from the mean of the held-out events."""
        return ((feature_BF - self.mean_F) / self.scale_F).clamp(-FARTHEST, FARTHEST)

    def forward(self, scores: Sequence[Tensor], weight_BK: Tensor, histories: Histories) -> list[Tensor]:
        """Returns each component's part of the score, `(B, I)` each, made in place of its log-probability."""
        taken, memory_alone = histories.taken(), bool(self.memory_alone)
        parts = []
        for place, (score_BI, floor) in enumerate(zip(scores, self.floor_K.tolist(), strict=True)):
            if floor > 0:
                score_BI.exp_().add_(floor).log_()
            if memory_alone and not self.remembering[place]:
                score_BI[taken] = self.known_K[place].to(score_BI.dtype)
            parts.append(score_BI.mul_(weight_BK[:, place, None]))
        return parts


@dataclass(frozen=True)
class Evidence:
    """What the components say about held-out targets, on the items that can matter.

    Attributes:
        score_KNC: log-probabilities of the candidates, at least `LEAST`; candidate 0 is the target.
        feature_NF: what the gate sees.
        real_NC: which candidates count: the others are repetitions.
        taken_NC: which of them the user has taken, among the events that are shown.
        user_N: int64, whose target it is.
    """

    score_KNC: Tensor
    feature_NF: Tensor
    real_NC: Tensor
    taken_NC: Tensor
    user_N: Tensor


def collect_evidence(parts: Iterable[tuple[Sequence[Tensor], Tensor, RankingBatch]]) -> Evidence:
    """Reduces the components' answers to candidates. A target that is not ranked tells nothing, and is left out.

    Args:
        parts: for each batch the log-probabilities of each component, `(B, I)` each, feature_BF and the batch. The
            log-probabilities are changed.
    """
    columns = [_candidates(scores, feature_BF, batch) for scores, feature_BF, batch in parts]
    width = max(real_BC.shape[1] for _, _, real_BC, *_ in columns)

    def widened(x: Tensor) -> Tensor:
        return functional.pad(x, (0, width - x.shape[-1]))

    score, feature, real, taken, user = zip(*columns, strict=True)
    return Evidence(
        torch.cat(list(map(widened, score)), dim=1),
        torch.cat(feature),
        torch.cat(list(map(widened, real))),
        torch.cat(list(map(widened, taken))),
        torch.cat(user),
    )


def _candidates(
    scores: Sequence[Tensor], feature_BF: Tensor, batch: RankingBatch
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Returns score_KBC, feature_BF, real_BC, taken_BC and user_B, of what was taken last and of the best of the rest.

    A target of nobody known counts as the only one of its user.
    """
    target_B1 = batch.target_B[:, None]
    hidden_BI = torch.zeros_like(scores[0], dtype=torch.bool)
    taken_BI = hidden_BI.clone()
    hidden_BI[batch.hidden_row, batch.hidden_item] = True
    taken_BI[batch.histories.taken()] = True
    recent_Bn, _, real_Bn = batch.histories.recent(min(CANDIDATES_PER_COMPONENT, batch.histories.item_BL.shape[1]))
    recent = real_Bn.nonzero()[:, 0], recent_Bn[real_Bn]
    best = []
    for score_BI in scores:
        # What was taken last is a candidate of itself: it does not keep others out of the best.
        kept = score_BI[recent]
        score_BI[recent] = -torch.inf
        score_BI[batch.hidden_row, batch.hidden_item] = -torch.inf
        best.append(score_BI.topk(min(CANDIDATES_PER_COMPONENT, score_BI.shape[1]), dim=1).indices)
        score_BI[recent] = kept
    if (taken_BI & ~hidden_BI).any():
        best.append(recent_Bn.where(real_Bn, target_B1))
    item_BC = torch.cat(best, dim=1).sort(dim=1).values
    repeated_BC = torch.cat([item_BC[:, :1] < 0, item_BC[:, 1:] == item_BC[:, :-1]], dim=1)
    real_BC = ~repeated_BC & (item_BC != target_B1) & ~hidden_BI.gather(1, item_BC)
    item_BC, real_BC = torch.cat([target_B1, item_BC], 1), torch.cat([torch.ones_like(real_BC[:, :1]), real_BC], 1)
    score_KBC = torch.stack([score_BI.gather(1, item_BC) for score_BI in scores])
    ranked_B = ~hidden_BI.gather(1, target_B1)[:, 0]
    taken_BC, score_KBC = taken_BI.gather(1, item_BC), score_KBC.clamp(min=LEAST)
    user_B = batch.index_B if batch.histories.user_B is None else batch.histories.user_B
    return score_KBC[:, ranked_B], feature_BF[ranked_B], real_BC[ranked_B], taken_BC[ranked_B], user_B[ranked_B]


def choose_pool(pool: Pool, evidence: Evidence, unlearned: float) -> None:
    """Sets gate and floors so that the held-out targets rank high, and whether memory alone speaks of what was taken.

    It does unless NDCG@10 is higher with all heard, by more than chance and by more than learning by heart explains.
    Without a target that is ranked nothing is chosen.

    Args:
        pool: is set.
        evidence: of the held-out targets.
        unlearned: by which share more of the histories before test targets came after training than of these.
    """
    feature_NF = evidence.feature_NF
    if not len(feature_NF):
        log.warning("Nothing can be chosen on the validation part: all of its targets are hidden from the ranking.")
        return
    # In double precision, or the mean of equal numbers is not theirs and a constant looks like a feature.
    mean_F, scale_F = feature_NF.double().mean(0), feature_NF.double().std(0, correction=0)
    pool.mean_F, pool.scale_F = mean_F.float(), torch.where(scale_F < TELLING, torch.inf, scale_F).float()
    gain_N = _climb(pool, evidence, memory_alone=False)
    pool.chosen.fill_(True)
    if not (any(pool.remembering) and (evidence.taken_NC & evidence.real_NC).any()):
        return
    heard = {name: value.clone() for name, value in pool.state_dict().items()}
    alone_N = _climb(pool, evidence, memory_alone=True)
    further = (gain_N - alone_N).mean()
    surely = further > SURELY * standard_error(gain_N - alone_N, evidence.user_N)
    if surely and gain_N.mean() > (1.0 + BY_HEART * unlearned) * alone_N.mean():
        pool.load_state_dict(heard)


def standard_error(value_N: Tensor, user_N: Tensor) -> Tensor:
    """Returns the standard error of a mean of values, those of one user as alike as they may be; a scalar.

    That of one user alone is infinite.
    """
    _, of_N = user_N.unique(return_inverse=True)
    n_users = int(of_N.max()) + 1
    apart_U = value_N.new_zeros(n_users).index_add(0, of_N, value_N - value_N.mean())
    if n_users == 1:
        return value_N.new_tensor(torch.inf)
    return (apart_U.square().sum() * n_users / (n_users - 1)).sqrt() / len(value_N)


def _climb(pool: Pool, evidence: Evidence, memory_alone: bool) -> Tensor:
    """Chooses gate and floors by climbing the smooth NDCG of the held-out targets.

    The weights' common scale matters to the smooth rank only; the climb is free to sharpen.

    Returns:
        NDCG@10 of each target in the end, `(N,)`.
    """
    seen_NF = pool.standardised(evidence.feature_NF)
    n_components, n_targets = len(pool.floored), len(seen_NF)
    weight_FK = torch.zeros_like(pool.weight_FK, requires_grad=pool.gated)
    bias_K = torch.full_like(pool.bias_K, _unsoftplus(3 / n_components)).requires_grad_()
    log_floor_K = torch.full_like(pool.floor_K, math.log(FLOOR)).requires_grad_()
    known_K = torch.full_like(pool.known_K, KNOWN, requires_grad=memory_alone)
    climbing = [number for number in (weight_FK, bias_K, log_floor_K, known_K) if number.requires_grad]
    optimizer = torch.optim.Adam(climbing, lr=0.05)
    blocks = [slice(start, start + BLOCK) for start in range(0, n_targets, BLOCK)]

    def lead(rows: slice) -> Tensor:
        """Returns how far each other candidate is ahead of the target, `(R, C - 1)`."""
        w_RK = functional.softplus(seen_NF[rows] @ weight_FK + bias_K)
        score_RC = torch.zeros_like(evidence.real_NC[rows], dtype=w_RK.dtype)
        for place, (floored, remembers) in enumerate(zip(pool.floored, pool.remembering, strict=True)):
            part_RC = evidence.score_KNC[place, rows]
            if floored:
                part_RC = (part_RC.exp() + log_floor_K[place].exp()).log()
            if memory_alone and not remembers:
                part_RC = torch.where(evidence.taken_NC[rows], known_K[place], part_RC)
            score_RC = score_RC + w_RK[:, place, None] * part_RC
        return score_RC[:, 1:] - score_RC[:, :1]

    def uphill(rows: slice) -> tuple[Tensor, ...]:
        """Returns the gradients of the summed smooth gain, less its share of the gate's penalty."""
        above_RC = torch.sigmoid(lead(rows) / SMOOTHNESS) * evidence.real_NC[rows, 1:]
        penalty = GATE_PENALTY * len(above_RC) / n_targets * weight_FK.square().sum()
        gain = (1.0 / (2.0 + above_RC.sum(1)).log2()).sum() - penalty
        return torch.autograd.grad(gain, climbing, materialize_grads=True)

    with torch.enable_grad():
        for _ in range(STEPS):
            for number, grads in zip(climbing, zip(*side_by_side(uphill, blocks), strict=True), strict=True):
                number.grad = -torch.stack(grads).sum(0) / n_targets
            optimizer.step()
    pool.weight_FK, pool.bias_K = weight_FK.detach(), bias_K.detach()
    pool.floor_K = torch.where(torch.tensor(pool.floored, device=bias_K.device), log_floor_K.detach().exp(), 0.0)
    pool.known_K = known_K.detach()
    pool.memory_alone.fill_(memory_alone)
    with torch.no_grad():
        ahead = [(lead(rows).sign().add(1.0).div(2.0) * evidence.real_NC[rows, 1:]).sum(1) for rows in blocks]
    rank_N = 1.0 + torch.cat(ahead)
    return torch.where(rank_N <= 10, 1.0 / (1.0 + rank_N).log2(), 0.0)


def _unsoftplus(weight: float) -> float:
    """Returns the number whose softplus is the weight."""
    return math.log(math.expm1(weight))
