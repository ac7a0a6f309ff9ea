"""How much each component of a mixture counts, and how that is chosen for ranking on held-out events.

Shape suffixes: B histories, I items, K components, F features of the gate, N calibration targets, C candidates,
T temperatures.
Sources: Jacobs et al. 1991, "Adaptive Mixtures of Local Experts" (the gate); Qin et al. 2010, "A General Approximation
Framework for Direct Optimization of Information Retrieval Measures", eq. 10 (the smooth rank).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ltsi.histories import RankingBatch

TEMPERATURES = (1.0, 0.8, 0.6)
CANDIDATES_PER_COMPONENT = 30
"""An item that no component has among its best so many cannot come into the first ten."""

SMOOTHNESS = 0.3
"""Width, in log-probability, of the step from "ranks above" to "ranks below" in the smooth rank."""

GATE_PENALTY = 3e-4
STEPS = 60


class Mixing(nn.Module):
    """A softmax gate over components, and the temperature that sharpens some of them.

    It is chosen, not trained: its numbers are buffers.

    Args:
        n_features: F.
        sharpened: `(K,)`, which components the temperature applies to.
    """

    weight_FK: Tensor
    bias_K: Tensor
    temperature_K: Tensor
    mean_F: Tensor
    scale_F: Tensor

    def __init__(self, n_features: int, sharpened: Sequence[bool]) -> None:
        super().__init__()
        self.sharpened = list(sharpened)
        n_components = len(self.sharpened)
        self.register_buffer("weight_FK", torch.zeros(n_features, n_components))
        self.register_buffer("bias_K", torch.zeros(n_components))
        self.register_buffer("temperature_K", torch.ones(n_components))
        self.register_buffer("mean_F", torch.zeros(n_features))
        self.register_buffer("scale_F", torch.ones(n_features))

    def gate(self, feature_BF: Tensor) -> Tensor:
        """Returns the weights `α_BK`, which add up to one."""
        return ((feature_BF - self.mean_F) / self.scale_F @ self.weight_FK + self.bias_K).softmax(dim=1)

    def forward(self, scores: Sequence[Tensor], weight_BK: Tensor) -> list[Tensor]:
        """Returns each component's part of the probability, `α_k · p_k`, `(B, I)` each."""
        return [
            (score_BI / temperature).softmax(dim=1).mul_(weight_B[:, None])
            for score_BI, temperature, weight_B in zip(scores, self.temperature_K, weight_BK.unbind(1), strict=True)
        ]


@dataclass(frozen=True)
class MixingEvidence:
    """What the components say about held-out targets, on the items that can matter.

    Attributes:
        score_NCK: scores of the candidates; candidate 0 is the target.
        mass_NKT: `logsumexp(score / temperature)` over the catalogue, for each of `TEMPERATURES`.
        feature_NF: what the gate sees.
        real_NC: which candidates count: the others are repetitions.
    """

    score_NCK: Tensor
    mass_NKT: Tensor
    feature_NF: Tensor
    real_NC: Tensor


def collect_evidence(parts: Iterable[tuple[Sequence[Tensor], Tensor, RankingBatch]]) -> MixingEvidence:
    """Reduces the components' scores to candidates.

    Args:
        parts: for each batch the score_BI of each component, feature_BF and the batch. The scores are changed.
    """
    columns: list[tuple[Tensor, ...]] = []
    for scores, feature_BF, batch in parts:
        mass = [torch.stack([(score / t).logsumexp(dim=1) for t in TEMPERATURES], dim=1) for score in scores]
        target_B1 = batch.target_B[:, None]
        own = [score_BI.gather(1, target_B1) for score_BI in scores]
        best = []
        for score_BI in scores:
            score_BI[batch.hidden_row, batch.hidden_item] = -torch.inf
            best.append(score_BI.topk(min(CANDIDATES_PER_COMPONENT, score_BI.shape[1]), dim=1).indices)
        item_BC = torch.cat(best, dim=1).sort(dim=1).values
        repeated_BC = torch.cat([item_BC[:, :1] < 0, item_BC[:, 1:] == item_BC[:, :-1]], dim=1)
        real_BC = ~repeated_BC & (item_BC != target_B1)
        score_BCK = torch.stack(
            [torch.cat([o, score.gather(1, item_BC)], dim=1) for o, score in zip(own, scores, strict=True)], dim=2
        )
        columns.append(
            (score_BCK, torch.stack(mass, dim=1), feature_BF, torch.cat([torch.ones_like(real_BC[:, :1]), real_BC], 1))
        )
    return MixingEvidence(*(torch.cat(column) for column in zip(*columns, strict=True)))


def choose_mixing(mixing: Mixing, evidence: MixingEvidence) -> None:
    """Sets gate and temperature so that the held-out targets rank high.

    For each temperature the gate climbs the smooth NDCG; the temperature whose gate ranks best is kept.
    """
    feature_NF = evidence.feature_NF
    mixing.mean_F, mixing.scale_F = feature_NF.mean(0), feature_NF.std(0, correction=0).clamp(min=1e-6)
    sharpened_K = torch.tensor(mixing.sharpened, device=feature_NF.device)
    best = None
    for index, temperature in enumerate(TEMPERATURES):
        temperature_K = torch.where(sharpened_K, temperature, 1.0)
        at_K = torch.where(sharpened_K, index, TEMPERATURES.index(1.0))
        mass_NK = evidence.mass_NKT.gather(2, at_K.expand(len(feature_NF), -1)[..., None]).squeeze(2)
        probability_NCK = (evidence.score_NCK / temperature_K - mass_NK[:, None]).exp()
        weight_FK, bias_K, quality = _climb(mixing, probability_NCK, evidence)
        if best is None or quality > best[0]:
            best = quality, weight_FK, bias_K, temperature_K
    assert best is not None
    _, mixing.weight_FK, mixing.bias_K, mixing.temperature_K = best


def _climb(mixing: Mixing, probability_NCK: Tensor, evidence: MixingEvidence) -> tuple[Tensor, Tensor, float]:
    """Climbs the smooth NDCG from equal weights; returns the gate and its NDCG@10."""
    weight_FK = torch.zeros_like(mixing.weight_FK, requires_grad=True)
    bias_K = torch.zeros_like(mixing.bias_K, requires_grad=True)
    feature_NF = (evidence.feature_NF - mixing.mean_F) / mixing.scale_F
    optimizer = torch.optim.Adam([weight_FK, bias_K], lr=0.1)
    with torch.enable_grad():
        for _ in range(STEPS):
            alpha_NK = (feature_NF @ weight_FK + bias_K).softmax(dim=1)
            log_NC = (probability_NCK @ alpha_NK[..., None]).squeeze(2).clamp(min=1e-12).log()
            above_NC = torch.sigmoid((log_NC[:, 1:] - log_NC[:, :1]) / SMOOTHNESS) * evidence.real_NC[:, 1:]
            gain = (1.0 / (2.0 + above_NC.sum(1)).log2()).mean()
            loss = GATE_PENALTY * (weight_FK.square().sum() + bias_K.square().sum()) - gain
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        alpha_NK = (feature_NF @ weight_FK + bias_K).softmax(dim=1)
        p_NC = (probability_NCK @ alpha_NK[..., None]).squeeze(2)
        above_N = ((p_NC[:, 1:] > p_NC[:, :1]) & evidence.real_NC[:, 1:]).sum(1)
        quality = torch.where(above_N < 10, 1.0 / (2.0 + above_N).log2(), 0.0).mean()
    return weight_FK.detach(), bias_K.detach(), float(quality)
