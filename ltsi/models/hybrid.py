"""Pool of interests: several answers to "what next?", weighted by a gate that sees the user's state.

Shape suffixes: B histories, I items, K components, F features of the gate.
Sources of the logarithmic pool: Genest & Zidek 1986, "Combining Probability Distributions"; Hinton 1999, "Products of
Experts".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from ltsi.errors import ConfigError
from ltsi.histories import Histories, RankingBatch, TrainingBatch
from ltsi.losses.next_item import NextItemLoss
from ltsi.models.interest import InterestModel
from ltsi.models.network import SequenceNetwork
from ltsi.models.pooling import Pool, choose_pool, collect_evidence
from ltsi.sequences.split import Split


class Hybrid(InterestModel):
    """`log p(item) = Σ_k w_k · log p_k(item) + constant`: every score is the sum of its components' parts.

    An item must be plausible to all components at once, which ranks better than a linear mixture, where one component
    is enough. What the user has taken may be left to those that remember (`ltsi.models.pooling.Pool`).

    Networks learn on training positions; gate and floors are chosen for ranking on validation events, because on
    training positions the networks remember and the counts contain the answer. Until then the networks answer alone,
    with equal weights: by them the best epoch is found.

    Args:
        components: models by name; those that learn are trained, each for itself, the others counted.
        without: names of components to leave out, for ablation.
        gate: whether the weights depend on the user's state.
        time: whether components and gate see the time since the last event; see `_without_wait`.

    Raises:
        ConfigError: there is no such component, or none is left.
    """

    calibrates = True

    def __init__(
        self, components: Mapping[str, InterestModel], without: Sequence[str] = (), gate: bool = True, time: bool = True
    ) -> None:
        super().__init__()
        unknown = sorted({*without} - {*components})
        if unknown:
            raise ConfigError(f"model.without names '{unknown[0]}', but the components are: {', '.join(components)}.")
        taken = [name for name in components if hasattr(nn.ModuleDict(), name) or "." in name]
        if taken:
            raise ConfigError(f"A component cannot be called '{taken[0]}', a word torch uses; call it {taken[0]}_part.")
        kept = {name: model for name, model in components.items() if name not in without}
        mixed = next((name for name, model in kept.items() if model.calibrates), None)
        if mixed is not None:
            raise ConfigError(
                f"model.components.{mixed} is itself a mixture, whose weights nobody would choose; give its components "
                "to this one."
            )
        if not kept:
            raise ConfigError("model.without leaves no component; name fewer.")
        self.components = nn.ModuleDict(kept)
        self.learns = any(model.learns for model in kept.values())
        # The gate sees each component's evidence, the history's length and the time since its last event.
        self.time = time
        for model in kept.values():
            if time and isinstance(model, SequenceNetwork):
                model.mind_the_wait()
        floored, remembering = zip(*((not model.learns, model.remembers) for model in kept.values()), strict=True)
        self.pool = Pool(len(kept) + 1 + time, floored, remembering, gated=gate)
        # How much less is known by heart of what comes later than of what the pool is chosen on.
        self.unlearned = 0.0

    def fit_statistics(self, split: Split) -> None:
        """Lets every component count what it needs."""
        self.unlearned = max(0.0, split.unlearned_share("test") - split.unlearned_share("valid"))
        for model in self._models():
            model.fit_statistics(split)

    def training_loss(self, batch: TrainingBatch, loss: NextItemLoss) -> Tensor:
        """Adds the losses of the components that learn."""
        groups = [replace(group, histories=self._asked(group.histories)) for group in batch.groups]
        batch = replace(batch, groups=groups)
        return torch.stack([model.training_loss(batch, loss) for model in self._models() if model.learns]).sum()

    @torch.no_grad()
    def calibrate(self, batches: Iterable[RankingBatch]) -> None:
        """Chooses gate and floors so that validation targets rank high; see `ltsi.models.pooling`."""
        evidence = collect_evidence((*self._views(batch.histories), batch) for batch in batches)
        choose_pool(self.pool, evidence, self.unlearned)

    def parts(self, histories: Histories) -> tuple[list[Tensor], Tensor]:
        """Takes the answer apart.

        Returns:
            Each component's part `w_k · log(p_k + floor_k)`, `(B, I)`, or `w_k · known_k` where it is not heard (see
            `Pool`), which add up to the score; and the weights w_BK.
        """
        scores, feature_BF = self._views(histories)
        weight_BK = self.pool.gate(feature_BF)
        return self.pool(scores, weight_BK, histories), weight_BK

    def forward(self, histories: Histories) -> Tensor:
        """Scores the catalogue; see `InterestModel.forward`."""
        return self.scores_and_state(histories)[0]

    def scores_and_state(self, histories: Histories) -> tuple[Tensor, dict[str, Tensor]]:
        """Scores the catalogue and tells the weight of each component, once the weights are chosen."""
        if self.learns and not self.pool.chosen:
            asked = self._asked(histories)
            learning = [model(asked).log_softmax(dim=1) for model in self._models() if model.learns]
            return torch.stack(learning).mean(dim=0), {}
        parts, weight_BK = self.parts(histories)
        total_BI = parts[0]
        for part_BI in parts[1:]:
            total_BI += part_BI
        names = [f"weight_{name}" for name in self.components]
        return total_BI, dict(zip(names, weight_BK.unbind(1), strict=True))

    def scores_and_parts(self, histories: Histories) -> tuple[Tensor, dict[str, Tensor]]:
        """Scores the catalogue and names the part of each component, once the weights are chosen."""
        if self.learns and not self.pool.chosen:
            return self(histories), {}
        parts, _ = self.parts(histories)
        total_BI = parts[0].clone()
        for part_BI in parts[1:]:
            total_BI += part_BI
        return total_BI, dict(zip(self.components, parts, strict=True))

    def _models(self) -> Iterator[InterestModel]:
        return cast(Iterator[InterestModel], iter(self.components.values()))

    def _asked(self, histories: Histories) -> Histories:
        """Returns what the components are asked."""
        return histories if self.time else _without_wait(histories)

    def _views(self, histories: Histories) -> tuple[list[Tensor], Tensor]:
        """Returns the log-probabilities of each component, `(B, I)`, and what the gate sees, feature_BF."""
        histories, scores, evidence = self._asked(histories), [], []
        for model in self._models():
            score_BI = model(histories)
            mass_B = score_BI.logsumexp(dim=1)
            evidence.append(model.evidence(score_BI, mass_B))
            scores.append(score_BI.sub_(mass_B[:, None]))
        seen = [*evidence, histories.length_B.float().log1p()]
        if self.time:
            gap_B = (histories.now_B - histories.last(histories.time_BL)).clamp(min=0).float()
            seen.append(gap_B.log1p())
        return scores, torch.stack(seen, dim=1)


def _without_wait(histories: Histories) -> Histories:
    """Asks after each event at once, whenever it was asked, so that no answer depends on the now.

    At once is a second later, or where there is no clock the next position. The very moment of an event would say
    something, too: that the next item is taken together with it (`ltsi.models.return_hazard`). Who has no event yet is
    asked before all time, where no trend has begun.
    """
    time_BL = histories.time_BL.where(histories.length_B[:, None] > 0, 0)
    return replace(histories, time_BL=time_BL, now_BL=time_BL + 1)
