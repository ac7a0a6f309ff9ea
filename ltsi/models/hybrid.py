"""Mixture of interests: several answers to "what next?", weighted by a gate that sees the user's state.

Shape suffixes: B histories, I items, K components, F features of the gate.
Sources: this project's design, section 1; Jacobs et al. 1991, "Adaptive Mixtures of Local Experts".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from ltsi.histories import Histories, RankingBatch, TrainingBatch
from ltsi.losses.next_item import NextItemLoss
from ltsi.models.interest import InterestModel
from ltsi.models.mixing import Mixing, choose_mixing, collect_evidence
from ltsi.sequences.split import Split


class Hybrid(InterestModel):
    """`p(item) = Σ_k α_k · p_k(item)`: every score is the sum of its components' parts.

    Networks are sharpened, `p_k ∝ p_k^(1/temperature)`: trained for likelihood they spread mass over the tail, which
    drowns the counts in a mixture. Networks learn on training positions; gate and temperature are chosen for ranking on
    validation events, because on training positions the networks remember and the counts contain the answer.

    Args:
        components: models by name; those that learn are trained, each for itself, the others counted.
    """

    calibrates = True

    def __init__(self, components: Mapping[str, InterestModel]) -> None:
        super().__init__()
        self.components = nn.ModuleDict(components)
        self.learns = any(model.learns for model in components.values())
        # The gate sees each component's evidence, the history's length and the time since its last event.
        self.mixing = Mixing(len(components) + 2, sharpened=[model.learns for model in components.values()])

    def fit_statistics(self, split: Split) -> None:
        """Lets every component count what it needs."""
        for model in self._models():
            model.fit_statistics(split)

    def training_loss(self, batch: TrainingBatch, loss: NextItemLoss) -> Tensor:
        """Adds the losses of the components that learn."""
        return torch.stack([model.training_loss(batch, loss) for model in self._models() if model.learns]).sum()

    @torch.no_grad()
    def calibrate(self, batches: Iterable[RankingBatch]) -> None:
        """Chooses gate and temperature so that validation targets rank high; see `ltsi.models.mixing`."""
        evidence = collect_evidence((*self._views(batch.histories), batch) for batch in batches)
        choose_mixing(self.mixing, evidence)

    def parts(self, histories: Histories) -> tuple[list[Tensor], Tensor]:
        """Takes the answer apart.

        Returns:
            Each component's part `α_k · p_k`, `(B, I)`, which add up to `p`; and the weights α_BK.
        """
        scores, feature_BF = self._views(histories)
        weight_BK = self.mixing.gate(feature_BF)
        return self.mixing(scores, weight_BK), weight_BK

    def forward(self, histories: Histories) -> Tensor:
        """Scores the catalogue; see `InterestModel.forward`."""
        return self.scores_and_state(histories)[0]

    def scores_and_state(self, histories: Histories) -> tuple[Tensor, dict[str, Tensor]]:
        """Scores the catalogue and tells the weight of each component."""
        parts, weight_BK = self.parts(histories)
        total_BI = parts[0]
        for part_BI in parts[1:]:
            total_BI += part_BI
        names = [f"weight_{name}" for name in self.components]
        return total_BI.log_(), dict(zip(names, weight_BK.unbind(1), strict=True))

    def _models(self) -> Iterator[InterestModel]:
        return cast(Iterator[InterestModel], iter(self.components.values()))

    def _views(self, histories: Histories) -> tuple[list[Tensor], Tensor]:
        """Returns the score_BI of each component and what the gate sees, feature_BF."""
        scores = [model(histories) for model in self._models()]
        evidence = [model.evidence(score) for model, score in zip(self._models(), scores, strict=True)]
        gap_B = (histories.now_B - histories.last(histories.time_BL)).clamp(min=0).float()
        return scores, torch.stack([*evidence, histories.length_B.float().log1p(), gap_B.log1p()], dim=1)
